"""A rebuild finds exactly what differs from the log, puts that right, and changes nothing of a healthy state."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from uptake import subjects
from uptake.clock import utc_now
from uptake.provision import provision
from uptake.pull import Pull
from uptake_metrics import archive, mask_store
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.register import Register
from uptake_metrics.shard import user_hash
from uptake_metrics.userdays import UserDays
from uptake_metrics.zones import to_number

ACCOUNTS = {"acme": "UTC", "bolt": "Asia/Tokyo", "echo/é": "America/St_Johns"}
STATE = ("shard", "series", "person", "activity_delta", "activity_mask", "account_zone", "dirty", "fact", "cursor")


@pytest.fixture
def clock(clock):
    """The broker stamps what it stores with the real time."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def rebuild_of(client, attribution_of):
    """Asks one process for a rebuild, and returns its result."""

    def rebuilding(metrics):
        def refold():
            return Register(metrics.engine, "UTC", metrics._reject)

        return Rebuilding(metrics.engine, metrics.counting, metrics.register, refold, metrics.clock)

    async def rebuild(metrics, check=False):
        one = rebuilding(metrics)
        assert one.progress.state == "idle"
        assert one.request(check).state == "running"
        await one.run_once(client.jetstream())
        assert one.progress.state == "done", one.progress.reason
        return one.progress

    async def given(metrics):
        return await attribution_of(metrics).run_once()

    rebuild.of, rebuild.given = rebuilding, given
    return rebuild


@pytest.fixture
def usage(event, clock):
    def usage(account, seed=1, count=150):
        rng = random.Random(f"{account}{seed}")
        starts = [
            datetime(2024, 3, 31, tzinfo=UTC),
            *(clock.now - timedelta(days=rng.randrange(1, 90)) for _ in range(9)),
        ]
        return [
            event(
                account,
                f"user-{rng.randrange(9)}",
                rng.choice(starts) - timedelta(hours=rng.uniform(0, 40)),
                rng.choice(["edit", "view", "login"]),
                environment=rng.choice(["production", "production", "trial", "staging"]),
            )
            for _ in range(count)
        ]

    return usage


@pytest.fixture
async def counted(metrics, reading, send, usage, fact):
    """Three accounts in three zones, half of it in masks and half of it in deltas; returns the events."""
    zones = [fact("account.updated", account=name, time_zone=zone) for name, zone in ACCOUNTS.items()]
    await metrics.learn(*zones, fact("opportunity.stage_changed", opportunity="o1", account="acme", stage=4))
    first, second = [[one for name in ACCOUNTS for one in usage(name, seed)] for seed in (1, 2)]
    async with reading(metrics):
        await send(first)
    await metrics.counting.compact(everything=True)
    async with reading(metrics):
        await send(second)
    return first + second


async def state_of(metrics):
    rows = {table: await metrics.rows(f"SELECT * FROM metrics.{table}") for table in STATE}  # noqa: S608  # our names
    return {table: sorted(map(repr, found)) for table, found in rows.items()}


async def change(metrics, account, *, add=None, remove=None):
    """Behind everybody's back: a user's day in the account's total appears in the masks, or goes from all series."""
    shard = metrics.counting.shard_of(account)
    series = shard.of_account(account)
    async with metrics.engine.begin() as connection:
        await mask_store.compact(connection, shard.number)
        stored = await mask_store.masks(connection, shard.number, 0, 2**30)
        if add:
            stored = archive.merge(stored, archive.fold(rows([shard.total(account)], *add)))
        if remove:
            stored = archive.discard(stored, archive.fold(rows(series, *remove)))
        await mask_store.replace_masks(connection, shard.number, sorted(set(stored.series.tolist())), stored)


def rows(series, user, day):
    n = len(series)
    return UserDays(
        np.array(series, np.int32), np.full(n, user_hash(user), np.uint64), np.full(n, to_number(day), np.int32)
    )


