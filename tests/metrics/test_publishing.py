"""Closed days become snapshots with revisions, once each; NATS gets every one of them."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta

import nats.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from uptake import subjects
from uptake.database import is_unavailable
from uptake.messages.kpi import AccountSnapshot, TeamSnapshot, TrialSnapshot, TrialUsage
from uptake.reader import Fenced
from uptake.subjects import shard_of
from uptake_metrics import snapshots, worklist
from uptake_metrics.publishing import PUBLISHED_DAYS

LAST = date(2026, 8, 24)  # the newest closed day: the clock starts at noon on the 25th
FIRST = LAST - timedelta(days=PUBLISHED_DAYS - 1)


def days(first, last):
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@pytest.fixture
def every_day(event):
    """One user who is active every day, from before the published days on and today."""
    return [event("acme", "ann", day.isoformat()) for day in days(FIRST - timedelta(days=40), date(2026, 8, 25))]


@pytest.fixture
async def published(metrics, every_day):
    await metrics.count(*every_day)
    await metrics.publish()
    return metrics


async def newest(metrics, subject, day):
    async with metrics.engine.connect() as connection:
        return (await snapshots.latest(connection, subject, day))[day].body


async def test_the_first_time_every_closed_day_is_published(published):
    assert await published.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST), 1)
    body = await newest(published, "account:acme", LAST)
    assert (body["kpis"]["mau"], body["kpis"]["partial"], body["kpis"]["revision"]) == (1, False, 1)
    assert body["closed_at"] == "2026-08-25T02:00:00Z"
    assert await published.rows("SELECT * FROM metrics.dirty") == []


async def test_a_second_look_publishes_nothing(published, metrics_of):
    await published.publish()
    restarted = metrics_of()
    await restarted.publish()
    assert set((await published.revisions("account:acme")).values()) == {1}


async def test_days_before_anything_was_heard_are_not_published(metrics, event, fact):
    await metrics.count(event("acme", "ann", "2026-08-20"))
    await metrics.learn(fact("account.updated", account="silent", owner="kim"))
    await metrics.publish()
    assert list(await metrics.revisions("account:acme")) == days(date(2026, 8, 20), LAST)
    assert list(await metrics.revisions("account:silent")) == [LAST]
    assert (await newest(metrics, "account:silent", LAST))["kpis"]["reason"] == "no_telemetry"


async def test_an_open_day_publishes_nothing(published, event):
    await published.count(event("acme", "bob", "2026-08-25"), event("new", "ann", "2026-08-25"))
    await published.publish()
    assert await published.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST), 1)
    assert list(await published.revisions("account:new")) == [LAST]  # that nothing is known of it yet


@pytest.mark.parametrize("age", [1, 3, 15, 29, 30, 33, 34])
async def test_a_late_event_changes_the_30_days_it_counts_in_and_no_other(published, event, age):
    day = LAST - timedelta(days=age)
    await published.count(event("acme", "late", day.isoformat()))
    await published.publish()
    changed = days(day, min(day + timedelta(days=29), LAST))
    assert await published.revisions("account:acme") == {on: 2 if on in changed else 1 for on in days(FIRST, LAST)}
    assert (await newest(published, "account:acme", changed[-1]))["kpis"]["mau"] == 2
    known = await published.rows("SELECT body FROM metrics.snapshot WHERE day = :day ORDER BY revision", day=day)
    assert [body["kpis"]["dau"] for (body,) in known] == [1, 2]  # nothing is overwritten


async def test_an_event_that_changes_no_number_makes_no_revision(published, event):
    await published.count(event("acme", "ann", "2026-08-20"), event("acme", "ann", "2026-08-20T18:00:00+00:00"))
    await published.publish()
    assert set((await published.revisions("account:acme")).values()) == {1}


async def test_an_import_far_back_changes_what_was_published_and_no_more(published, event, clock):
    clock.forward(days=20)
    await published.publish()
    day = FIRST - timedelta(days=5)
    await published.count(event("acme", "old", day.isoformat()))
    await published.publish()
    revised = [on for on, revision in (await published.revisions("account:acme")).items() if revision == 2]
    assert revised == days(FIRST, day + timedelta(days=29))


async def test_a_day_that_closes_is_one_new_snapshot(published, clock):
    clock.forward(hours=13, minutes=59)  # 01:59: the day is over and not closed
    await published.publish()
    assert max(await published.revisions("account:acme")) == LAST
    clock.forward(minutes=1)
    await published.publisher.close_days()  # at once, not by the worklist
    assert await published.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST + timedelta(days=1)), 1)
    assert await published.rows("SELECT * FROM metrics.dirty") == []
    assert (await newest(published, "account:acme", date(2026, 8, 25)))["kpis"]["dau"] == 1


async def test_a_day_closes_only_when_what_arrived_until_then_is_counted(published, clock):
    """After an outage the clock is far ahead of the counts: closing by the clock would publish days half counted."""
    published.counted_to = clock()
    clock.forward(days=2)
    await published.publish()
    assert list(await published.revisions("account:acme")) == days(FIRST, LAST)
    published.counted_to = clock() - timedelta(days=1)
    await published.publish()
    assert list(await published.revisions("account:acme")) == days(FIRST, LAST + timedelta(days=1))


async def test_no_day_is_left_out_while_an_outage_is_caught_up_with(published, event, clock):
    """A day's events are counted, and their marks answered, before that day can close for us."""
    clock.forward(days=3)
    for day in days(LAST + timedelta(days=1), LAST + timedelta(days=3)):
        published.counted_to = datetime(day.year, day.month, day.day, 13, tzinfo=UTC)
        await published.count(event("acme", "ann", day.isoformat()))
        await published.publisher.evaluate()
    published.counted_to = None
    await published.publisher.evaluate()
    await published.publish()
    assert list(await published.revisions("account:acme")) == days(FIRST, LAST + timedelta(days=3))


