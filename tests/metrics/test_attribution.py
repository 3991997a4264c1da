"""Usage of an installation: it lands on its account's original days, once, whenever the mapping comes and goes."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest

from uptake import subjects
from uptake.clock import utc_now
from uptake.messages.usage import MAX_BATCH_EVENTS
from uptake.reader import Fenced
from uptake_metrics import activity_store, instance_store, usage_log, worklist
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.register import Register

ZONE = "America/New_York"  # a day of 23 hours on 2024-03-10, and one of 25 on 2024-11-03
DAYS = [(date(2024, 3, 5), date(2024, 3, 16)), (date(2024, 10, 30), date(2024, 11, 9))]


@pytest.fixture
def clock(clock):
    """The broker stamps what it stores with the real time."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def give(attribution_of):
    """All that the chore does, as often as it has something to do."""

    async def give(metrics, **shards):
        await metrics.load()
        return await attribution_of(metrics, **shards).run_once()

    return give


@pytest.fixture
def mapped(fact):
    def mapped(instance="i-1", account="acme", at="2026-01-01T00:00:00Z", **environment):
        return fact("instance.mapped", at, instance=instance, account=account, **environment)

    return mapped


@pytest.fixture
def differing(client):
    """What a rebuild finds to be wrong."""

    async def differing(metrics):
        def refold():
            return Register(metrics.engine, "UTC", metrics._reject, metrics.clock)

        await metrics.load()
        rebuilding = Rebuilding(metrics.engine, metrics.counting, metrics.register, refold, metrics.clock)
        rebuilding.request(check=True)
        await rebuilding.run_once(client.jetstream())
        assert rebuilding.progress.state == "done", rebuilding.progress.reason
        return rebuilding.progress.differing

    return differing


def around_changed_clocks(event, seed=1, count=120, **who):
    """Instants within hours of the midnights around both days."""
    rng = random.Random(seed)
    middays = [datetime(2024, 3, 10, 16, tzinfo=UTC), datetime(2024, 11, 3, 16, tzinfo=UTC)]
    return [
        event(
            who.get("account", ""),
            f"user-{rng.randrange(7)}",
            rng.choice(middays) + timedelta(hours=rng.uniform(-40, 40)),
            rng.choice(["edit", "view"]),
            instance=who.get("instance", "i-1"),
        )
        for _ in range(count)
    ]


async def wrong_days(metrics, recount, events, account="acme", zone=ZONE):
    """The days on which the counts are not those of plain sets."""
    wrong = []
    for first, last in DAYS:
        for n, counted in enumerate(await metrics.counted(account, first, last)):
            day = first + timedelta(days=n)
            if counted != recount(events, day, zone):
                wrong.append((day, counted, recount(events, day, zone)))
    return wrong


async def test_events_of_an_unknown_installation_land_on_their_original_days(
    metrics, metrics_of, give, reading, send, event, fact, mapped, recount, differing
):
    events = around_changed_clocks(event)
    async with reading(metrics):
        await send(events)
    await metrics.learn(fact("account.updated", account="acme", time_zone=ZONE))
    assert await give(metrics) == 0
    assert await metrics.counted("acme", *DAYS[0]) == [(0, 0, 0)] * 12
    await metrics.learn(mapped())
    assert await give(metrics) == len(events)
    assert await give(metrics) == 0
    restarted = metrics_of()
    await restarted.load()
    for process in (metrics, restarted):
        assert await wrong_days(process, recount, events) == []
        day = date(2024, 3, 10)
        people = await process.tally.users("acme", day, "dau", None)
        assert len(people) == (await process.counted("acme", day, day))[0][0] > 0
    assert await differing(metrics) == 0
    marked = dict(await metrics.rows("SELECT subject, first_day FROM metrics.dirty"))
    assert marked["account:acme"] == worklist.EVER


async def test_only_the_closed_days_that_changed_are_evaluated_again(metrics, give, event, mapped, clock):
    await metrics.learn(mapped())
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM metrics.dirty")
    yesterday = clock.now - timedelta(days=3)
    await metrics.count(event("", "ann", yesterday, instance="i-1"), event("", "ann", clock.now, instance="i-1"))
    assert await give(metrics) == 2
    assert await metrics.rows("SELECT subject, first_day FROM metrics.dirty") == [("account:acme", yesterday.date())]
    await metrics.count(event("", "bob", clock.now, instance="i-1"))
    assert await give(metrics) == 1
    assert await metrics.rows("SELECT subject, first_day FROM metrics.dirty") == [("account:acme", yesterday.date())]