async def wrong_days(metrics, recount, events):
    """Where the counts are not those of plain sets."""
    today, wrong = metrics.clock.now.date(), []
    for account, zone in ACCOUNTS.items():
        mine = [
            one
            for one in events
            if (one["account"], one["environment"]) == (account, "production") and one["feature"] != "login"
        ]
        for first, last in [(date(2024, 3, 28), date(2024, 5, 3)), (today - timedelta(days=95), today)]:
            for n, counts in enumerate(await metrics.counted(account, first, last)):
                day = first + timedelta(days=n)
                if counts != recount(mine, day, zone):
                    wrong.append((account, day))
    return wrong


@pytest.mark.parametrize("check", [True, False])
async def test_a_healthy_state_is_found_equal_and_no_row_changes(metrics, rebuild_of, counted, recount, check):
    before = await state_of(metrics)
    done = await rebuild_of(metrics, check)
    assert (done.differing, done.fixed, done.differences, done.covered_from) == (0, 0, [], None)
    assert (done.accounts, done.read, done.of) == (3, done.of, 6)
    assert done.user_days > 300
    assert await state_of(metrics) == before
    assert await wrong_days(metrics, recount, counted) == []


async def test_a_ghost_and_a_lost_user_day_are_reported_exactly_and_mended(
    metrics, metrics_of, rebuild_of, counted, recount
):
    lost = next(
        one
        for one in counted
        if (one["account"], one["feature"]) == ("bolt", "edit") and one["environment"] != "staging"
    )
    lost_day = (lost["at"] + timedelta(hours=9)).date()
    ghost_day = metrics.clock.now.date() - timedelta(days=200)
    healthy = await state_of(metrics)
    await change(metrics, "acme", add=("ghost", ghost_day))
    await change(metrics, "bolt", remove=(lost["user"], lost_day))
    fresh = metrics_of()
    await fresh.load()
    assert await fresh.counted("acme", ghost_day, ghost_day) == [(1, 1, 1)]
    broken = await state_of(metrics)
    for process in (fresh, metrics):  # one that has read the wrong state, and one that still knows better
        done = await rebuild_of(process, check=True)
        told = {one.account: (one.missing, one.extra, one.first_day) for one in done.differences}
        assert told.keys() == {"acme", "bolt"}
        assert told["acme"] == (0, 1, ghost_day)
        assert told["bolt"][0] >= 2  # in total and by feature
        assert told["bolt"][1:] == (0, lost_day)
        assert done.differing == 1 + told["bolt"][0]
        assert done.fixed == 0
        assert await state_of(metrics) == broken
    done = await rebuild_of(fresh)
    assert done.fixed == done.differing == 1 + told["bolt"][0]
    await metrics.load()
    restarted = metrics_of()
    await restarted.load()
    for process in (fresh, metrics, restarted):
        assert await wrong_days(process, recount, counted) == []
        assert await process.counted("acme", ghost_day, ghost_day) == [(0, 0, 0)]
    mended = await state_of(metrics)
    assert [mended[table] for table in ("series", "person", "fact")] == [
        healthy[t] for t in ("series", "person", "fact")
    ]
    assert await metrics.rows("SELECT subject, first_day FROM metrics.dirty WHERE first_day > '1970-01-01'") == []
    assert (await rebuild_of(fresh, check=True)).differing == 0
    assert {"acme", "bolt"} <= fresh.counting.touched


async def test_changed_accounts_are_evaluated_again_from_the_first_day_that_changed(metrics, rebuild_of, counted):
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM metrics.dirty")
    day = metrics.clock.now.date() - timedelta(days=20)
    await change(metrics, "acme", add=("ghost", day))
    await metrics.load()
    await rebuild_of(metrics)
    assert await metrics.rows("SELECT subject, first_day FROM metrics.dirty") == [("account:acme", day)]