async def test_a_pause_after_a_seat_rise_is_news_though_the_seats_are_the_same(metrics, every_day, event, fact):
    """A late fact says what the seats were before: no number of those days moves, but alerts pause on them."""
    rose = LAST - timedelta(days=20)
    await metrics.count(*every_day)
    begins = {"account": "acme", "environment": "production"}
    await metrics.learn(fact("license.issued", license="new", seats=100, starts_at=f"{rose}T00:00:00Z", **begins))
    await metrics.publish()
    before = await metrics.revisions("account:acme")
    old = {"starts_at": "2026-01-01T00:00:00Z", "expires_at": f"{rose}T00:00:00Z"}
    await metrics.learn(fact("license.issued", license="old", seats=50, **old, **begins))
    await metrics.publish()
    after = await metrics.revisions("account:acme")
    assert {day for day in after if after[day] > before[day]} == set(days(FIRST, LAST))
    body = await newest(metrics, "account:acme", rose + timedelta(days=3))
    assert (body["seats_before"], body["seats_changed_on"]) == (50, str(rose))


async def test_a_day_that_closes_alone_tells_of_a_pause_that_began_before_it(metrics, every_day, event, fact, clock):
    begins = {"account": "acme", "license": "l", "environment": "production"}
    await metrics.learn(
        fact("license.issued", seats=50, starts_at="2026-01-01T00:00:00Z", **begins),
        fact("license.issued", seats=100, starts_at="2026-08-20T00:00:00Z", **begins),
    )
    await metrics.count(*every_day)
    await metrics.publish()
    clock.forward(days=1)
    await metrics.publisher.close_days()
    body = await newest(metrics, "account:acme", LAST + timedelta(days=1))
    assert (body["seats_changed_on"], body["seats_before"], body["seat_grace_until"]) == (
        "2026-08-20",
        50,
        "2026-09-19",
    )


