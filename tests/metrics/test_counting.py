"""USAGE in, exact counts out, against a real PostgreSQL: memory and database agree, whatever happens in between."""

import asyncio
import json
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from uptake import subjects
from uptake.reader import Cursor, Entry, Fenced
from uptake_metrics import activity_store, ledger, mask_store, worklist, zones
from uptake_metrics.counting import Counting
from uptake_metrics.shard import MAX_FEATURES

ACCOUNTS = ["acme", "bolt", "coda", "dune", "echo"]
FIRST, LAST = date(2026, 6, 1), date(2026, 8, 25)


@pytest.fixture
def data_of(batches):
    """Events of one shard as the data of their batch."""

    def data(*events):
        ((_, data),) = batches(events)
        return data

    return data


def some_events(event, seed, count=300):
    """Live and late and old usage of a few accounts, with repeats, bots and trials among it."""
    rng = random.Random(seed)
    others = [{}, {}, {}, {"actor": "system"}, {"environment": "trial"}, {"environment": "qa"}]
    return [
        event(
            rng.choice(ACCOUNTS),
            f"user-{rng.randrange(12)}",
            datetime(2026, 8, 25, 11, tzinfo=UTC)
            - timedelta(hours=rng.choice([1, 24, 200, 1000, 1900]) * rng.random()),
            rng.choice(["edit", "view", "sign_in"]),
            **rng.choice(others),
        )
        for _ in range(count)
    ]


def in_memory(counting):
    """Everything the shards know, by name: numbers of series depend on who came first."""
    known = {}
    for shard in counting.shards.values():
        held = shard.activity.dump()
        names = [shard.keys[series] for series in held.series.tolist()]
        known[shard.number] = (
            sorted(zip(names, held.epoch.tolist(), held.user.tolist(), held.mask.tolist(), strict=True)),
            {key: levels(shard, number) for key, number in shard.series.items() if key.kind == "total"},
            set(shard.keys),
            dict(shard.zones),
        )
    return known


def levels(shard, series):
    run = shard.activity.history(series, shard.activity.first_exact_day, shard.activity.last_exact_day)
    return run.dau.tolist(), run.wau.tolist(), run.mau.tolist()


def book_is_what_the_masks_say(counting):
    booked = in_memory(counting)
    for shard in counting.shards.values():
        shard.activity.rebook()
    return in_memory(counting) == booked


async def everything(metrics):
    """DAU, WAU and MAU of every account on every day."""
    return {account: await metrics.counted(account, FIRST, LAST) for account in ACCOUNTS}


async def test_the_counts_are_those_of_plain_sets(metrics, event, recount):
    events = some_events(event, 1, 2000)
    await metrics.count(*events)
    work = [one for one in events if not {"actor", "environment"} & one.keys() and one["feature"] != "sign_in"]
    for account in ACCOUNTS:
        mine = [one for one in work if one["account"] == account]
        days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
        assert await metrics.counted(account, FIRST, LAST) == [recount(mine, day) for day in days]
    assert book_is_what_the_masks_say(metrics.counting)


@pytest.mark.parametrize("seed", range(4))
async def test_twice_shuffled_and_split_anyhow_give_the_same_counts(metrics, metrics_of, event, seed):
    """With compactions, restarts and failed commits in between; what the next process reads is the same again."""
    rng, events = random.Random(seed), some_events(event, seed)
    repeated = events + rng.choices(events, k=100)
    rng.shuffle(repeated)
    process = metrics
    while repeated:
        size = rng.choice([1, 7, 60])
        part, repeated = repeated[:size], repeated[size:]
        await process.count(*part)
        if rng.random() < 0.3:
            await process.counting.compact(everything=True)
        if rng.random() < 0.3:
            process = metrics_of()
    bit_by_bit = await everything(process), in_memory(process.counting)
    async with process.engine.begin() as connection:
        tables = ("activity_delta", "activity_mask", "series", "account_zone", "person")
        await connection.execute(text(f"TRUNCATE {', '.join(f'metrics.{table}' for table in tables)}"))
        await connection.execute(text("UPDATE metrics.shard SET stream_uuid = NULL, sequence = 0"))
    at_once = metrics_of()
    await at_once.count(*events)
    assert (await everything(at_once), in_memory(at_once.counting)) == bit_by_bit


