"""Planning on a real PostgreSQL: whom an alert is told to, what holds it back, storms, digests, alerts about them."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update

from tests.alerting.two_rules import RULES
from uptake_alerting import claims, dispatch_store, evaluation, storms
from uptake_alerting.breaker import LASTS
from uptake_alerting.claims import Claimed
from uptake_alerting.dispatch import Dispatch, InForce
from uptake_alerting.dispatch import look as look_once
from uptake_alerting.patience import Next
from uptake_alerting.roster import Roster
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.store import SUBJECT
from uptake_alerting.tables import alert_event, breaker, cursor, delivery, episode, instance, silence

START = date(2026, 4, 1)
NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)  # a Monday
NIGHT = datetime(2026, 5, 4, 22, tzinfo=UTC)
ROUTES = """
channels:
  mine: {type: webhook, url: "http://mine.test/", serves: [ce-1]}
  second: {type: webhook, url: "http://second.test/", serves: [ce-2]}
  ops: {type: webhook, url: "http://ops.test/"}
default: [ops]
operators: [ops]
"""
ROSTER = Roster.model_validate({"people": [{"name": "ce-1"}, {"name": "ce-2"}]})


@pytest.fixture
def routes(routes_file):
    return routes_file(ROUTES)


@pytest.fixture
def take(engine, account_day):
    """Days as letters, `B` off target and `C` on target, of every account; nothing is planned yet."""

    async def run(text, accounts=("acme",), first=0, now=NOW, **other):
        days = [
            account_day(START + timedelta(days=first + i), 24 if letter == "B" else 60, account=account, **other)
            for account in accounts
            for i, letter in enumerate(text)
        ]
        async with engine.begin() as connection:
            await evaluation.take(connection, days, RULES, now)

    return run


@pytest.fixture
def rows(engine):
    """Deliveries as `rule subject: channel kind status`."""

    async def run(*columns):
        shown = columns or (episode.c.rule, episode.c.subject, delivery.c.channel, delivery.c.kind, delivery.c.status)
        statement = select(*shown).select_from(delivery.outerjoin(episode, episode.c.id == delivery.c.episode))
        async with engine.connect() as connection:
            found = await connection.execute(statement.order_by(delivery.c.created_at, delivery.c.id))
        return [" ".join(str(value) for value in row) for row in found]

    return run


@pytest.fixture
def send(engine, look, routes):
    """Every notice that is due gets the outcome, and what follows is planned; how many there were."""

    async def run(now=NOW, outcome="delivered", roster=None, only=None):
        count = 0
        while True:
            async with engine.begin() as connection:
                claimed = await claims.claim(connection, now, [] if only is None else [only])
            if not claimed:
                return count
            await record(claimed, Next(outcome, "ok" if outcome == "delivered" else "http_4xx"), now)
            await look(routes, now, roster)
            count += len(claimed)

    async def record(claimed: list[Claimed], after: Next, now: datetime):
        async with engine.begin() as connection:
            for one in claimed:
                await claims.finish(connection, one, after, now)

    return run


async def column(engine, statement):
    async with engine.connect() as connection:
        return list(await connection.scalars(statement))


@pytest.fixture
def silenced(engine):
    async def run(hours=1, value="acme", start=NOW):
        row = {
            "id": "s1",
            "matchers": [{"name": "account", "op": "=", "value": value}],
            "created_by": "ce-1",
            "comment": "known",
            "created_at": start,
            "starts_at": start,
            "ends_at": start + timedelta(hours=hours),
        }
        async with engine.begin() as connection:
            await connection.execute(insert(silence).values(row))
            await dispatch_store.wake(connection, start)

    return run


async def test_promise_3_a_silence_changes_neither_condition_nor_history(take, look, routes, engine, silenced):
    """Two accounts of the same days, one of them silent; only what is told differs."""
    await silenced(hours=24 * 30)
    kinds = {}
    for part, text in enumerate(["BB", "B", "C", "B", "CCC", "BBB"]):
        first = [0, 2, 3, 4, 5, 8][part]
        await take(text, ("acme", "other"), first=first)
        await look(routes, NOW)
    for account in ("acme", "other"):
        mine = select(alert_event.c.kind).join(episode).where(episode.c.subject == account)
        history = await column(engine, mine.order_by(alert_event.c.position))
        states = await column(engine, select(instance.c.state).where(instance.c.subject == account))
        kinds[account] = [kind for kind in history if kind != "suppressed"], states
    assert kinds["acme"] == kinds["other"]
    heard = await column(engine, select(episode.c.subject).join(delivery).distinct())
    assert heard == ["other"]


async def test_promise_4_the_end_of_a_silence_brings_one_trigger_with_the_original_since(
    take, look, routes, rows, silenced, send, engine
):
    await silenced(hours=2)
    await take("BBB")
    await look(routes, NOW)
    assert await rows() == []
    (gates,) = await column(engine, select(episode.c.gates))
    assert [(gate["reason"], gate["what"]) for gate in gates] == [("silenced", "s1")]
    later = NOW + timedelta(hours=2)
    for _ in range(2):
        await look(routes, later)
    assert await rows() == ["adoption-below-target acme mine trigger pending"]
    assert await column(engine, select(episode.c.since)) == [START]
    assert await send(later) == 1
    assert await column(engine, select(alert_event.c.kind).order_by(alert_event.c.position)) == ["firing", "suppressed"]


async def test_a_silence_takes_back_all_that_wait_at_once(take, look, routes, rows, silenced, engine):
    routes.path.write_text(ROUTES.replace("serves: [ce-2]", "serves: [ce-1]"))
    await take("BBB")
    await look(routes, NOW)
    await silenced(hours=1)
    await look(routes, NOW)
    assert await rows(delivery.c.status, delivery.c.reason) == ["skipped silenced"] * 2


async def test_a_silence_takes_back_what_still_waits_and_its_end_brings_it_under_the_same_id(
    take, look, routes, rows, silenced
):
    await take("BBB")
    await look(routes, NOW)
    (before,) = await rows(delivery.c.id)
    await silenced(hours=1)
    await look(routes, NOW)
    assert await rows(delivery.c.status, delivery.c.reason) == ["skipped silenced"]
    await look(routes, NOW + timedelta(hours=1))
    assert await rows(delivery.c.id, delivery.c.status) == [f"{before} pending"]


async def test_what_fires_and_clears_at_night_is_a_line_of_the_morning_digest_only(
    take, look, routes, rows, send, engine
):
    await take("BBB", now=NIGHT)
    await look(routes, NIGHT, ROSTER)
    assert await rows() == []
    await take("CCC", first=3, now=NIGHT + timedelta(hours=1))
    await look(routes, NIGHT + timedelta(hours=1), ROSTER)
    assert await rows() == ["adoption-below-target acme mine digest collected"]
    assert await send(NIGHT + timedelta(hours=9), roster=ROSTER) == 0
    morning = NIGHT + timedelta(hours=10)
    await look(routes, morning, ROSTER)
    assert await send(morning, roster=ROSTER) == 1
    assert await rows() == [
        "adoption-below-target acme mine digest delivered",
        "None None mine digest delivered",
    ]
    (content,) = await column(engine, select(delivery.c.content).where(delivery.c.content.is_not(None)))
    assert content["headline"] == "Alerts for ce-1: 0 open, 1 over"
    assert any("Acme Corp is back on its adoption target: 60 % (60/100 seats)" in line for line in content["lines"])


async def test_a_warning_at_night_waits_for_the_morning(take, look, routes, rows):
    await take("BBB", now=NIGHT)
    await look(routes, NIGHT, ROSTER)
    assert await rows() == []
    await look(routes, NIGHT + timedelta(hours=11), ROSTER)
    assert await rows() == ["adoption-below-target acme mine trigger pending"]


async def test_an_alert_that_reached_nobody_is_one_itself_through_another_channel_and_ends_with_it(
    take, look, routes, rows, send, engine
):
    routes.path.write_text(ROUTES.replace("default: [ops]", "default: [second]"))
    await take("BBB")
    await look(routes, NOW)
    assert await send(outcome="failed", only="ops") == 2  # the owner's channel, then the default one
    assert (await rows())[-1] == f"alert-undelivered {(await ids(engine))[0]} ops trigger pending"
    assert await send(only="mine") == 1
    await take("CCC", first=3)
    await look(routes, NOW)
    states = await column(engine, select(episode.c.state).where(episode.c.rule == "alert-undelivered"))
    assert states == ["resolved"]
    assert await send() == 1
    assert f"alert-undelivered {(await ids(engine))[0]} ops terminal delivered" in await rows()


async def ids(engine):
    return await column(engine, select(episode.c.id).where(episode.c.rule == "adoption-below-target"))


async def test_an_alert_about_that_is_never_made_about_itself(take, look, routes, rows, send, engine):
    routes.path.write_text(ROUTES.replace("default: [ops]", "default: []"))
    await take("BBB")
    await look(routes, NOW)
    assert await send(outcome="failed") == 3  # the owner's channel, the deputy's, then that of the operators
    assert len(await rows()) == 3
    rules = await column(engine, select(episode.c.rule).order_by(episode.c.rule))
    assert rules == ["adoption-below-target", "alert-undelivered"]
    assert len(await column(engine, select(episode.c.id).where(claims.UNDELIVERABLE))) == 2


async def test_flapping_is_told_three_times_and_then_only_in_the_digest(take, look, routes, rows, send, engine):
    for cycle in range(4):
        await take("BBB", first=6 * cycle, now=NOW)
        await look(routes, NOW)
        await send()
        await take("CCC", first=6 * cycle + 3, now=NOW)
        await look(routes, NOW)
        await send()
    told = await rows(episode.c.number, delivery.c.kind, delivery.c.status)
    assert sorted(told) == [
        *(f"{number} {kind} delivered" for number in (1, 2, 3) for kind in ("terminal", "trigger")),
        "4 digest collected",
        "4 trigger skipped",
    ]


async def test_another_alert_that_explains_it_holds_it_back(take, look, routes, rows, engine):
    await take("BBB")
    await take("BBB", ["other"])
    async with engine.begin() as connection:
        of_acme = (await connection.execute(select(episode).where(episode.c.subject == "acme"))).mappings().one()
        silent = dict(of_acme) | {"id": "silent", "rule": "telemetry-silent", "look_at": None}
        await connection.execute(insert(episode).values(silent))

    found = InForce(RulesFile(None).current().by_name, Roster(), routes.current())
    dispatch = Dispatch(engine, lambda: found, 0)
    while await dispatch.step(NOW):
        pass
    told = [row for row in await rows() if row.startswith("adoption")]
    assert told == ["adoption-below-target other mine trigger pending"]
    async with engine.begin() as connection:
        ended = update(episode).where(episode.c.id == "silent")
        await connection.execute(ended.values(ended_at=NOW, state="resolved", look_at=NOW))
    while await dispatch.step(NOW):
        pass
    assert sorted(row for row in await rows() if row.startswith("adoption")) == [
        "adoption-below-target acme mine trigger pending",
        "adoption-below-target other mine trigger pending",
    ]


async def test_while_no_numbers_come_only_operators_are_told_and_the_rest_once_they_do(
    take, look, routes, rows, engine
):
    await take("BBB")
    position = {"name": "kpi", "stream_uuid": "u", "sequence": 1, "stored_at": NOW - timedelta(hours=31)}
    async with engine.begin() as connection:
        await connection.execute(insert(cursor).values(position))
    for _ in range(2):
        await look(routes, NOW)
    assert await rows() == ["pipeline-down kpi ops trigger pending"]
    async with engine.begin() as connection:
        await connection.execute(update(cursor).values(stored_at=NOW))
    await look(routes, NOW)
    assert sorted(await rows()) == [
        "adoption-below-target acme mine trigger pending",
        "pipeline-down kpi ops trigger skipped",
    ]


STORM = 2000


@pytest.fixture
async def storm(engine, take, account_day):
    """Thousands of accounts fall off their targets in one evaluation; half of them have another owner."""
    accounts = [f"a{i:04}" for i in range(STORM)]
    await take("BBB", accounts[: STORM // 2])
    await take("BBB", accounts[STORM // 2 :], owner="ce-2", deputy=None)


async def test_a_storm_makes_one_notice_to_operators_and_its_release_one_digest_each(
    storm, look, routes, rows, send, engine
):
    replicas = [look(routes, NOW) for _ in range(2)]
    await asyncio.gather(*replicas)
    assert await rows() == ["mass-breach adoption-below-target ops trigger pending"]
    assert await send() == 1
    held = await column(engine, select(func.count()).where(episode.c.gates[0]["reason"].astext == "held"))
    assert held == [STORM]
    later = NOW + timedelta(hours=1)
    async with engine.begin() as connection:
        assert await storms.release(connection, "adoption-below-target", "boss", later)
        assert not await storms.release(connection, "adoption-below-target", "boss", later)
    await look(routes, later)
    carriers = select(delivery.c.channel).where(delivery.c.episode.is_(None)).order_by(delivery.c.channel)
    assert await column(engine, carriers) == ["mine", "second"]
    assert await send(later) == 3  # the two digests, and the end of the storm to operators
    await look(routes, later)
    counted = select(func.count()).where(delivery.c.kind == "trigger", delivery.c.status == "delivered")
    assert await column(engine, counted) == [STORM + 1]
    assert await column(engine, select(func.count()).where(delivery.c.status == "pending")) == [0]
    assert await column(engine, select(breaker.c.released_by)) == ["boss"]


async def test_a_storm_that_nobody_releases_is_over_after_a_day(storm, look, routes, engine):
    await look(routes, NOW)
    await look(routes, NOW + LASTS)
    assert await column(engine, select(breaker.c.released_by)) == ["time"]
    carriers = select(func.count()).where(delivery.c.episode.is_(None))
    assert await column(engine, carriers) == [2]


async def test_a_storm_that_is_still_coming_in_is_waited_for_before_anybody_is_told(take, engine, dispatch_of, routes):
    """200 of 5,000 are no storm yet; while more are found every second, nobody is told for a minute."""
    known = [{"rule": SUBJECT, "subject": f"known{i}"} for i in range(5000)]
    async with engine.begin() as connection:
        await connection.execute(insert(instance), known)
    dispatch = Dispatch(engine, dispatch_of(routes)._in_force, 5)
    second = timedelta(seconds=1)
    await take("BBB", [f"a{i}" for i in range(100)])
    await take("BBB", [f"b{i}" for i in range(100)], now=NOW + 4 * second)
    assert await dispatch.step(NOW + 6 * second) == 0
    assert await dispatch.step(NOW + 9 * second) == 200  # nothing has come for five seconds


async def test_as_many_as_are_no_storm_are_told_one_by_one(take, look, routes, rows):
    await take("BBB", [f"a{i}" for i in range(20)])
    await look(routes, NOW)
    assert await rows(delivery.c.kind, delivery.c.status) == ["trigger pending"] * 20


async def test_a_new_alert_settles_before_its_first_look(take, engine, routes, rows, dispatch_of):

    dispatch = Dispatch(engine, dispatch_of(routes)._in_force, 5)
    await take("BBB")
    assert await dispatch.step(NOW + timedelta(seconds=4)) == 0
    assert await dispatch.step(NOW + timedelta(seconds=5)) == 1
    assert await rows() == ["adoption-below-target acme mine trigger pending"]


async def test_a_look_that_is_rolled_back_leaves_nothing_and_the_next_one_does_it(take, engine, routes, rows):

    await take("BBB")
    found = InForce(RULES.by_name, Roster(), routes.current())
    async with engine.connect() as connection:
        assert len(await look_once(connection, found, NOW)) == 1
        await connection.rollback()
    assert await rows() == []
    async with engine.begin() as connection:
        assert len(await look_once(connection, found, NOW)) == 1
    assert await rows() == ["adoption-below-target acme mine trigger pending"]