async def test_an_import_holds_only_the_accounts_that_it_brings(metrics, event, batches):
    live, brought = batches([event("acme", "ann", "2026-08-20")]), None
    other = next(f"other-{n}" for n in range(999) if shard_of(f"other-{n}") == shard_of("acme"))
    brought = batches([event(other, "ann", "2026-08-20")], "job")
    await metrics.take([*live, *brought])
    await metrics.publish()
    assert list(await metrics.revisions("account:acme")) == days(date(2026, 8, 20), LAST)
    assert await metrics.revisions(f"account:{other}") == {}


async def test_days_that_change_together_say_which_part_of_how_many_they_are(published, event):
    await published.count(event("acme", "late", (LAST - timedelta(days=2)).isoformat()))
    await published.publish()
    bodies = [await newest(published, "account:acme", day) for day in days(FIRST, LAST)]
    assert [(body["part"], body["parts"]) for body in bodies] == [
        *((part, PUBLISHED_DAYS) for part in range(1, PUBLISHED_DAYS - 2)),
        *((part, 3) for part in range(1, 4)),
    ]


async def test_each_account_closes_its_days_by_its_own_clock(metrics, event, fact, clock):
    zones = {"east": "Pacific/Kiritimati", "west": "Pacific/Pago_Pago"}
    await metrics.learn(*(fact("account.updated", account=name, time_zone=zone) for name, zone in zones.items()))
    await metrics.count(*(event(name, "ann", "2026-08-24") for name in zones))
    await metrics.publish()
    assert {name: max(await metrics.revisions(f"account:{name}")) for name in zones} == {
        "east": date(2026, 8, 25),  # it is 2:00 of the 26th
        "west": date(2026, 8, 23),  # it is 1:00 of the 25th
    }


async def test_days_that_closed_while_nobody_was_there_are_published_later(published, metrics_of, clock):
    clock.forward(days=4)
    restarted = metrics_of()
    await restarted.publish()
    assert await restarted.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST + timedelta(days=4)), 1)


async def test_a_day_whose_commit_failed_is_published_the_next_time(published, clock, monkeypatch):
    clock.forward(days=1)
    insert = snapshots.insert

    async def cut(connection, new, now):
        await insert(connection, new, now)
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with published.engine.connect() as other:
            await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "insert", cut)
        with pytest.raises((DBAPIError, OSError)):
            await published.publisher.close_days()
    assert max(await published.revisions("account:acme")) == LAST
    await published.publish()
    assert max(await published.revisions("account:acme")) == date(2026, 8, 25)


async def test_after_months_of_silence_a_day_still_closes(metrics, event, clock):
    await metrics.count(event("acme", "ann", "2026-05-01"))
    await metrics.publish()
    clock.forward(days=1)
    await metrics.publish()
    assert await metrics.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST + timedelta(days=1)), 1)
    assert (await newest(metrics, "account:acme", LAST))["kpis"]["last_contact"] == "2026-05-01"


async def test_an_import_is_evaluated_once_when_it_is_finished_and_counted(published, event, fact):
    await published.learn(fact("import.started", import_id="job", reason="history"))
    for age in (3, 9, 6):
        await published.count(
            event("acme", f"late-{age}", (LAST - timedelta(days=age)).isoformat()),
            event("fresh", "ann", (LAST - timedelta(days=age)).isoformat()),
            import_id="job",
        )
        await published.count(event("acme", f"live-{age}", (LAST - timedelta(days=age)).isoformat()))
        await published.publish()
    assert set((await published.revisions("account:acme")).values()) == {1}
    assert await published.revisions("account:fresh") == {}
    end = published.counting.position.sequence + 1
    await published.learn(fact("import.finished", import_id="job", usage_sequence=end, accepted=6, refused=0))
    await published.publish()
    assert await published.revisions("account:fresh") == {}  # its last batch is not counted yet
    await published.count(event("acme", "late-20", (LAST - timedelta(days=20)).isoformat()), import_id="job")
    await published.publish()
    revised = await published.revisions("account:acme")
    assert {on: revision for on, revision in revised.items() if revision > 1} == dict.fromkeys(
        days(LAST - timedelta(days=20), LAST), 2
    )
    assert await published.revisions("account:fresh") == dict.fromkeys(days(LAST - timedelta(days=9), LAST), 1)