async def test_a_second_process_is_fenced_and_then_agrees(metrics, metrics_of, event, data_of):
    other = metrics_of()
    await other.load()
    at = await other.counting.load()
    await metrics.count(event("acme", "ann", "2026-08-25"))
    before = in_memory(other.counting)
    late = Entry(
        1, subjects.usage(subjects.shard_of("acme")), data_of(event("acme", "bob", "2026-08-25")), other.clock()
    )
    with pytest.raises(Fenced):
        await other.counting.apply(Counting.prepare([late]), at, Cursor("stream", 1))
    assert in_memory(other.counting) == before
    assert (await other.counting.load()).sequence == 1
    assert in_memory(other.counting) == in_memory(metrics.counting)
    assert await other.counted("acme", LAST, LAST) == [(1, 1, 1)]


@pytest.mark.parametrize("failing", ["advance", "save", "save_deltas", "save_ledger", "mark"])
async def test_a_failure_in_the_middle_undoes_memory_exactly(metrics, metrics_of, event, monkeypatch, failing):
    await metrics.count(*some_events(event, 5))
    before, counts = in_memory(metrics.counting), await everything(metrics)
    more = [*some_events(event, 6), *(event(f"new-{n}", "ann", "2026-08-20") for n in range(5))]
    modules = {"mark": worklist, "save_deltas": mask_store, "save_ledger": ledger}

    async def fail(*arguments):
        raise ConnectionResetError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(modules.get(failing, activity_store), failing.removesuffix("_ledger"), fail)
        with pytest.raises(ConnectionResetError):
            await metrics.count(*more)
    assert in_memory(metrics.counting) == before
    assert book_is_what_the_masks_say(metrics.counting)
    assert await everything(metrics) == counts
    await metrics.count(*more)
    restarted = metrics_of()
    await restarted.load()
    assert in_memory(restarted.counting) == in_memory(metrics.counting)


async def test_a_connection_that_is_cut_before_the_commit_undoes_memory(metrics, event, monkeypatch):
    await metrics.count(*some_events(event, 5))
    before = in_memory(metrics.counting)
    save = activity_store.save

    async def cut(connection, *what):
        await save(connection, *what)
        (pid,) = (await connection.execute(text("SELECT pg_backend_pid()"))).scalars()
        async with metrics.engine.connect() as other:
            await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    with monkeypatch.context() as patch:
        patch.setattr(activity_store, "save", cut)
        with pytest.raises((DBAPIError, OSError)):
            await metrics.count(*some_events(event, 6))
    assert in_memory(metrics.counting) == before
    await metrics.count(*some_events(event, 6))
    assert book_is_what_the_masks_say(metrics.counting)


async def test_a_commit_whose_answer_was_lost_is_found_by_load(metrics, event, data_of, monkeypatch):
    """Both outcomes are right: here the commit has happened, and memory did not believe it."""
    at = await metrics.counting.load()
    entry = Entry(
        1, subjects.usage(subjects.shard_of("acme")), data_of(event("acme", "ann", "2026-08-25")), metrics.clock()
    )

    save = activity_store.save

    async def save_and_commit(connection, *what):
        await save(connection, *what)
        await connection.commit()
        raise ConnectionResetError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(activity_store, "save", save_and_commit)
        with pytest.raises(ConnectionResetError):
            await metrics.counting.apply(Counting.prepare([entry]), at, Cursor("stream", 1))
    assert list(metrics.counting.accounts()) == []
    assert (await metrics.counting.load()).sequence == 1
    assert await metrics.counted("acme", LAST, LAST) == [(1, 1, 1)]