async def test_people_who_were_lost_have_their_names_again(metrics, metrics_of, rebuild_of, reading, send, event):
    async with reading(metrics):
        await send([event("acme", "ann", "2024-06-01"), event("acme", "bob", "2024-06-01")])
    await change(metrics, "acme", remove=("ann", date(2024, 6, 1)))
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM metrics.person WHERE user_id = 'ann'")
    process = metrics_of()
    await process.load()
    assert await process.tally.users("acme", date(2024, 6, 1), "dau", None) == ["bob"]
    await rebuild_of(process)
    assert await process.tally.users("acme", date(2024, 6, 1), "dau", None) == ["ann", "bob"]


async def test_days_before_those_that_the_log_covers_stay_as_they_are(
    metrics, metrics_of, rebuild_of, reading, send, event, client
):
    now = metrics.clock.now
    async with reading(metrics):
        for n in range(3):
            await send([event("acme", f"early-{n}", now - timedelta(days=30))])
        await send([event("acme", "late", now)])
    await client.jetstream().purge_stream(subjects.USAGE, seq=3)
    ghost = now.date() + timedelta(days=4)
    await change(metrics, "acme", add=("old ghost", now.date() - timedelta(days=3)))
    before = await metrics.rows('SELECT series, epoch, "user", mask FROM metrics.activity_mask')
    await metrics.load()
    done = await rebuild_of(metrics)
    assert now.date() + timedelta(days=2) <= done.covered_from <= now.date() + timedelta(days=4)
    assert done.differing == 0
    await change(metrics, "acme", add=("new ghost", ghost))
    process = metrics_of()
    await process.load()
    done = await rebuild_of(process)
    assert [(one.account, one.extra, one.first_day) for one in done.differences] == [("acme", 1, ghost)]
    after = await metrics.rows('SELECT series, epoch, "user", mask FROM metrics.activity_mask')
    assert sorted(after) == sorted(before)


async def test_events_that_arrive_meanwhile_are_counted(
    metrics, metrics_of, rebuild_of, reading, send, usage, counted, recount, client
):
    await change(metrics, "acme", add=("ghost", metrics.clock.now.date() - timedelta(days=1)))
    await metrics.counting.reload(metrics.counting.shard_of("acme").number)
    more = [one for name in ACCOUNTS for one in usage(name, 3, 200)]
    random.Random(5).shuffle(more)
    rebuilding = rebuild_of.of(metrics)

    async def arrive():
        for start in range(0, len(more), 10):
            await send(more[start : start + 10])

    async with reading(metrics):
        arriving = asyncio.create_task(arrive())
        while not arriving.done():
            rebuilding.request(check=False)
            await rebuilding.run_once(client.jetstream())
            assert rebuilding.progress.state == "done", rebuilding.progress.reason
        await arriving
    restarted = metrics_of()
    await restarted.load()
    for process in (metrics, restarted):
        assert await wrong_days(process, recount, counted + more) == []
    assert (await rebuild_of(metrics, check=True)).differing == 0


@pytest.mark.parametrize("when", ["_replay", "_follow"])
async def test_accounts_nobody_has_seen_arrive_meanwhile(
    metrics, metrics_of, rebuild_of, reading, send, event, client, monkeypatch, when
):
    """Counted one by one, and read by the rebuild all at once: their series have one number each all the same."""
    first, *new = [name for name in map("n{}".format, range(400)) if subjects.shard_of(name) == 3][:4]
    now, rebuilding = metrics.clock.now, rebuild_of.of(metrics)
    step, people = getattr(rebuilding, when), {first: 1}

    async def arrive(*step_of):
        done = await step(*step_of)
        of_shard = step_of[0] == 3 if when == "_replay" else step_of[0].number == 3
        while of_shard and new:
            name = new.pop()
            people[name] = len(people) + 1
            await send([event(name, f"user-{n}", now) for n in range(people[name])])
            last = (await client.jetstream().stream_info(subjects.USAGE)).state.last_seq
            while metrics.counting.positions[3].cursor.sequence < last:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)
        return done

    monkeypatch.setattr(rebuilding, when, arrive)
    async with reading(metrics):
        await send([event(first, "ann", now)])
        rebuilding.request(check=False)
        await rebuilding.run_once(client.jetstream())
    assert (rebuilding.progress.state, rebuilding.progress.differing) == ("done", 0), rebuilding.progress.reason
    restarted = metrics_of()
    await restarted.load()
    for process in (metrics, restarted):
        for name, count in people.items():
            assert await process.counted(name, now.date(), now.date()) == [(count, count, count)]


