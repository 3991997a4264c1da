"""What people do about alerts on a real PostgreSQL: once, audited, in turns with others and with evaluation."""

import asyncio
import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.alerting.two_rules import RULES
from uptake.messages.alerts import AlertData
from uptake.problems import Problem
from uptake.subjects import token
from uptake_alerting import evaluation, store
from uptake_alerting.handling import Action
from uptake_alerting.handling_store import drop_acks, handle
from uptake_alerting.tables import alert_event, delivery, episode

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
DAY = timedelta(days=1)
START = date(2026, 5, 1)  # the third day closes eight hours before NOW
ROUTES = """
channels:
  mine: {type: webhook, url: "http://mine.test/", serves: [ce-1]}
  second: {type: webhook, url: "http://second.test/", serves: [ce-2]}
default: []
"""


@pytest.fixture
def act(engine):
    """Does something about an alert in a transaction of its own; what came of it."""

    async def run(alert, verb, by="ann", now=NOW, **other):
        async with engine.begin() as connection:
            return await handle(
                connection, alert, Action(verb, by, "cli", **other), now if callable(now) else lambda: now
            )

    return run


@pytest.fixture
def history(engine):
    """`kind reason by note` of every event after the first."""

    async def run(alert):
        mine = select(alert_event).where(alert_event.c.episode == alert).order_by(alert_event.c.position)
        async with engine.connect() as connection:
            rows = (await connection.execute(mine)).all()
        return [f"{row.kind} {row.reason} {row.by} {row.note}" for row in rows[1:]]

    return run


@pytest.fixture
def row(engine):
    async def run(alert):
        async with engine.connect() as connection:
            return (await connection.execute(select(episode).where(episode.c.id == alert))).one()

    return run


@pytest.fixture
def take(engine, account_day):
    """Days as letters: `B` off target, `C` on target."""

    async def run(text, first=0, now=NOW):
        days = [account_day(START + timedelta(days=first + i), 24 if c == "B" else 60) for i, c in enumerate(text)]
        async with engine.begin() as connection:
            await evaluation.take(connection, days, RULES, now)

    return run


@pytest.fixture
def fired(take, engine):
    """An alert that evaluation has opened."""

    async def run():
        await take("BBB")
        async with engine.connect() as connection:
            return await connection.scalar(select(episode.c.id))

    return run


async def test_an_action_is_audited_and_asks_for_a_look(fire, act, history, row, engine):
    alert = await fire()
    done = await act(alert, "ack", comment="on it")
    found = await row(alert)
    assert done.said == "Acked by ann until 2026-05-11 10:00 UTC."
    assert (found.acked_by, found.acked_at, found.ack_until, found.look_at) == ("ann", NOW, NOW + 7 * DAY, NOW)
    assert await history(alert) == ["acknowledged by_hand ann on it"]
    async with engine.connect() as connection:
        event = (await connection.execute(select(alert_event).where(alert_event.c.kind == "acknowledged"))).one()
    assert (event.at, event.subject) == (
        NOW,
        "alert.v1.acknowledged.emea.warning.adoption-below-target." + token("acme"),
    )
    data = AlertData.model_validate(event.body["data"])
    assert (data.by, data.via, data.note, data.state) == ("ann", "cli", "on it", "firing")
    assert data.values["handling"]["ack_until"] == "2026-05-11T10:00:00+00:00"


@pytest.mark.parametrize(
    ("verb", "other", "kind"),
    [
        ("ack", {}, "acknowledged"),
        ("snooze", {"lasts": 7 * DAY}, "snoozed"),
        ("assign", {"to": "bob"}, "assigned"),
        ("note", {"comment": "asked them"}, "noted"),
        ("close", {"comment": "known"}, "closed"),
    ],
)
async def test_the_same_action_twice_is_one_line_in_the_history(fire, act, history, verb, other, kind):
    alert = await fire()
    first = await act(alert, verb, **other)
    again = await act(alert, verb, now=NOW + timedelta(seconds=5), **other)
    assert (first.kind, again.kind) == (kind, None)
    assert [line.split()[0] for line in await history(alert)] == [kind]


async def test_a_note_of_another_or_with_other_words_is_another_one(fire, act, history):
    alert = await fire()
    for by, words in (("ann", "x"), ("bob", "x"), ("ann", "y"), ("ann", "x")):
        await act(alert, "note", by, comment=words)
    assert await history(alert) == ["noted by_hand ann x", "noted by_hand bob x", "noted by_hand ann y"]


async def test_of_two_acks_at_once_the_first_holds_and_the_second_is_told_so(fire, act, history, row):
    alert = await fire()
    done = await asyncio.gather(*(act(alert, "ack", name) for name in ("ann", "bob")))
    holder = (await row(alert)).acked_by
    assert [one.kind for one in done if one.kind] == ["acknowledged"]
    assert [one.said for one in done if one.kind is None] == [
        f"It is acked by {holder} until 2026-05-11 10:00 UTC already."
    ]
    assert await history(alert) == [f"acknowledged by_hand {holder} None"]


async def test_of_many_at_once_each_has_the_instant_at_which_its_turn_came(fire, act, engine):
    alert, ticks = await fire(), itertools.count(1)
    notes = (
        act(alert, "note", f"ce-{number}", now=lambda: NOW + timedelta(milliseconds=next(ticks)), comment="me too")
        for number in range(8)
    )
    await asyncio.gather(*notes)
    async with engine.connect() as connection:
        noted = select(alert_event.c.at).where(alert_event.c.kind == "noted").order_by(alert_event.c.position)
        at = list(await connection.scalars(noted))
    assert at == [NOW + timedelta(milliseconds=number) for number in range(1, 9)]