@pytest.mark.parametrize("at_each_step", [True, False])
@pytest.mark.parametrize("order", list(permutations(range(4))))
async def test_the_mapping_may_come_before_between_and_after(
    metrics, give, event, fact, mapped, recount, order, at_each_step
):
    """Two loads of usage, the mapping, and some of it once more; given after each, or at last."""
    first, second = around_changed_clocks(event, 1, 40), around_changed_clocks(event, 2, 40)
    await metrics.learn(fact("account.updated", account="acme", time_zone=ZONE))
    steps = [
        lambda: metrics.count(*first),
        lambda: metrics.count(*second),
        lambda: metrics.learn(mapped()),
        lambda: metrics.count(*first[:9], *second[:9]),
    ]
    for step in order:
        await steps[step]()
        if at_each_step:
            await give(metrics)
    await give(metrics)
    assert await wrong_days(metrics, recount, first + second) == []


async def test_one_person_on_two_installations_and_with_the_account_counts_once(
    metrics, give, event, mapped, reading, send, differing
):
    day = date(2024, 6, 3)
    async with reading(metrics):
        await send(
            [
                event("", "ann", "2024-06-03", instance="i-1"),
                event("", "ann", "2024-06-03", instance="i-2"),
                event("acme", "ann", "2024-06-03"),
                event("", "bob", "2024-06-03", instance="i-2"),
            ]
        )
    await metrics.learn(mapped("i-1"), mapped("i-2"))
    assert await give(metrics) == 3
    assert await metrics.counted("acme", day, day) == [(2, 2, 2)]
    assert await metrics.tally.users("acme", day, "dau", None) == ["ann", "bob"]
    assert await differing(metrics) == 0


@pytest.mark.parametrize("step", ["save", "attribute", "mark", "commit"])
async def test_a_crash_at_any_step_leaves_nothing_and_the_next_try_all(
    metrics, metrics_of, give, event, mapped, recount, monkeypatch, step
):
    events = around_changed_clocks(event)
    await metrics.count(*events)
    await metrics.learn(mapped())

    async def fail(*_, **__):
        raise ConnectionResetError("the database went away")

    async def commit_and_fail(connection, *_):
        await connection.commit()
        raise ConnectionResetError("its answer was lost")

    with monkeypatch.context() as patch:
        broken = {"save": activity_store, "attribute": instance_store, "mark": worklist, "commit": worklist}[step]
        patch.setattr(broken, "mark" if step == "commit" else step, commit_and_fail if step == "commit" else fail)
        with pytest.raises(ConnectionResetError):
            await give(metrics)
        assert await metrics.counted("acme", *DAYS[0]) == [(0, 0, 0)] * 12  # undone
    restarted = metrics_of()
    for process in (metrics, restarted):
        await give(process)
        assert await wrong_days(process, recount, events, zone="UTC") == []
    waiting = "SELECT count(*) FROM metrics.unattributed_usage WHERE attributed_to IS NULL"
    assert await metrics.rows(waiting) == [(0,)]


async def test_of_two_processes_one_gives(metrics, metrics_of, attribution_of, event, mapped, recount):
    events, other = around_changed_clocks(event), metrics_of()
    await metrics.count(*events)
    await metrics.learn(mapped())
    await other.load()
    found = await asyncio.gather(
        attribution_of(metrics).run_once(), attribution_of(other).run_once(), return_exceptions=True
    )
    assert {one if isinstance(one, int) else type(one) for one in found} <= {len(events), 0, Fenced}
    assert len(events) in found
    for process in (metrics, other):
        await process.load()
        assert await wrong_days(process, recount, events, zone="UTC") == []


