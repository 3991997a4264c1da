"""A time zone that is learnt late: every day is counted again from the log, as an independent recount has it."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from nats.js.errors import NotFoundError

from uptake import subjects
from uptake.clock import utc_now
from uptake.provision import provision
from uptake.pull import Pull
from uptake.reader import Cursor, Entry, Fenced
from uptake_metrics import usage_log, worklist
from uptake_metrics.counting import Counting

ZONES = ["Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Australia/Lord_Howe"]


@pytest.fixture
def clock(clock):
    """The broker stamps what it stores with the real time."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def usage(event, clock):
    """Instants all around the clock: two days of changing clocks in 2024, and the last ten weeks."""

    def usage(account, seed=1, count=200):
        rng = random.Random(seed)
        days = [datetime(2024, 3, 31, tzinfo=UTC), datetime(2024, 11, 3, tzinfo=UTC)]
        starts = [*days, *(clock.now - timedelta(days=rng.randrange(1, 70)) for _ in range(8))]
        return [
            event(
                account,
                f"user-{rng.randrange(9)}",
                rng.choice(starts) + timedelta(hours=rng.uniform(-30, 20)),
                rng.choice(["edit", "view"]),
            )
            for _ in range(count)
        ]

    return usage


async def differences(metrics, recount, events, account, zone):
    """The days on which the counts are not those of plain sets."""
    today = metrics.clock.now.date()
    spans = [(date(2024, 3, 25), date(2024, 5, 5)), (date(2024, 10, 28), date(2024, 12, 8))]
    wrong = []
    for first, last in [*spans, (today - timedelta(days=110), today + timedelta(days=1))]:
        mine = [one for one in events if one["account"] == account]
        for n, counted in enumerate(await metrics.counted(account, first, last)):
            day = first + timedelta(days=n)
            if counted != recount(mine, day, zone):
                wrong.append((day, counted, recount(mine, day, zone)))
    return wrong


async def changes(metrics):
    return await metrics.rows("SELECT account, from_zone, to_zone, kept_until FROM metrics.zone_change ORDER BY id")


@pytest.mark.parametrize("zone", ZONES)
async def test_a_zone_learnt_late_counts_every_day_again(
    metrics, metrics_of, rezoning_of, reading, send, usage, fact, recount, zone
):
    events = usage("acme") + usage("bolt", 2)
    async with reading(metrics):
        await send(events)
    assert await differences(metrics, recount, events, "acme", zone)
    await metrics.learn(fact("account.updated", account="acme", time_zone=zone))
    assert await rezoning_of(metrics).run_once() == 1
    assert await rezoning_of(metrics).run_once() == 0
    restarted = metrics_of()
    await restarted.load()
    for process in (metrics, restarted):
        assert await differences(process, recount, events, "acme", zone) == []
        assert await differences(process, recount, events, "bolt", "UTC") == []
    assert await changes(metrics) == [("acme", "UTC", zone, None)]
    assert (worklist.account("acme"), worklist.EVER) in await metrics.rows(
        "SELECT subject, first_day FROM metrics.dirty"
    )
    assert "acme" in metrics.counting.touched


async def test_the_people_of_a_recomputed_day(metrics, rezoning_of, reading, send, event, fact):
    late = datetime(2024, 6, 1, 20, 30, tzinfo=UTC)  # the 2nd in Tokyo
    async with reading(metrics):
        await send([event("acme", "ann", late), event("acme", "t", late, environment="trial")])
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    await rezoning_of(metrics).run_once()
    assert await metrics.tally.users("acme", date(2024, 6, 1), "dau", None) == []
    assert await metrics.tally.users("acme", date(2024, 6, 2), "dau", None) == ["ann"]
    assert await metrics.tally.users("acme", date(2024, 6, 2), "dau", "edit") == ["ann"]
    (trial,) = await metrics.tally.days("acme", date(2024, 6, 2), date(2024, 6, 2), "trial")
    assert trial.counts.dau_30[-1] == 1
    assert trial.last_contact == date(2024, 6, 2)


async def test_there_and_back_again_is_where_it_was(metrics, rezoning_of, reading, send, usage, fact, recount):
    events = usage("acme")
    async with reading(metrics):
        await send(events)
    for occurred_at, zone in [("2026-01-01T00:00:00Z", "Asia/Tokyo"), ("2026-01-02T00:00:00Z", None)]:
        await metrics.learn(fact("account.updated", occurred_at, account="acme", time_zone=zone))
        await rezoning_of(metrics).run_once()
    assert await differences(metrics, recount, events, "acme", "UTC") == []
    assert [row[1:3] for row in await changes(metrics)] == [("UTC", "Asia/Tokyo"), ("Asia/Tokyo", "UTC")]