async def test_an_ack_while_the_alert_resolves_waits_and_is_refused(fired, take, act, engine, account_day):
    """Evaluation is in the middle of its transaction as the ack comes."""
    alert = await fired()
    days = [account_day(START + timedelta(days=3 + i), 60) for i in range(3)]
    async with engine.begin() as connection:
        await evaluation.take(connection, days, RULES, NOW)
        waiting = asyncio.create_task(act(alert, "ack"))
        assert (await asyncio.wait({waiting}, timeout=0.3))[0] == set()
    with pytest.raises(Problem) as refused:
        await waiting
    assert (refused.value.status, refused.value.error) == (409, "alert_ended")
    assert "is over since" in refused.value.detail


async def test_an_ack_just_before_the_alert_resolves_is_kept_in_its_history(fired, take, engine, history):
    alert = await fired()
    async with engine.begin() as connection:
        await handle(connection, alert, Action("ack", "ann", "cli"), lambda: NOW)
        resolving = asyncio.create_task(take("CCC", first=3))
        assert (await asyncio.wait({resolving}, timeout=0.3))[0] == set()
    await resolving
    assert [line.split()[0] for line in await history(alert)] == ["acknowledged", "resolved"]


async def test_closing_waits_for_an_evaluation_that_is_about_to_end_it(fired, act, history, engine, account_day):
    """Evaluation has begun, and has not touched the alert yet."""
    alert = await fired()
    days = [account_day(START + timedelta(days=3 + i), 60) for i in range(3)]
    async with engine.begin() as connection:
        await store.lock(connection, [store.SUBJECT], ["acme"])
        closing = asyncio.create_task(act(alert, "close", comment="known"))
        assert (await asyncio.wait({closing}, timeout=0.3))[0] == set()
        await evaluation.take(connection, days, RULES, NOW)
    with pytest.raises(Problem, match="is over since"):
        await closing
    assert [line.split()[0] for line in await history(alert)] == ["resolved"]


async def test_a_closed_alert_is_over_for_those_who_heard_of_it(fired, act, row, look, routes_file, engine):
    alert, routes = await fired(), routes_file(ROUTES)
    await look(routes, NOW)
    async with engine.begin() as connection:
        await connection.execute(update(delivery).values(status="delivered", done_at=NOW))
    await act(alert, "close", comment="they migrate")
    found = await row(alert)
    assert (found.state, found.reason, found.ended_at) == ("closed", "closed_by_hand", NOW)
    assert found.data["state"] == "closed"
    assert found.data["summary"].endswith("; closed by ann")
    await look(routes, NOW)
    async with engine.connect() as connection:
        kinds = (await connection.execute(select(delivery.c.channel, delivery.c.kind))).all()
    assert sorted(map(tuple, kinds)) == [("mine", "terminal"), ("mine", "trigger")]


async def test_a_closed_alert_fires_again_only_after_its_condition_was_over(fired, take, act, engine):
    alert = await fired()
    await act(alert, "close", comment="they migrate")

    async def states():
        async with engine.connect() as connection:
            rows = await connection.execute(select(episode.c.state, episode.c.reason).order_by(episode.c.number))
            return [tuple(row) for row in rows]

    await take("BBCCB", first=3, now=NOW + 5 * DAY)
    assert await states() == [("closed", "closed_by_hand")]
    await take("B", first=1, now=NOW + 5 * DAY)  # the same day again
    await take("CCC", first=8, now=NOW + 8 * DAY)
    assert await states() == [("closed", "closed_by_hand")]
    await take("BBB", first=11, now=NOW + 11 * DAY)
    assert await states() == [("closed", "closed_by_hand"), ("firing", "firing")]


async def test_a_trial_that_was_closed_does_not_fire_again_while_it_runs(trial, act, engine):
    now = datetime(2026, 2, 25, tzinfo=UTC)
    async with engine.begin() as connection:
        await evaluation.take(connection, [trial()], RULES, now)
        alert = await connection.scalar(select(episode.c.id))
    await act(alert, "close", comment="the sponsor is ill", now=now)
    async with engine.begin() as connection:
        await evaluation.take(connection, [trial(revision=2, cycle_days=30)], RULES, now + DAY)
        assert list(await connection.scalars(select(episode.c.reason))) == ["closed_by_hand"]


async def test_whom_it_is_assigned_to_is_told(fired, act, look, routes_file, engine):
    alert, routes = await fired(), routes_file(ROUTES)
    await look(routes, NOW)
    await act(alert, "assign", to="ce-2")
    await look(routes, NOW)
    async with engine.connect() as connection:
        told = list(await connection.scalars(select(delivery.c.channel).where(delivery.c.episode == alert)))
    assert sorted(told) == ["mine", "second"]


async def test_getting_worse_drops_the_ack_and_says_so_once(fire, act, history, row, engine):
    acked, other = await fire("acme"), await fire("beta")
    await act(acked, "ack", lasts=30 * DAY)
    for _ in range(2):
        async with engine.begin() as connection:
            rows = (await connection.execute(select(episode.c.data).with_for_update())).all()
            worse = [AlertData.model_validate(row.data) for row in rows]
            await drop_acks(connection, worse, NOW + DAY)
    assert await history(acked) == ["acknowledged by_hand ann None", "unacknowledged worsened None None"]
    assert await history(other) == []
    found = await row(acked)
    assert (found.acked_by, found.ack_until, found.look_at) == (None, None, NOW + DAY)
    assert (await row(other)).look_at is None


async def test_an_alert_that_nobody_knows(act):
    with pytest.raises(Problem) as refused:
        await act("nothing", "ack")
    assert (refused.value.status, refused.value.error) == (404, "unknown_alert")