async def test_an_import_that_holds_an_account_holds_its_days_too(published, event, fact, clock):
    await published.learn(fact("import.started", import_id="job", reason="history"))
    await published.count(event("acme", "late", LAST.isoformat()), import_id="job")
    clock.forward(days=1)
    await published.publish()
    assert max(await published.revisions("account:acme")) == LAST
    await published.learn(fact("import.finished", import_id="job", usage_sequence=0, accepted=1, refused=0))
    await published.publish()
    assert list((await published.revisions("account:acme")).items())[-2:] == [(LAST, 2), (LAST + timedelta(days=1), 1)]


async def test_an_abandoned_import_is_evaluated_as_far_as_it_came(published, event):
    await published.count(event("acme", "late", LAST.isoformat()), import_id="job")
    async with published.engine.begin() as connection:
        await connection.execute(text("UPDATE metrics.dirty SET marked_at = now() - interval '16 minutes'"))
    await published.publish()
    assert (await published.revisions("account:acme"))[LAST] == 2


async def test_a_new_owner_publishes_the_newest_day_again_and_no_other(published, fact):
    await published.learn(fact("account.updated", account="acme", owner="kim"))
    await published.publish()
    assert await published.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST), 1) | {LAST: 2}
    assert (await newest(published, "account:acme", LAST))["owner"] == "kim"
    await published.learn(fact("account.updated", "2026-01-02T00:00:00Z", account="acme", owner="kim"))
    await published.publish()
    assert (await published.revisions("account:acme"))[LAST] == 2


async def test_seats_from_a_day_on_change_the_days_from_then_on(published, fact):
    starts = (LAST - timedelta(days=9)).isoformat()
    await published.learn(
        fact("account.updated", account="acme", production_date="2026-01-01"),
        fact("license.issued", f"{starts}T12:00:00Z", account="acme", license="l", seats=4),
    )
    await published.publish()
    adoption = {
        day: (await newest(published, "account:acme", day))["kpis"]["adoption"]["den"] for day in days(FIRST, LAST)
    }
    assert adoption == {day: 4 if day.isoformat() >= starts else None for day in days(FIRST, LAST)}
    assert set((await published.revisions("account:acme")).values()) == {2}  # the ladder began: all days


async def test_nothing_is_published_of_days_that_are_about_to_be_recomputed(published, fact, clock):
    await published.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    clock.forward(days=1)
    await published.publish()
    assert await published.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST), 1)
    assert [row[0] for row in await published.rows("SELECT subject FROM metrics.dirty")] == ["account:acme"]


async def test_recomputed_days_are_published_with_what_changed(
    rezoning_of, metrics, event, fact, clock, client, batches, reading
):
    clock.now = (await stored_at(client)).replace(hour=12, minute=0)
    today = clock.now.date()
    events = [event("acme", "ann", (today - timedelta(days=n)).isoformat() + "T20:00:00+00:00") for n in range(1, 5)]
    async with reading(metrics):
        for subject, data in batches(events):
            await client.jetstream().publish(subject, data)
    await metrics.publish()
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    await metrics.publish()
    assert set((await metrics.revisions("account:acme")).values()) == {1}
    rezoning = rezoning_of(metrics)
    assert await rezoning.run_once() == 1
    await metrics.publish()
    revisions = await metrics.revisions("account:acme")
    assert revisions[today - timedelta(days=4)] == 2  # empty now: its evening is the next day in Tokyo
    assert (await newest(metrics, "account:acme", today - timedelta(days=4)))["kpis"]["dau"] == 0