async def test_usage_that_keeps_arriving_is_neither_lost_nor_doubled(
    metrics, metrics_of, rezoning_of, reading, send, usage, fact, recount
):
    accounts = ["acme", "bolt"]
    events = [one for account in accounts for one in usage(account, 3, 600)]
    rng = random.Random(4)
    rng.shuffle(events)
    arrived, zones = 0, ["Asia/Tokyo", "America/New_York", "Pacific/Apia"]
    rezoning = rezoning_of(metrics)

    async def arrive():
        nonlocal arrived
        while arrived < len(events):
            await send(events[arrived : arrived + 15])
            arrived += 15

    async def change():
        for number, zone in enumerate(zones, 1):
            known = metrics.counting.accounts
            while arrived < len(events) * number // 4 or set(known()) != set(accounts):  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.001)
            facts = [
                fact("account.updated", f"2026-01-0{number}T00:00:00Z", account=name, time_zone=zone)
                for name in accounts
            ]
            await metrics.learn(*facts)
            assert await rezoning.run_once() > 0

    async with reading(metrics):
        await asyncio.gather(arrive(), change())
    restarted = metrics_of()
    await restarted.load()
    for process in (metrics, restarted):
        for account in accounts:
            assert await differences(process, recount, events, account, zones[-1]) == []


async def test_what_is_counted_while_the_log_is_read_is_read_too(
    metrics, rezoning_of, reading, send, usage, fact, recount, monkeypatch
):
    before, meanwhile, rezoning = usage("acme", 5), usage("acme", 6), rezoning_of(metrics)
    recounting = rezoning._recounting
    read = recounting._read

    async def read_slowly(number, after, until, logged):
        await read(number, after, until, logged)
        if after == 0:
            await send(meanwhile)
            async with reading(metrics):  # until it has caught up
                pass

    async with reading(metrics):
        await send(before)
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    monkeypatch.setattr(recounting, "_read", read_slowly)
    assert await rezoning.run_once() == 1
    assert await differences(metrics, recount, before + meanwhile, "acme", "Asia/Tokyo") == []


async def test_two_processes_agree_on_the_zone(
    metrics, metrics_of, rezoning_of, reading, send, usage, event, batches, fact, recount
):
    """The one that comes second must neither count in the former zone nor recompute once more."""
    events, other = usage("acme"), metrics_of()
    async with reading(metrics), reading(other):
        await send(events)
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    await other.load()
    ((subject, data),) = batches([event("acme", "late", datetime(2024, 6, 1, 20, tzinfo=UTC))])
    assert await rezoning_of(metrics).run_once() == 1
    at = other.counting.position
    entry = Entry(at.sequence + 1, subject, data, other.clock())
    with pytest.raises(Fenced):
        await other.counting.apply(Counting.prepare([entry]), at, Cursor(at.stream_uuid, at.sequence + 1))
    assert await rezoning_of(other).run_once() == 0
    assert len(await changes(metrics)) == 1
    for process in (metrics, other):
        assert await differences(process, recount, events, "acme", "Asia/Tokyo") == []


async def test_what_counting_refused_does_not_stop_it(metrics, rezoning_of, reading, client, send, event, fact):
    subject, day = subjects.usage(subjects.shard_of("acme")), date(2024, 6, 1)
    async with reading(metrics):
        await send([event("acme", "ann", "2024-06-01")])
        await client.jetstream().publish(subject, b"{ no JSON")
        await send([event("acme", "bob\0", "2024-06-01")])
        await send([event("acme", "eve", metrics.clock.now + timedelta(days=3))])
        await send([event("acme", "bob", "2024-06-01")])
    assert len(metrics.rejected) == 3
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    metrics.clock.forward(days=9)  # what was of the future when it came must not count now that its day is over
    assert await rezoning_of(metrics).run_once() == 1
    assert await metrics.tally.users("acme", day, "dau", None) == ["ann", "bob"]
    assert await metrics.counted("acme", metrics.clock.now.date(), metrics.clock.now.date()) == [(0, 0, 0)]