@pytest.mark.parametrize("silent", [1, 1000])
async def test_a_silent_broker_is_not_the_end_of_the_log(
    metrics, rebuild_of, counted, recount, client, monkeypatch, silent
):
    """A request that nobody answers; it either passes, or the rebuild gives up and changes nothing."""
    take, before, rebuilding, asked = Pull.take, await state_of(metrics), rebuild_of.of(metrics), 0

    async def unheard(self, *how):
        nonlocal asked
        asked += 1
        return [] if asked <= silent else await take(self, *how)

    monkeypatch.setattr(Pull, "take", unheard)
    rebuilding.request(check=False)
    await rebuilding.run_once(client.jetstream())
    if silent == 1:
        assert (rebuilding.progress.state, rebuilding.progress.differing) == ("done", 0)
    else:
        assert rebuilding.progress.state == "failed"
        assert "LogUnread" in rebuilding.progress.reason
    assert await state_of(metrics) == before
    assert await wrong_days(metrics, recount, counted) == []


@pytest.mark.parametrize("rolled_back", [False, True])
async def test_what_was_counted_from_a_lost_stream_stays(
    metrics, metrics_of, rebuild_of, reading, send, event, client, rolled_back
):
    """Wiped, or rolled back to its first message; then the statements of docs/recovery.md."""
    day = metrics.clock.now - timedelta(days=5)
    async with reading(metrics):
        for n in range(7):
            await send([event("acme", f"user-{n}", day)])
    if rolled_back:
        await roll_back(client, 1)
    else:
        await client.jetstream().delete_stream(subjects.USAGE)
        await provision(client.jetstream())
    await start_again(metrics)
    process = metrics_of()
    await process.load()
    async with reading(process):
        await send([event("acme", "new", metrics.clock.now)])
    done = await rebuild_of(process)
    assert (done.differing, done.covered_from > metrics.clock.now.date()) == (0, True)
    restarted = metrics_of()
    await restarted.load()
    for one in (process, restarted):
        assert await one.counted("acme", day.date(), day.date()) == [(7, 7, 7)]


async def roll_back(client, keep):
    """To its first messages, under the same identity."""
    js = client.jetstream()
    config = (await js.stream_info(subjects.USAGE)).config
    kept = [await js.get_msg(subjects.USAGE, n + 1) for n in range(keep)]
    await js.delete_stream(subjects.USAGE)
    await js.add_stream(config)
    for message in kept:
        await js.publish(message.subject, message.data)


async def start_again(metrics):
    """As docs/recovery.md says."""
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE metrics.shard SET stream_uuid = NULL, sequence = 0, stored_at = NULL, restarted_at = now()"
        )


async def test_counts_that_drifted_from_their_masks_are_found_and_booked_again(metrics, rebuild_of, counted):
    shard, today = metrics.counting.shard_of("acme"), metrics.clock.now.date()
    ((dau, wau, mau),) = await metrics.counted("acme", today, today)
    shard.activity._book._rows[2, 40, shard.activity._columns[shard.total("acme")]] += 1
    assert await metrics.counted("acme", today, today) == [(dau, wau, mau + 1)]
    done = await rebuild_of(metrics, check=True)
    assert (done.counts_drifted, done.differing, done.fixed) == (1, 1, 0)
    done = await rebuild_of(metrics)
    assert (done.counts_drifted, done.fixed) == (1, 1)
    assert await metrics.counted("acme", today, today) == [(dau, wau, mau)]