async def test_a_published_day_that_is_open_again_is_published_anew_when_it_closes(
    rezoning_of, metrics, metrics_of, event, fact, clock, client, batches, reading
):
    """The zone moves west: yesterday was closed in UTC, and its evening is still to come."""
    clock.now = (await stored_at(client)).replace(hour=12, minute=0)
    yesterday = clock.now.date() - timedelta(days=1)
    async with reading(metrics):
        for subject, data in batches([event("acme", "ann", f"{yesterday}T05:00:00+00:00")]):
            await client.jetstream().publish(subject, data)
    await metrics.publish()
    assert (await newest(metrics, "account:acme", yesterday))["kpis"]["dau"] == 1
    await metrics.learn(fact("account.updated", account="acme", time_zone="Pacific/Pago_Pago"))
    await rezoning_of(metrics).run_once()
    await metrics.publish()
    assert (await metrics.revisions("account:acme"))[yesterday] == 1  # open days are not published
    restarted = metrics_of()
    await restarted.publish()
    clock.forward(hours=2)
    await restarted.publish()
    assert (await metrics.revisions("account:acme"))[yesterday] == 2
    kpis = (await newest(metrics, "account:acme", yesterday))["kpis"]
    assert (kpis["dau"], kpis["mau"], kpis["time_zone"], kpis["partial"]) == (0, 1, "Pacific/Pago_Pago", False)
    assert await metrics.rows("SELECT * FROM metrics.dirty") == []


async def stored_at(client):
    ack = await client.jetstream().publish("raw.v1.test.x", b"")
    return (await client.jetstream().get_msg(ack.stream, ack.seq)).time


async def persistently(chore):
    """As the service repeats its chores: what another process got in the way of is tried again."""
    while True:
        try:
            return await chore()
        except Exception as error:
            if not (isinstance(error, Fenced) or is_unavailable(error)):
                raise


async def test_two_processes_publish_every_revision_once(metrics, metrics_of, every_day, event):
    other = metrics_of()
    await metrics.count(*every_day, *(event(f"n{n}", "ann", LAST.isoformat()) for n in range(120)))
    await asyncio.gather(persistently(metrics.publish), persistently(other.publish))
    await metrics.count(event("acme", "late", LAST.isoformat()))
    await asyncio.gather(persistently(metrics.publish), persistently(other.publish))
    assert await metrics.revisions("account:acme") == dict.fromkeys(days(FIRST, LAST), 1) | {LAST: 2}
    assert await metrics.rows("SELECT count(*) FROM metrics.snapshot") == [(PUBLISHED_DAYS + 1 + 120,)]


async def test_a_process_whose_memory_is_behind_publishes_nothing(published, metrics_of, event, fact, clock):
    behind = metrics_of()
    await behind.publish()
    await published.count(event("acme", "late", LAST.isoformat()))
    with pytest.raises(Fenced):
        await behind.publisher.evaluate()
    clock.forward(days=1)
    with pytest.raises(Fenced):
        await behind.publisher.close_days()
    await behind.publish()
    assert list((await behind.revisions("account:acme")).values())[-2:] == [2, 1]


async def test_facts_that_another_process_has_learnt_are_caught_up_with_before_anything_is_said(
    published, metrics_of, fact
):
    behind = metrics_of()
    await behind.publish()
    await published.learn(fact("account.updated", account="acme", owner="kim"))
    await behind.publisher.evaluate()
    bodies = await behind.rows("SELECT body FROM metrics.snapshot ORDER BY day DESC, revision DESC LIMIT 1")
    assert bodies[0][0]["owner"] == "kim"