async def test_a_restart_in_the_middle_loses_and_doubles_nothing(metrics, metrics_of, event):
    events = some_events(event, 8)
    await metrics.count(*events[:150])
    second = metrics_of()
    await second.count(*events[150:])
    third = metrics_of()
    await third.load()
    assert in_memory(third.counting) == in_memory(second.counting)


async def test_a_shard_skips_what_it_has_counted_and_another_takes_it(metrics, event, data_of):
    """Positions of shards can differ once they are divided among processes."""
    one, other = subjects.shard_of("acme"), subjects.shard_of("bolt")
    assert one != other
    async with metrics.engine.begin() as connection:
        await connection.execute(text("UPDATE metrics.shard SET stream_uuid = 'stream', sequence = 5"))
        await connection.execute(text("UPDATE metrics.shard SET sequence = 8 WHERE shard = :shard"), {"shard": one})
    at = await metrics.counting.load()
    assert at == Cursor("stream", 5)
    entries = [
        Entry(6, subjects.usage(one), data_of(event("acme", "counted-before", "2026-08-25")), metrics.clock()),
        Entry(7, subjects.usage(other), data_of(event("bolt", "ann", "2026-08-25")), metrics.clock()),
        Entry(8, subjects.usage(one), b"{ was refused before", metrics.clock()),
        Entry(9, subjects.usage(one), data_of(event("acme", "ann", "2026-08-25")), metrics.clock()),
    ]
    await metrics.counting.apply(Counting.prepare(entries), at, Cursor("stream", 9))
    assert await metrics.counted("acme", LAST, LAST) == await metrics.counted("bolt", LAST, LAST) == [(1, 1, 1)]
    assert metrics.rejected == []
    assert {position.cursor for position in metrics.counting.positions.values()} == {Cursor("stream", 9)}


async def test_a_replica_follows_what_another_counts_without_reading_it_all_again(metrics, metrics_of, event):
    other, events = metrics_of(), some_events(event, 11, 900)
    await other.load()
    shards = dict(other.counting.shards)
    for start in range(0, 900, 150):
        await metrics.count(*events[start : start + 150])
        other.counting.touched.clear()
        await other.load()
        assert in_memory(other.counting) == in_memory(metrics.counting)
    assert other.counting.shards == shards  # the very same: followed, not restored
    assert other.counting.touched <= set(ACCOUNTS)
    assert book_is_what_the_masks_say(other.counting)


async def test_a_replica_that_missed_a_compaction_or_a_new_zone_reads_the_masks(metrics, metrics_of, event):
    other = metrics_of()
    await other.load()
    await metrics.count(*some_events(event, 12))
    await metrics.counting.compact(everything=True)
    await other.load()
    assert in_memory(other.counting) == in_memory(metrics.counting)


async def test_compaction_leaves_the_newest_deltas_to_those_who_follow(metrics, metrics_of, event, monkeypatch):
    monkeypatch.setattr("uptake_metrics.counting.COMPACT_DELTAS", 3)
    monkeypatch.setattr("uptake_metrics.counting.KEEP_DELTAS", 2)
    other = metrics_of()
    for n in range(4):
        await metrics.count(event("acme", f"u{n}", "2026-08-20"))
        if n == 1:
            await other.load()
    shards = dict(other.counting.shards)
    await metrics.counting.compact()
    assert await metrics.rows("SELECT count(*) FROM metrics.activity_delta") == [(2,)]
    await other.load()
    assert other.counting.shards == shards
    assert in_memory(other.counting) == in_memory(metrics.counting)