@pytest.mark.parametrize("mapping", [{"account": "bolt"}, {"environment": "trial"}])
async def test_who_has_not_heard_of_the_newest_mapping_gives_nothing_that_another_gave(
    metrics, metrics_of, attribution_of, give, event, mapped, mapping
):
    """Accounts of different shards have no position in common that would fence one of the two processes."""
    day, behind = date(2024, 6, 3), attribution_of(metrics)
    await metrics.count(event("", "ann", "2024-06-03", instance="i-1"))
    await metrics.learn(mapped())

    async def waiting():
        mapped = dict(metrics.register.instances.mapped)
        return await behind._waiting(await behind._wanted(mapped, range(subjects.SHARDS)))

    rows = await waiting()
    other = metrics_of()
    await other.learn(mapped(at="2026-02-01T00:00:00Z", **mapping))
    await give(other)
    await metrics.count(event("", "bob", "2024-06-03", instance="i-1"))
    await metrics.counting.load()
    again = await waiting()
    assert [row.user for row, _ in again] == ["bob"]
    with pytest.raises(Fenced):
        await behind._give(subjects.shard_of("acme"), rows)
    if "environment" in mapping:  # the same account, whose events of this installation count elsewhere by now
        with pytest.raises(Fenced):
            await behind._give(subjects.shard_of("acme"), again)
    assert await metrics.counted("acme", day, day) == [(0, 0, 0)]
    await give(metrics)
    (tallied,) = await metrics.tally.days(
        mapping.get("account", "acme"), day, day, mapping.get("environment", "production")
    )
    assert tallied.counts.dau_30[-1] == 2


async def test_it_is_the_account_s_shard_that_counts(metrics, attribution_of, event, mapped):
    shard = subjects.shard_of("acme")
    await metrics.count(event("", "ann", "2024-06-03", instance="i-1"))
    await metrics.learn(mapped())
    assert subjects.shard_of("i-1") != shard
    assert await attribution_of(metrics, set(range(16)) - {shard}).run_once() == 0
    assert await attribution_of(metrics, {shard}).run_once() == 1


@pytest.mark.parametrize(
    ("sent", "mapping", "counted"),
    [
        ({}, {}, (1, 0)),
        ({}, {"environment": "trial"}, (0, 1)),
        ({}, {"environment": "staging"}, (0, 0)),
        ({"environment": "trial"}, {}, (0, 1)),
        ({"environment": "staging"}, {"environment": "trial"}, (0, 0)),
        ({"actor": "system"}, {}, (0, 0)),
    ],
)
async def test_events_without_an_environment_count_where_the_mapping_says(
    metrics, give, event, mapped, sent, mapping, counted
):
    day = date(2024, 6, 3)
    await metrics.count(event("", "ann", "2024-06-03", instance="i-1", **sent))
    await metrics.learn(mapped(**mapping))
    await give(metrics)
    found = []
    for environment in ("production", "trial"):
        (tallied,) = await metrics.tally.days("acme", day, day, environment)
        found.append(tallied.counts.dau_30[-1])
        assert tallied.last_contact == day
    assert tuple(found) == counted


async def test_a_later_mapping_takes_everything_along(
    metrics, metrics_of, give, event, mapped, reading, send, recount, differing
):
    own, brought = around_changed_clocks(event, 1, account="acme"), around_changed_clocks(event, 2)
    other = around_changed_clocks(event, 3, instance="i-2")
    async with reading(metrics):
        await send(own + brought + other)
    await metrics.learn(mapped(), mapped("i-2"))
    await give(metrics)
    assert await wrong_days(metrics, recount, own + brought + other, zone="UTC") == []
    await metrics.learn(mapped(account="bolt", at="2026-02-01T00:00:00Z"))
    await give(metrics)
    restarted = metrics_of()
    await restarted.load()
    for process in (metrics, restarted):
        assert await wrong_days(process, recount, own + other, zone="UTC") == []
        assert await wrong_days(process, recount, brought, "bolt", "UTC") == []
    assert await differing(metrics) == 0
    audit = "SELECT instance, from_account, from_environment, to_account, kept_until FROM metrics.instance_change"
    assert await metrics.rows(audit) == [("i-1", "acme", "production", "bolt", None)]
    await metrics.learn(mapped(account="bolt", at="2026-03-01T00:00:00Z", environment="trial"))
    await give(metrics)
    assert await wrong_days(metrics, recount, [], "bolt", "UTC") == []
    assert len(await metrics.rows(audit)) == 2
    await metrics.learn(mapped(at="2026-01-15T00:00:00Z"))  # older than what is known
    assert await give(metrics) == 0


@pytest.fixture
def trimmed_to(monkeypatch):
    """USAGE tells all since an instant only."""

    def trimmed_to(at):
        async def whole_since(*_):
            return at

        monkeypatch.setattr(usage_log, "whole_since", whole_since)

    return trimmed_to