async def test_a_process_publishes_what_its_shards_hold_and_nothing_else(metrics, event):
    names = [f"n{n}" for n in range(40)]
    await metrics.count(*(event(name, "ann", LAST.isoformat()) for name in names))
    ours = frozenset(range(5))
    metrics.publisher._shards = lambda: ours
    await metrics.publish()
    told = {
        subject.removeprefix("account:") for (subject,) in await metrics.rows("SELECT subject FROM metrics.snapshot")
    }
    assert told == {name for name in names if shard_of(name) in ours} != set()
    metrics.publisher._shards = lambda: frozenset(range(16))
    await metrics.publish()
    told = {
        subject.removeprefix("account:") for (subject,) in await metrics.rows("SELECT subject FROM metrics.snapshot")
    }
    assert told == set(names)


def stage(fact, at, **fields):
    return fact("opportunity.stage_changed", at, account="acme", opportunity="opp-1", **{"stage": 4} | fields)


async def trial_snapshots(metrics):
    bodies = await metrics.rows("SELECT body FROM metrics.snapshot WHERE subject = 'trial:opp-1' ORDER BY revision")
    return [TrialSnapshot.model_validate(body) for (body,) in bodies]


async def test_a_trial_is_published_when_a_fact_moves_it(metrics, fact):
    await metrics.learn(stage(fact, "2026-08-10T09:00:00Z", stage=3))
    await metrics.publish()
    assert await trial_snapshots(metrics) == []
    await metrics.learn(fact("account.updated", account="acme", name="Acme"), stage(fact, "2026-08-11T09:00:00Z"))
    await metrics.publish()
    await metrics.publish()
    (running,) = await trial_snapshots(metrics)
    assert (running.trial.state, running.trial.cycle_days, running.name) == ("running", 14, "Acme")
    assert (running.approaching_on, running.breached_on) == (date(2026, 8, 27), date(2026, 9, 2))
    await metrics.learn(fact("trial.decided", "2026-08-20T09:00:00Z", opportunity="opp-1", outcome="win"))
    await metrics.publish()
    running, stopped = await trial_snapshots(metrics)
    assert (stopped.trial.state, stopped.trial.outcome, stopped.breached_on) == ("stopped", "win", None)
    assert running.revision < stopped.revision


async def test_a_trial_whose_account_gets_another_owner_is_published_again(metrics, fact):
    await metrics.learn(stage(fact, "2026-08-11T09:00:00Z"))
    await metrics.publish()
    await metrics.learn(fact("account.updated", account="acme", owner="kim"))
    await metrics.publish()
    await metrics.learn(fact("license.issued", account="acme", license="l", seats=4))  # says nothing of trials
    await metrics.publish()
    assert [one.owner for one in await trial_snapshots(metrics)] == [None, "kim"]


async def test_revisions_of_a_trial_rise_when_its_start_is_corrected(metrics, fact):
    await metrics.learn(stage(fact, "2026-08-11T09:00:00Z"))
    await metrics.publish()
    await metrics.learn(stage(fact, "2026-07-01T09:00:00Z"))
    await metrics.publish()
    known = await trial_snapshots(metrics)
    assert [one.trial.started for one in known] == [date(2026, 8, 11), date(2026, 7, 1)]
    assert known[0].revision < known[1].revision


async def test_a_running_trial_carries_its_usage_of_the_last_closed_day(metrics, event, fact, clock):
    await metrics.count(event("acme", "tess", "2026-08-24", environment="trial"), event("acme", "ann", "2026-08-24"))
    await metrics.learn(stage(fact, "2026-08-11T09:00:00Z"))
    await metrics.publish()
    (first,) = await trial_snapshots(metrics)
    assert first.usage == TrialUsage(as_of=LAST, dau=1, wau=1, mau=1, reason=None)
    await metrics.count(event("acme", "tom", "2026-08-25", environment="trial"))
    clock.forward(days=1)
    await metrics.publish()
    first, second = await trial_snapshots(metrics)
    assert second.usage == TrialUsage(as_of=LAST + timedelta(days=1), dau=1, wau=2, mau=2, reason=None)
    assert (second.trial.cycle_days, second.revision) == (15, first.revision + 1)
    await metrics.publish()
    assert len(await trial_snapshots(metrics)) == 2  # the same day says nothing new
    await metrics.learn(fact("trial.decided", "2026-08-26T09:00:00Z", opportunity="opp-1", outcome="win"))
    await metrics.publish()
    clock.forward(days=1)
    await metrics.publish()
    *_, stopped = await trial_snapshots(metrics)
    assert (stopped.trial.state, stopped.usage, len(await trial_snapshots(metrics))) == ("stopped", None, 3)