async def test_a_database_that_went_back_is_read_again(metrics, event):
    await metrics.count(*some_events(event, 13))
    tables = ("activity_delta", "series", "account_zone", "person")
    async with metrics.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(f'metrics.{table}' for table in tables)}"))
        await connection.execute(text("UPDATE metrics.shard SET stream_uuid = NULL, sequence = 0, checkpoint = 0"))
    assert await metrics.counting.load() == Cursor(None, 0)
    assert list(metrics.counting.accounts()) == []


async def test_two_processes_that_divide_the_shards_count_everything_once(metrics, metrics_of, event, batches):
    """Each is handed its own shards' messages alone, and moves only their positions."""
    other, events = metrics_of(), some_events(event, 14, 600)
    await other.load()
    entries = [Entry(n, *one, metrics.clock()) for n, one in enumerate(batches(events), 1)]
    parts = {metrics: range(0, 16, 2), other: range(1, 16, 2)}
    for process, shards in parts.items():
        mine = [entry for entry in entries if int(entry.subject.rpartition(".")[2]) in shards]
        at = await process.counting.load(shards)
        await process.counting.apply(Counting.prepare(mine), at, Cursor("stream", len(entries)), shards)
    await metrics.load()
    await other.load()
    assert in_memory(metrics.counting) == in_memory(other.counting)
    alone = metrics_of()
    await alone.load()
    assert await everything(alone) == await everything(metrics) == await everything(other)
    assert {position.cursor.sequence for position in alone.counting.positions.values()} == {len(entries)}


async def test_a_reader_under_which_the_positions_went_back_is_told_to_read_again(metrics, event, data_of):
    """A database that lost its last commits, and another chore of the process that has noticed first."""
    await metrics.count(event("acme", "ann", "2026-08-25"))
    at = await metrics.counting.load()
    async with metrics.engine.begin() as connection:
        await connection.execute(text("UPDATE metrics.shard SET sequence = 0, checkpoint = 0"))
        await connection.execute(text("TRUNCATE metrics.activity_delta"))
    await metrics.counting.load()
    subject = subjects.usage(subjects.shard_of("acme"))
    late = Entry(at.sequence + 1, subject, data_of(event("acme", "bob", "2026-08-25")), metrics.clock())
    with pytest.raises(Fenced):
        await metrics.counting.apply(Counting.prepare([late]), at, Cursor("stream", late.sequence))
    assert (await metrics.counting.load()).sequence == 0


async def test_a_shard_that_fails_while_it_counts_is_read_again(metrics, metrics_of, event, monkeypatch):
    await metrics.count(*some_events(event, 5))
    before = in_memory(metrics.counting)

    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("uptake_metrics.shard.Shard._change", fail)
        with pytest.raises(MemoryError):
            await metrics.count(*some_events(event, 6))
    await metrics.load()
    assert in_memory(metrics.counting) == before
    await metrics.count(*some_events(event, 6))
    assert book_is_what_the_masks_say(metrics.counting)


async def test_a_shard_that_is_ahead_of_those_it_is_read_with_never_goes_back(metrics, event, data_of):
    async with metrics.engine.begin() as connection:
        await connection.execute(text("UPDATE metrics.shard SET stream_uuid = 'stream', sequence = 5"))
        await connection.execute(text("UPDATE metrics.shard SET sequence = 90 WHERE shard = 3"))
    at = await metrics.counting.load()
    entry = Entry(
        6, subjects.usage(subjects.shard_of("acme")), data_of(event("acme", "ann", "2026-08-25")), metrics.clock()
    )
    await metrics.counting.apply(Counting.prepare([entry]), at, Cursor("stream", 6))
    rows = dict(await metrics.rows("SELECT shard, sequence FROM metrics.shard"))
    assert rows == dict.fromkeys(range(16), 6) | {3: 90}
    assert {n: position.cursor.sequence for n, position in metrics.counting.positions.items()} == rows