async def test_what_only_memory_has_wrong_is_found_and_read_again(metrics, rebuild_of, counted, recount):
    shard = metrics.counting.shard_of("acme")
    day = metrics.clock.now.date() - timedelta(days=2)
    columns = rows([shard.total("acme")], "ghost", day)
    shard.activity.add(columns.series, columns.user, columns.day)
    done = await rebuild_of(metrics, check=True)
    assert [(one.account, one.missing, one.extra, one.first_day) for one in done.differences] == [("acme", 0, 1, day)]
    await rebuild_of(metrics)
    assert await wrong_days(metrics, recount, counted) == []


async def test_facts_folded_otherwise_are_folded_again(metrics, rebuild_of, counted):
    right = dict(metrics.register.accounts)
    metrics.register.accounts["acme"] = metrics.register.accounts["bolt"]
    del metrics.register.trials["o1"]
    done = await rebuild_of(metrics, check=True)
    assert (done.facts_differing, done.differing, done.fixed) == (2, 2, 0)
    assert metrics.register.accounts != right
    done = await rebuild_of(metrics)
    assert (done.facts_differing, done.fixed) == (2, 2)
    assert metrics.register.accounts == right
    assert "o1" in metrics.register.trials


async def test_a_log_of_another_stream_is_refused(metrics, rebuild_of, counted, client):
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE metrics.shard SET stream_uuid = 'another'")
    await metrics.load()
    before, rebuilding = await state_of(metrics), rebuild_of.of(metrics)
    rebuilding.request(check=False)
    await rebuilding.run_once(client.jetstream())
    assert rebuilding.progress.state == "failed"
    assert "StreamMismatch" in rebuilding.progress.reason
    assert await state_of(metrics) == before


async def test_one_at_a_time(metrics, rebuild_of, counted, client):
    rebuilding = rebuild_of.of(metrics)
    first = rebuilding.request(check=True)
    assert rebuilding.request(check=False) is first
    await rebuilding.run_once(client.jetstream())
    await rebuilding.run_once(client.jetstream())  # nothing was asked for
    assert rebuilding.progress is first
    assert rebuilding.request(check=False).check is False


async def test_refused_events_are_recounted_and_put_right_too(metrics, rebuild_of, counted, event, fact, send, reading):
    """Also those of an installation, however often the rebuild has to begin again."""
    mapped = fact("instance.mapped", instance="i", account="acme")
    async with reading(metrics):
        await send([event("", "bot", metrics.clock() - timedelta(days=2), actor="system", instance="i")])
    await metrics.learn(mapped)
    assert await rebuild_of.given(metrics) == 1
    right = await metrics.rows("SELECT account, day, reason, events FROM metrics.not_counted ORDER BY 1, 2, 3")
    assert len({account for account, *_ in right}) == 3
    assert (await rebuild_of(metrics, check=True)).differing == 0
    newest = max(day for _, day, _, _ in right)
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql(f"DELETE FROM metrics.not_counted WHERE day = '{newest}'")  # noqa: S608  # a day
        await connection.exec_driver_sql(
            "UPDATE metrics.not_counted SET events = events + 1 WHERE account = 'bolt' AND day ="
            " (SELECT max(day) FROM metrics.not_counted WHERE account = 'bolt')"
        )
    wrong = (await rebuild_of(metrics, check=True)).differing
    assert wrong >= 2
    assert (await rebuild_of(metrics)).fixed == wrong
    assert await metrics.rows("SELECT account, day, reason, events FROM metrics.not_counted ORDER BY 1, 2, 3") == right
    assert (await rebuild_of(metrics, check=True)).differing == 0