async def test_late_usage_of_a_trial_is_in_its_next_revision(metrics, event, fact):
    await metrics.count(event("acme", "ann", "2026-08-20"))
    await metrics.learn(stage(fact, "2026-08-11T09:00:00Z"))
    await metrics.publish()
    await metrics.count(event("acme", "ann", "2026-08-19"), event("acme", "tess", "2026-08-20", environment="trial"))
    await metrics.publish()
    await metrics.publish()
    assert [one.usage.mau for one in await trial_snapshots(metrics)] == [0, 1]


async def team_snapshots(metrics):
    bodies = await metrics.rows("SELECT body FROM metrics.snapshot WHERE subject = 'team:' ORDER BY revision")
    return [TeamSnapshot.model_validate(body) for (body,) in bodies]


async def test_the_team_is_published_when_a_fact_moves_its_quarter(metrics, fact):
    await metrics.learn(fact("account.updated", account="acme", owner="kim"))
    await metrics.publish()
    assert await team_snapshots(metrics) == []
    await metrics.learn(stage(fact, "2026-08-10T09:00:00Z"))
    await metrics.publish()
    await metrics.learn(stage(fact, "2026-08-11T09:00:00Z"))  # moves no number of the team
    await metrics.publish()
    await metrics.learn(fact("trial.decided", "2026-08-20T09:00:00Z", opportunity="opp-1", outcome="win"))
    await metrics.publish()
    begun, decided = await team_snapshots(metrics)
    assert (begun.team.quarter, begun.team.closure.den, begun.vendor_zone) == ("2026Q3", 0, "UTC")
    assert (decided.team.closure.num, decided.team.closure.den, decided.team.standard.n) == (1, 1, 1)
    assert begun.revision < decided.revision


async def test_a_new_quarter_begins_without_any_fact(metrics, fact, clock):
    await metrics.learn(
        stage(fact, "2026-08-10T09:00:00Z"),
        fact("trial.decided", "2026-08-20T09:00:00Z", opportunity="opp-1", outcome="win"),
    )
    await metrics.publish()
    clock.now = datetime(2026, 10, 1, tzinfo=UTC)
    await metrics.publish()
    await metrics.publish()
    told = await team_snapshots(metrics)
    assert [(one.team.quarter, one.team.closure.den) for one in told] == [("2026Q3", 1), ("2026Q4", 0)]
    assert told[0].revision < told[1].revision
    await metrics.learn(fact("trial.decided", "2026-08-20T10:00:00Z", opportunity="opp-1", outcome="loss"))
    await metrics.publish()
    assert len(await team_snapshots(metrics)) == 2  # of the quarter before: asked for, not announced


async def test_two_processes_publish_the_team_once(metrics, metrics_of, fact):
    await metrics.learn(stage(fact, "2026-08-10T09:00:00Z"))
    other = metrics_of()
    await other.load()
    await asyncio.gather(metrics.publish(), other.publish())
    assert len(await team_snapshots(metrics)) == 1


async def stored(client):
    js = client.jetstream()
    last = (await js.stream_info(subjects.KPI)).state.last_seq
    return [await js.get_msg(subjects.KPI, number) for number in range(1, last + 1)]