async def test_compaction_while_others_read_changes_no_answer(metrics, event):
    events = some_events(event, 9, 600)
    for start in range(0, 600, 100):
        await metrics.count(*events[start : start + 100])
    expected = await everything(metrics)

    async def read():
        for _ in range(6):
            assert await everything(metrics) == expected

    async def compact():
        for _ in range(6):
            await metrics.counting.compact(everything=True)
            await metrics.count(*events[:5])  # repeats: a checkpoint, no change
            await asyncio.sleep(0.01)

    await asyncio.gather(read(), read(), compact())
    assert await metrics.rows("SELECT count(*) FROM metrics.activity_mask") != [(0,)]


async def test_two_compactions_at_once_lose_nothing(metrics, metrics_of, event):
    await metrics.count(*some_events(event, 10))
    expected = await everything(metrics)
    other = metrics_of()
    await other.load()
    await asyncio.gather(*(one.counting.compact(everything=True) for one in (metrics, other, metrics, other)))
    assert await everything(metrics) == expected
    again = metrics_of()
    await again.load()
    assert in_memory(again.counting) == in_memory(metrics.counting)


async def test_deltas_are_folded_once_there_are_many(metrics, event, monkeypatch):
    monkeypatch.setattr("uptake_metrics.counting.COMPACT_DELTAS", 3)
    monkeypatch.setattr("uptake_metrics.counting.KEEP_DELTAS", 0)
    for n in range(3):
        await metrics.count(event("acme", f"u{n}", "2026-08-20"))
        await metrics.counting.compact()
    assert await metrics.rows("SELECT count(*) FROM metrics.activity_delta") == [(0,)]
    await metrics.count(event("acme", "u9", "2026-08-20"))
    await metrics.counting.compact()
    assert await metrics.rows("SELECT count(*) FROM metrics.activity_delta") == [(1,)]


def changed(data, **columns):
    return json.dumps(json.loads(data) | columns).encode()


@pytest.fixture
def poison(event, data_of):
    good = data_of(event("acme", "bad", "2026-08-20"))
    return {
        "no JSON": b"{",
        "no batch": b"[1, 2]",
        "binary": b"\xff\x00\x01",
        "uneven columns": changed(good, users=[]),
        "before 1970": changed(good, instants=[-1]),
        "1970-01-01": changed(good, instants=[86_400_000_000 - 1]),
        "far future": changed(good, instants=[2**53]),
        "beyond a day ahead": changed(good, instants=[int(datetime(2026, 8, 26, 3, tzinfo=UTC).timestamp() * 1e6)]),
        "huge": changed(good, instants=[10**30]),
        "NUL in a user": changed(good, users=["a\0b"]),
        "NUL in an account": changed(good, accounts=["a\0b"]),
        "NUL in a feature": changed(good, features=["a\0b"]),
        "nobody's": changed(good, accounts=[""]),
    }


async def test_poison_is_put_away_and_blocks_nobody(metrics, event, data_of, poison):
    subject = subjects.usage(subjects.shard_of("acme"))
    good = [data_of(event("acme", f"user-{n}", "2026-08-20")) for n in range(len(poison) + 1)]
    mixed = [data for pair in zip(good, poison.values(), strict=False) for data in pair] + good[-1:]
    await metrics.take([(subject, data) for data in mixed])
    assert [entry.data for entry, _ in metrics.rejected] == list(poison.values())
    assert (await metrics.counted("acme", date(2026, 8, 20), date(2026, 8, 20)))[0][0] == len(good)
    assert list(metrics.counting.accounts()) == ["acme"]
    await metrics.publish()
    assert book_is_what_the_masks_say(metrics.counting)