async def test_the_former_account_keeps_the_days_that_the_log_no_longer_tells_of(
    metrics, give, event, mapped, reading, send, trimmed_to
):
    first, last = date(2024, 6, 1), date(2024, 6, 10)
    async with reading(metrics):
        await send([event("", "ann", f"2024-06-{n:02}", instance="i-1") for n in range(1, 11)])
    await metrics.learn(mapped())
    await give(metrics)
    trimmed_to(datetime(2024, 6, 5, 12, tzinfo=UTC))
    await metrics.learn(mapped(account="bolt", at="2026-02-01T00:00:00Z"))
    await give(metrics)
    assert [dau for dau, _, _ in await metrics.counted("acme", first, last)] == [1] * 6 + [0] * 4
    assert [dau for dau, _, _ in await metrics.counted("bolt", first, last)] == [0] * 6 + [1] * 4
    assert await metrics.rows("SELECT kept_until FROM metrics.instance_change") == [(date(2024, 6, 6),)]


@pytest.mark.parametrize("zone", [ZONE, "Asia/Tokyo"])
async def test_no_event_counts_for_two_accounts_however_often_the_mapping_is_corrected(
    metrics, metrics_of, give, event, fact, mapped, reading, send, trimmed_to, zone
):
    """Each hour of some days somebody else, the log trimmed more each time; the process is a new one at each step."""
    start = datetime(2024, 6, 1, tzinfo=UTC)
    first, last = date(2024, 5, 31), date(2024, 6, 10)
    events = [event("", f"u-{n}", start + timedelta(hours=n), instance="i-1") for n in range(9 * 24)]
    names = ["acme", "bolt", "acme", "cory", "acme"]
    await metrics.learn(
        fact("account.updated", account="acme", time_zone=zone),
        fact("account.updated", account="bolt", time_zone="Europe/Berlin"),
    )
    async with reading(metrics):
        await send(events)
    for n, name in enumerate(names):
        trimmed_to(start + timedelta(hours=36 * n))
        process = metrics_of()
        await process.learn(mapped(account=name, at=f"2026-02-0{n + 1}T00:00:00Z"))
        await give(process)
        await give(process)
        counted = [await process.counted(one, first, last) for one in ("acme", "bolt", "cory")]
        assert sum(dau for of_one in counted for dau, _, _ in of_one) == len(events)


async def test_killed_between_taking_back_and_giving_it_counts_for_nobody_and_then_for_one(
    metrics, metrics_of, attribution_of, give, event, mapped, reading, send, recount
):
    brought = around_changed_clocks(event)
    async with reading(metrics):
        await send(brought)
    await metrics.learn(mapped())
    await give(metrics)
    await metrics.learn(mapped(account="bolt", at="2026-02-01T00:00:00Z"))
    instances, killed = metrics.register.instances, attribution_of(metrics)
    await killed._take_back(instances.mappings, frozenset(range(subjects.SHARDS)))
    between = metrics_of()
    await between.load()
    for name in ("acme", "bolt"):
        assert await wrong_days(between, recount, [], name, "UTC") == []
    await give(between)
    assert await wrong_days(between, recount, [], zone="UTC") == []
    assert await wrong_days(between, recount, brought, "bolt", "UTC") == []


async def test_what_has_no_news_asks_the_database_nothing(metrics, attribution_of, event, fact, mapped, monkeypatch):
    """A heartbeat is no news: thousands of installations send one every few minutes."""
    asked = []

    def noted(name, of_store):
        async def waiting_instances(connection):
            asked.append(name)
            return await of_store(connection)

        def attributions(connection, shards):
            asked.append(name)
            return of_store(connection, shards)

        return waiting_instances if name == "waiting" else attributions

    monkeypatch.setattr(instance_store, "waiting_instances", noted("waiting", instance_store.waiting_instances))
    monkeypatch.setattr(instance_store, "attributions", noted("given", instance_store.attributions))
    chore = attribution_of(metrics)
    await metrics.learn(mapped())
    await metrics.count(event("", "ann", "2024-06-03", instance="i-1"))
    assert await chore.run_once() == 1
    await chore.run_once()
    asked.clear()
    await metrics.learn(fact("instance.heartbeat", "2026-08-23T07:00:00Z", instance="i-1"))
    assert (await chore.run_once(), asked) == (0, [])
    await metrics.count(event("", "bob", "2024-06-03", instance="i-1"))
    assert (await chore.run_once(), asked) == (1, ["waiting"])
    asked.clear()
    await metrics.learn(mapped("i-2", "bolt"))
    assert (await chore.run_once(), asked) == (0, ["given", "waiting"])
    metrics.clock.forward(minutes=2)
    asked.clear()
    await metrics.count(event("acme", "bob", "2024-06-03"))
    assert (await chore.run_once(), asked) == (0, ["given", "waiting"])