async def test_every_snapshot_is_sent_with_an_id_of_its_own(published, client, fact):
    await published.learn(stage(fact, "2026-08-11T09:00:00Z"))
    await published.publish()
    assert await published.publisher.send(client.jetstream()) == PUBLISHED_DAYS + 2
    assert await published.publisher.send(client.jetstream()) == 0
    messages = await stored(client)
    account, trial = subjects.kpi_account("acme"), subjects.kpi_trial("opp-1")
    of_account = [AccountSnapshot.model_validate_json(m.data) for m in messages if m.subject == account]
    of_trial = [TrialSnapshot.model_validate_json(m.data) for m in messages if m.subject == trial]
    assert sorted(one.kpis.as_of for one in of_account) == days(FIRST, LAST)
    assert [one.trial.opportunity for one in of_trial] == ["opp-1"]
    of_team = [TeamSnapshot.model_validate_json(m.data) for m in messages if m.subject == subjects.kpi_team()]
    assert [one.team.quarter for one in of_team] == ["2026Q3"]
    ids = {m.headers["Nats-Msg-Id"] for m in messages}
    assert len(ids) == PUBLISHED_DAYS + 2
    assert f"{account}/{LAST}/1" in ids


async def test_after_a_crash_between_sending_and_noting_it_the_broker_knows_the_id(
    published, metrics_of, client, monkeypatch
):
    async def crash(*_):
        raise ConnectionResetError("the process ends here")

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "mark_sent", crash)
        with pytest.raises(ConnectionResetError):
            await published.publisher.send(client.jetstream())
    assert len(await stored(client)) == PUBLISHED_DAYS
    restarted = metrics_of()
    await restarted.load()
    assert await restarted.publisher.send(client.jetstream()) == PUBLISHED_DAYS
    assert len(await stored(client)) == PUBLISHED_DAYS
    assert await restarted.publisher.send(client.jetstream()) == 0


async def test_without_the_broker_nothing_is_taken_for_sent(published, client, nats_server):
    nats_server.kill()
    with pytest.raises((nats.errors.Error, OSError)):
        await published.publisher.send(client.jetstream())
    nats_server.start()
    async with asyncio.timeout(20):
        while not client.is_connected:  # noqa: ASYNC110  # the client comes back by itself
            await asyncio.sleep(0.05)
    assert await published.publisher.send(client.jetstream()) == PUBLISHED_DAYS
    assert len({message.headers["Nats-Msg-Id"] for message in await stored(client)}) == PUBLISHED_DAYS


async def test_what_the_broker_does_not_take_of_one_holds_up_no_other(published, client, engine, fact):
    await published.learn(stage(fact, "2026-08-11T09:00:00Z"))
    await published.publish()
    huge = text("UPDATE metrics.snapshot SET body = jsonb_set(body, '{name}', to_jsonb(repeat('x', 70000)))"
                " WHERE subject = 'account:acme'")  # fmt: skip
    async with engine.begin() as connection:
        await connection.execute(huge)
    for _ in range(2):
        with pytest.raises(nats.js.errors.APIError):
            await published.publisher.send(client.jetstream())
    assert {message.subject for message in await stored(client)} == {subjects.kpi_trial("opp-1"), subjects.kpi_team()}
    async with engine.connect() as connection:
        unsent = text("SELECT count(*) FROM metrics.snapshot WHERE NOT sent AND subject <> 'account:acme'")
        assert await connection.scalar(unsent) == 0


async def test_a_late_event_is_sent_as_the_next_revision(published, client, event):
    await published.publisher.send(client.jetstream())
    await published.count(event("acme", "late", LAST.isoformat()))
    await published.publish()
    assert await published.publisher.send(client.jetstream()) == 1
    newest = json.loads((await stored(client))[-1].data)
    assert (newest["kpis"]["as_of"], newest["kpis"]["revision"], newest["kpis"]["mau"]) == (LAST.isoformat(), 2, 2)


async def test_work_of_unknown_subjects_is_struck_off(metrics, engine):
    async with engine.begin() as connection:
        await worklist.mark(connection, {worklist.trial("nobody"): LAST, "something:else": LAST})
    await metrics.publish()
    assert await metrics.rows("SELECT * FROM metrics.dirty") == []