@pytest.mark.parametrize("subject", ["usage.v1.16", "usage.v1.x", "usage.v1.-1", "usage.v1.٣"])
async def test_a_batch_of_no_shard_is_put_away(metrics, event, data_of, subject):
    await metrics.take([(subject, data_of(event("acme", "ann", "2026-08-20")))])
    assert len(metrics.rejected) == 1
    assert (await metrics.counting.load()).sequence == 1


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Etc/GMT+12", "America/New_York"])
async def test_the_oldest_and_the_newest_instants_are_counted_in_every_zone(metrics, event, fact, zone):
    await metrics.learn(fact("account.updated", account="acme", time_zone=zone))
    instants = [datetime(1970, 1, 2, tzinfo=UTC), metrics.clock() + timedelta(hours=14)]
    await metrics.count(*(event("acme", "ann", at) for at in instants))
    assert metrics.rejected == []
    assert await metrics.rows("SELECT size FROM metrics.activity_delta") == [(6,)]


async def test_what_the_database_refuses_for_its_data_is_undone_too(metrics, event, monkeypatch):
    """Were decoding to let a NUL through, the batch after it must not carry the spoilt series along."""
    monkeypatch.setattr("uptake_metrics.batches._check", lambda *_: None)
    with pytest.raises(DBAPIError):
        await metrics.count(event("a\0b", "ann", "2026-08-20"))
    assert list(metrics.counting.accounts()) == []
    (shard,) = {subjects.shard_of("a\0b")}
    same_shard = next(name for name in map("n{}".format, range(999)) if subjects.shard_of(name) == shard)
    await metrics.count(event(same_shard, "ann", "2026-08-20"))
    assert (await metrics.counted(same_shard, LAST, LAST))[0][2] == 1


async def test_more_features_than_the_cap_keep_the_total_exact(metrics, metrics_of, event):
    flood = [event("acme", f"u{n % 7}", "2026-08-20", f"feature-{n}") for n in range(MAX_FEATURES + 50)]
    await metrics.count(*flood)
    assert (await metrics.rows("SELECT count(*) FROM metrics.series WHERE kind = 'feature'")) == [(MAX_FEATURES,)]
    after = metrics_of()
    await after.count(
        event("acme", "late", "2026-08-21", "feature-7"), event("acme", "later", "2026-08-21", "one-more")
    )
    assert await after.counted("acme", date(2026, 8, 21), date(2026, 8, 21)) == [(2, 9, 9)]
    assert await after.tally.users("acme", date(2026, 8, 21), "mau", "feature-7") == ["late", "u0"]


async def test_the_rings_follow_the_calendar(metrics, event, clock):
    await metrics.count(event("acme", "ann", "2026-08-25"))
    metrics.counting.touched.clear()
    clock.forward(days=3)
    await metrics.counting.turn()
    assert metrics.counting.touched == {"acme"}
    assert {shard.activity.front for shard in metrics.counting.shards.values()} == {zones.to_number(date(2026, 8, 29))}
    assert await metrics.counted("acme", date(2026, 8, 27), date(2026, 8, 28)) == [(0, 1, 1)] * 2


async def test_a_clock_that_is_behind_the_stored_days_loads_them(metrics, metrics_of, event, clock):
    await metrics.count(event("acme", "ann", "2026-08-25"))
    clock.forward(days=-9)
    behind = metrics_of()
    await behind.load()
    assert await behind.counted("acme", LAST, LAST) == [(1, 1, 1)]


async def test_only_closed_days_are_put_on_the_worklist(metrics, event):
    await metrics.count(event("acme", "ann", "2026-08-25"), event("bolt", "ann", "2026-08-25"))
    assert await metrics.rows("SELECT * FROM metrics.dirty") == []
    await metrics.count(event("acme", "ann", "2026-08-24"), event("acme", "bob", "2026-08-02"))
    await metrics.count(event("acme", "ann", "2026-08-03"), import_id="job")
    await metrics.count(event("acme", "ann", "2026-08-03"))  # known: nothing changes
    dirty = await metrics.rows("SELECT subject, import_id, first_day FROM metrics.dirty ORDER BY import_id")
    assert dirty == [("account:acme", "", date(2026, 8, 2)), ("account:acme", "job", date(2026, 8, 3))]