async def test_days_that_the_log_no_longer_covers_keep_the_former_zone(
    metrics, metrics_of, rezoning_of, reading, send, client, event, fact, monkeypatch
):
    evening = timedelta(hours=20)  # the next day in Tokyo
    days = [datetime(2024, 6, n, tzinfo=UTC) + evening for n in range(1, 11)]
    async with reading(metrics):
        for n, at in enumerate(days):
            await send([event("acme", f"user-{n}", at)])
    await client.jetstream().purge_stream(subjects.USAGE, seq=5)  # the first four are gone
    rezoning = rezoning_of(metrics)

    async def whole_since(*_):
        return days[4]

    monkeypatch.setattr(usage_log, "whole_since", whole_since)
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    assert await rezoning.run_once() == 1
    assert await changes(metrics) == [("acme", "UTC", "Asia/Tokyo", date(2024, 6, 7))]
    restarted = metrics_of()
    await restarted.load()
    for process in (metrics, restarted):
        daily = [count[0] for count in await process.counted("acme", date(2024, 6, 1), date(2024, 6, 12))]
        # Up to the 7th as it was; from the 8th on each day is the evening before.
        assert daily == [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("left", [0, 2])
async def test_how_far_the_log_reaches_is_asked_of_the_broker(
    metrics, rezoning_of, reading, send, client, event, fact, left
):
    async with reading(metrics):
        for n in range(5):
            await send([event("acme", f"user-{n}", "2024-06-01")])
    await client.jetstream().purge_stream(subjects.USAGE, keep=left)
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    assert await rezoning_of(metrics).run_once() == 1
    ((_, _, _, kept_until),) = await changes(metrics)
    assert timedelta() <= kept_until - metrics.clock.now.date() <= timedelta(days=2)
    assert await metrics.counted("acme", date(2024, 6, 1), date(2024, 6, 1)) == [(5, 5, 5)]


async def test_what_was_counted_from_a_lost_stream_keeps_the_former_zone(
    metrics, metrics_of, rezoning_of, reading, send, client, event, fact
):
    """Wiped and made again; then the statement of docs/recovery.md."""
    day = metrics.clock.now - timedelta(days=5)
    async with reading(metrics):
        await send([event("acme", f"user-{n}", day) for n in range(7)])
    await client.jetstream().delete_stream(subjects.USAGE)
    await provision(client.jetstream())
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE metrics.shard SET stream_uuid = NULL, sequence = 0, stored_at = NULL, restarted_at = now()"
        )
    process = metrics_of()
    await process.load()
    async with reading(process):
        await send([event("acme", "new", metrics.clock.now)])
    await process.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    assert await rezoning_of(process).run_once() == 1
    assert await process.counted("acme", day.date(), day.date()) == [(7, 7, 7)]
    ((_, _, _, kept_until),) = await changes(process)
    assert kept_until > metrics.clock.now.date()


async def test_a_silent_broker_is_not_the_end_of_the_log(
    metrics, rezoning_of, reading, send, usage, fact, recount, monkeypatch
):
    events, take, silences = usage("acme"), Pull.take, [[]]
    async with reading(metrics):
        await send(events)
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))

    async def unheard_once(self, *how):
        return silences.pop() if silences else await take(self, *how)

    monkeypatch.setattr(Pull, "take", unheard_once)
    assert await rezoning_of(metrics).run_once() == 1
    assert await differences(metrics, recount, events, "acme", "Asia/Tokyo") == []


async def test_without_its_stream_nothing_is_changed(metrics, rezoning_of, reading, send, client, event, fact):
    async with reading(metrics):
        await send([event("acme", "ann", "2024-06-01")])
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    await client.jetstream().delete_stream(subjects.USAGE)
    with pytest.raises(NotFoundError):
        await rezoning_of(metrics).run_once()
    assert await changes(metrics) == []
    assert await metrics.counted("acme", date(2024, 6, 1), date(2024, 6, 1)) == [(1, 1, 1)]


async def test_a_day_that_moves_under_another_activity_policy_gets_the_series_that_it_is_the_first_to_have(
    metrics_of, rezoning_of, clock, event, fact, send, reading, tmp_path
):
    """What was no activity in one zone is activity in the other: whoever loads the masks has to know their series."""
    late = clock.now.replace(hour=23, minute=0) - timedelta(days=2)
    versions = [
        "{actors: [human], excluded_features: [scan]}",
        f"{{from: {late.date() + timedelta(days=1)}, actors: [human]}}",
    ]
    (tmp_path / "activity.yml").write_text(f"versions: [{', '.join(versions)}]\n")
    metrics = metrics_of(tmp_path)
    async with reading(metrics):
        await send([event("acme", "ann", late, "scan")])
    assert metrics.counting.shard_of("acme").feature("acme", "scan") is None
    await metrics.learn(fact("account.updated", account="acme", time_zone="Europe/Berlin"))
    rezoning = rezoning_of(metrics)
    assert await rezoning.run_once() == 1
    again = metrics_of(tmp_path)
    await again.load()
    for one in (metrics, again):
        assert await one.counted("acme", late.date(), late.date() + timedelta(days=1)) == [(0, 0, 0), (1, 1, 1)]