async def test_a_crash_while_it_is_taken_back_leaves_all_where_it_was(
    metrics, metrics_of, give, event, mapped, reading, send, recount, monkeypatch
):
    brought = around_changed_clocks(event)
    async with reading(metrics):
        await send(brought)
    await metrics.learn(mapped())
    await give(metrics)
    await metrics.learn(mapped(account="bolt", at="2026-02-01T00:00:00Z"))

    async def fail(*_):
        raise ConnectionResetError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(instance_store, "record_release", fail)
        with pytest.raises(ConnectionResetError):
            await give(metrics)
        assert await wrong_days(metrics, recount, brought, zone="UTC") == []
    restarted = metrics_of()
    for process in (restarted, metrics):
        await give(process)
        assert await wrong_days(process, recount, [], zone="UTC") == []
        assert await wrong_days(process, recount, brought, "bolt", "UTC") == []


async def test_a_zone_that_is_learnt_later_moves_them_too(
    metrics, give, rezoning_of, event, fact, mapped, reading, send, recount, differing
):
    own, brought = around_changed_clocks(event, 1, account="acme"), around_changed_clocks(event, 2)
    async with reading(metrics):
        await send(own + brought)
    await metrics.learn(mapped())
    await give(metrics)
    await metrics.learn(fact("account.updated", account="acme", time_zone=ZONE))
    rezoning = rezoning_of(metrics)
    assert await rezoning.run_once() == 1
    assert await wrong_days(metrics, recount, own + brought) == []
    assert await differing(metrics) == 0


async def test_a_rebuild_finds_and_names_who_came_through_an_installation(
    metrics, metrics_of, give, client, event, mapped, reading, send
):
    day = date(2024, 6, 3)
    async with reading(metrics):
        await send([event("", "ann", "2024-06-03", instance="i-1")])
    await metrics.learn(mapped())
    await give(metrics)
    async with metrics.engine.begin() as connection:
        for table in ("activity_delta", "activity_mask", "person"):
            await connection.exec_driver_sql(f"DELETE FROM metrics.{table}")  # noqa: S608  # our own names
    process = metrics_of()
    await process.load()
    assert await process.counted("acme", day, day) == [(0, 0, 0)]
    rebuilding = Rebuilding(process.engine, process.counting, process.register, metrics_of, process.clock)
    rebuilding._refold = lambda: Register(process.engine, "UTC", process._reject, process.clock)
    rebuilding.request(check=False)
    await rebuilding.run_once(client.jetstream())
    assert rebuilding.progress.fixed == rebuilding.progress.differing > 0, rebuilding.progress
    assert await process.tally.users("acme", day, "dau", None) == ["ann"]


async def test_an_import_stays_one_import(metrics, give, event, mapped):
    await metrics.learn(mapped())
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM metrics.dirty")
    await metrics.count(event("", "ann", "2024-06-03", instance="i-1"), import_id="job")
    await give(metrics)
    marked = await metrics.rows("SELECT subject, import_id, first_day FROM metrics.dirty")
    assert marked == [("account:acme", "job", date(2024, 6, 3))]


async def test_more_than_fits_into_a_checkpoint_is_given_all_the_same(metrics, give, event, mapped, monkeypatch):
    monkeypatch.setattr("uptake_metrics.attribution.AT_ONCE", 100)
    users = MAX_BATCH_EVENTS
    await metrics.count(*(event("", f"user-{n}", "2024-06-03", instance="i-1") for n in range(users)))
    await metrics.learn(mapped())
    assert await give(metrics) == users
    assert (await metrics.counted("acme", date(2024, 6, 3), date(2024, 6, 3)))[0][0] == users


async def test_what_was_given_long_ago_is_dropped_and_what_waits_never(metrics, give, event, mapped, clock):
    await metrics.count(*(event("", "ann", "2024-06-03", instance=instance) for instance in ("i-1", "i-2")))
    await metrics.learn(mapped())
    await give(metrics)
    async with metrics.engine.begin() as connection:
        await instance_store.prune(connection, clock.now + timedelta(days=46))
        assert (await connection.exec_driver_sql("SELECT count(*) FROM metrics.unattributed_usage")).scalar() == 2
        await instance_store.prune(connection, clock.now + timedelta(days=48))
    assert await metrics.rows("SELECT instance FROM metrics.unattributed_usage") == [("i-2",)]
    assert await metrics.counted("acme", date(2024, 6, 3), date(2024, 6, 3)) == [(1, 1, 1)]
