"""Evaluation against a real PostgreSQL: snapshots and ticks in any order, twice, from two replicas, give one state."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from tests.alerting.two_rules import ADOPTION, RULES
from uptake_alerting import evaluation, listing, store, ticker
from uptake_alerting.fold import Judged, State, fold
from uptake_alerting.judging import judge
from uptake_alerting.listing import Choice
from uptake_alerting.routes import RoutesFile
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.tables import alert_event, delivery, instance, sample

ROUTES_YML = """
channels:
  ops: {type: webhook, url: "http://127.0.0.1:9/"}
  team: {type: slack, url: "http://x/", serves: [ce-1]}
default: [ops]
"""
ROUTES = RoutesFile(None, ROUTES_YML)
START = date(2026, 4, 1)
NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


@pytest.fixture
def take(engine, look):
    """Evaluates, and plans whom to tell."""

    async def run(*snapshots, routes=ROUTES, now=NOW):
        async with engine.begin() as connection:
            await evaluation.take(connection, snapshots, RULES, now)
        await look(routes, now)

    return run


@pytest.fixture
def alerts(engine):
    async def run():
        async with engine.connect() as connection:
            found = await listing.alerts(connection, Choice(), 100, NOW)
            return [await listing.alert(connection, one.episode, NOW) for one in found]

    return run


@pytest.fixture
def history(account_day):
    """Closed days as text: B off target, C on target, ? stale, R ramping, X churned, _ no sample."""
    words = {
        "B": {"mau": 24},
        "C": {"mau": 60},
        "?": {"data_health": "stale"},
        "R": {"status": "ramping", "n": 3},
        "X": {"churned_at": "2020-01-01T00:00:00Z"},
    }

    def make(text, start=START, **other):
        return [
            account_day(start + timedelta(days=i), **words[letter] | other)
            for i, letter in enumerate(text)
            if letter != "_"
        ]

    return make


async def test_three_closed_days_off_target_open_an_episode_and_tell_the_owners_channel(take, alerts, history):
    await take(*history("BB"))
    assert await alerts() == []
    await take(*history("BBB"))
    (alert,) = await alerts()
    assert (alert.rule, alert.subject, alert.state, alert.severity) == (
        "adoption-below-target",
        "acme",
        "firing",
        "warning",
    )
    assert alert.since == START
    assert alert.fired_at == datetime(2026, 4, 4, 2, tzinfo=UTC)
    assert alert.detected_at == NOW
    assert alert.owner == "ce-1"
    assert alert.summary == "Acme Corp is below its adoption target: 24 % (24/100 seats), target 50 %"
    assert (alert.values["adoption"]["num"], alert.values["adoption"]["den"], alert.values["n"]) == (24, 100, 200)
    assert alert.values["last"] == [0.24] * 3
    assert [(d.channel, d.kind, d.status) for d in alert.deliveries] == [("team", "trigger", "pending")]
    assert alert.why == ["team: this channel serves ce-1, who owns the account"]
    assert [(t.kind, t.reason) for t in alert.transitions] == [("firing", "firing")]
    assert not alert.undeliverable


@pytest.mark.parametrize(
    ("series", "states"),
    [
        ("BBBCCC", ["resolved on_target"]),
        ("BBBCC", ["recovering recovering"]),
        ("BBB???", ["firing firing"]),
        ("BB_B", ["firing firing"]),
        ("RRRRBB", []),
        ("RRRRBBB", ["firing firing"]),
        ("BBBX", ["closed churned"]),
        ("BBBR", ["closed date_corrected"]),
        ("BBBCCCBBB", ["firing firing", "resolved on_target"]),
    ],
)
@pytest.mark.parametrize("how", ["at once", "day by day", "backwards", "twice and shuffled"])
async def test_how_a_series_arrives_does_not_matter(take, alerts, history, series, states, how):
    days = history(series)
    if how == "at once":
        await take(*days)
    else:
        if how == "backwards":
            days.reverse()
        elif how == "twice and shuffled":
            days = random.Random(7).sample(days * 2, len(days) * 2)
        for day in days:
            await take(day)
    found = [a for a in await alerts() if a.reason != "data_revised"]  # told too early, then taken back
    assert [f"{a.state} {a.reason}" for a in found] == states


@pytest.mark.parametrize("seed", range(25))
async def test_any_order_any_duplicates_and_late_revisions_end_where_the_days_themselves_end(
    take, alerts, engine, account_day, seed
):
    dice = random.Random(seed)
    published = [
        account_day(START + timedelta(days=day), dice.choice([24, 24, 24, 60, None]), revision=revision)
        for day in range(16)
        for revision in range(1, dice.choice([1, 2, 2, 3]))
    ]
    arriving = dice.sample(published * 2, len(published) * 2)
    while arriving:
        size = dice.randint(1, 5)
        await take(*arriving[:size])
        arriving = arriving[size:]
    await _ends_like_the_pure_fold(engine, alerts, published)


async def _ends_like_the_pure_fold(engine, alerts, published):
    newest = {s.kpis.as_of: s for s in sorted(published, key=lambda s: s.kpis.revision)}
    days = [newest[day] for day in sorted(newest)]
    judged = [Judged(s.kpis.as_of, s.closed_at, judge(ADOPTION, s)) for s in days]
    state, spans = fold(State(), judged, ADOPTION)
    async with engine.begin() as connection:
        (found,) = await store.lock(connection, [ADOPTION.name], ["acme"])
    assert found.state == (State() if state.condition == "ok" else state)
    alive = [(a.state, a.since, a.fired_at) for a in await alerts() if a.resolved_at is None]
    assert alive == [(state.condition, span.since, span.fired_at) for span in spans if span.ended_at is None]


async def test_a_late_revision_takes_a_firing_back_and_says_so(take, alerts, history, account_day):
    await take(*history("BBB"))
    await take(account_day(START + timedelta(days=1), mau=55, revision=2))
    (alert,) = await alerts()
    assert (alert.state, alert.reason) == ("closed", "data_revised")
    assert alert.summary == "Acme Corp: late data show that the condition did not hold"


async def test_an_older_revision_changes_nothing(take, alerts, history, account_day):
    await take(*history("BBB", revision=5))
    await take(account_day(START + timedelta(days=1), mau=55, revision=4))
    assert [a.state for a in await alerts()] == ["firing"]


async def test_the_same_snapshots_again_change_no_row(take, engine, history):
    await take(*history("BBBCCCBBB"))
    before = await _rows(engine)
    await take(*history("BBBCCCBBB"))
    assert await _rows(engine) == before


async def _rows(engine):
    async with engine.connect() as connection:
        return [
            (await connection.execute(select(table).order_by(*table.primary_key.columns))).all()
            for table in (instance, sample, alert_event, delivery)
        ]


async def test_what_is_over_when_it_is_found_is_on_record_and_told_to_nobody(take, alerts, history):
    await take(*history("BBBCCC"))
    (alert,) = await alerts()
    assert alert.deliveries == []
    assert [t.kind for t in alert.transitions] == ["firing", "resolved"]
    assert alert.resolved_at == datetime(2026, 4, 7, 2, tzinfo=UTC)


async def test_a_condition_that_has_not_lasted_is_an_event_and_no_alert(take, alerts, engine, history):
    """Under the id of the episode that follows; once, however often it is seen, and again when it begins anew."""
    for days in ("B", "B", "BC", "BCB", "BCBB", "BCBBB"):
        await take(*history(days))
    async with engine.connect() as connection:
        rows = await connection.execute(select(alert_event).order_by(alert_event.c.position))
        told = [(row.kind, row.episode, row.body["data"]) for row in rows]
    assert [(kind, data["state"], data["since"]) for kind, _, data in told] == [
        ("pending", "pending", "2026-04-01"),
        ("pending", "pending", "2026-04-03"),
        ("firing", "firing", "2026-04-03"),
    ]
    (alert,) = await alerts()
    assert [episode for _, episode, _ in told] == [None, None, alert.episode]
    assert {data["episode"] for _, _, data in told} == {alert.episode}
    assert [t.kind for t in alert.transitions] == ["firing"]
    assert told[0][2]["summary"] == "Acme Corp is below its adoption target: 24 % (24/100 seats), target 50 %"


async def test_what_is_pending_says_how_bad_it_is(engine, account_day):
    day = account_day(START, 60)
    usage = day.kpis.usage.model_copy(update={"num": 10, "den": 1000, "value": 0.01, "status": "poor"})
    day = day.model_copy(update={"kpis": day.kpis.model_copy(update={"usage": usage})})
    async with engine.begin() as connection:
        await evaluation.take(connection, [day], RulesFile(None).current(), NOW)
    async with engine.connect() as connection:
        (subject,) = await connection.scalars(select(alert_event.c.subject))
    assert subject.startswith("alert.v1.pending.emea.critical.usage-unhealthy.")


async def test_what_began_and_ended_unseen_is_told_with_the_numbers_of_then(take, engine, history):
    """24 at the beginning, 60 at the end, whatever came since."""
    since = history("C", start=START + timedelta(days=7), dau=7, mau=77)
    await take(*history("BBBCCCC"), *since)
    async with engine.connect() as connection:
        bodies = await connection.scalars(select(alert_event.c.body).order_by(alert_event.c.position))
        told = [
            (body["data"]["state"], body["data"]["values"]["as_of"], body["data"]["values"]["mau"]) for body in bodies
        ]
    assert told == [("firing", "2026-04-03", 24), ("resolved", "2026-04-06", 60)]


async def test_old_samples_go_and_the_alert_stays(take, alerts, engine, history):
    for day in history("BBB" + "?" * 60):
        await take(day)
    (alert,) = await alerts()
    assert (alert.state, alert.since) == ("firing", START)
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(sample)) <= 48
    await take(*history("CCC", start=START + timedelta(days=63)))
    assert [a.state for a in await alerts()] == ["resolved"]


async def test_a_sample_older_than_the_checkpoint_changes_nothing(take, alerts, history, account_day):
    for day in history("BBB" + "?" * 60):
        await take(day)
    await take(account_day(START, mau=60, revision=9))
    assert [a.state for a in await alerts()] == ["firing"]


async def test_accounts_do_not_mix(take, alerts, history):
    await take(*history("BBB"), *history("CCC", account="other"), *history("BB", account="third"))
    assert [a.subject for a in await alerts()] == ["acme"]


async def test_two_replicas_that_evaluate_at_once_tell_it_once(engine, alerts, history, look):
    days = history("BBB")

    async def replica():
        async with engine.begin() as connection:
            await evaluation.take(connection, days, RULES, NOW)
        await look(ROUTES, NOW)

    await asyncio.gather(*(replica() for _ in range(6)))
    (alert,) = await alerts()
    assert len(alert.deliveries) == len(alert.transitions) == 1


async def test_an_evaluation_waits_for_another_of_the_same_instance_and_goes_on_from_its_result(
    engine, take, alerts, history
):
    first, second, third = history("BBB")
    await take(first)
    async with engine.begin() as slow:
        await store.lock(slow, [store.SUBJECT], ["acme"])
        other = asyncio.create_task(take(third))
        await asyncio.wait([other], timeout=0.2)
        assert not other.done()
        await evaluation.take(slow, [second], RULES, NOW)
    await other
    assert [a.state for a in await alerts()] == ["firing"]


TRIAL_OVER = datetime(2026, 2, 23, 23, tzinfo=UTC)


async def test_a_trial_runs_over_without_any_message(take, alerts, engine, trial, look):
    await take(trial(), now=datetime(2026, 2, 3, tzinfo=UTC))
    await ticker.tick(engine, RULES, TRIAL_OVER - timedelta(seconds=1))
    assert await alerts() == []
    await ticker.tick(engine, RULES, TRIAL_OVER + timedelta(hours=5))
    await look(ROUTES, TRIAL_OVER + timedelta(hours=5))
    (alert,) = await alerts()
    assert (alert.rule, alert.subject, alert.account, alert.state) == ("trial-breached", "o1", "acme", "firing")
    assert (alert.since, alert.fired_at) == (date(2026, 2, 24), TRIAL_OVER)
    assert alert.detected_at == TRIAL_OVER + timedelta(hours=5)
    assert alert.summary == "Trial o1 of Acme Corp runs past its 21 days"
    assert alert.why == ["team: this channel serves ce-1, who owns the account of the trial"]


async def test_two_replicas_that_tick_at_once_tell_it_once(take, alerts, engine, trial, look):
    await take(*(trial(opportunity=f"o{i}") for i in range(20)), now=datetime(2026, 2, 3, tzinfo=UTC))
    await asyncio.gather(*(ticker.tick(engine, RULES, TRIAL_OVER) for _ in range(5)))
    await asyncio.gather(*(look(ROUTES, TRIAL_OVER) for _ in range(5)))
    found = await alerts()
    assert len(found) == 20
    assert all(len(a.deliveries) == len(a.transitions) == 1 for a in found)


@pytest.mark.parametrize(
    ("what", "state"),
    [
        ({"state": "stopped", "breached_on": None, "cycle_days": 25}, "resolved trial_stopped"),
        ({"complexity": "complex", "target_days": 30, "breached_on": date(2026, 3, 5)}, "closed reclassified"),
        ({"breached_on": None, "flags": ["paused"]}, "firing firing"),
    ],
)
async def test_how_the_alert_of_a_trial_ends(take, alerts, trial, what, state):
    await take(trial(), now=TRIAL_OVER)
    await take(trial(revision=2, **what), now=TRIAL_OVER + timedelta(days=1))
    assert [f"{a.state} {a.reason}" for a in await alerts()] == [state]


async def test_a_reclassified_trial_is_looked_at_again_at_its_new_limit(take, alerts, engine, trial):
    await take(trial(), now=TRIAL_OVER)
    await take(trial(revision=2, complexity="complex", target_days=30, breached_on=date(2026, 3, 5)), now=TRIAL_OVER)
    await ticker.tick(engine, RULES, datetime(2026, 3, 5, tzinfo=UTC))
    assert [(a.number, a.state) for a in await alerts()] == [(2, "firing"), (1, "closed")]


async def test_an_alert_without_any_channel_is_open_and_undeliverable_until_one_appears(take, alerts, look, history):
    await take(*history("BBB"), routes=RoutesFile(None))
    (alert,) = await alerts()
    assert alert.undeliverable
    assert alert.deliveries == []
    await look(RoutesFile(None), NOW)
    assert (await alerts())[0].undeliverable
    for _ in range(2):
        await look(ROUTES, NOW)
    (alert,) = await alerts()
    assert not alert.undeliverable
    assert [(d.channel, d.kind) for d in alert.deliveries] == [("team", "trigger")]
    assert alert.since == START


def in_parts(days):
    return [day.model_copy(update={"part": part, "parts": len(days)}) for part, day in enumerate(days, 1)]


async def test_a_publication_in_parts_is_judged_at_its_last_part_only(take, alerts, history):
    *first, last = in_parts(history("BBBBB"))
    for day in first:
        await take(day)
        assert await alerts() == []
    await take(last)
    await take(last)
    (alert,) = await alerts()
    assert (alert.state, alert.since) == ("firing", START)
    assert alert.values["as_of"] == str(START + timedelta(days=4))


async def test_a_revision_in_parts_opens_and_closes_nothing_half_way(take, alerts, history):
    """Every day is revised twice; in mid-publication the series would fire, close and fire again."""
    await take(*history("CCCCCC"))
    for day in in_parts(history("BBBBBB", revision=2)):
        await take(day)
    for day in in_parts(history("BBBCBB", revision=3)):
        await take(day)
    (alert,) = await alerts()
    assert [(t.kind, t.reason) for t in alert.transitions] == [("firing", "firing")]


async def test_a_batch_that_ends_inside_a_publication_is_not_judged_before_its_end(take, alerts, history):
    """Day 3 is off target in the publication before; half of the revision makes it fire since day 1."""
    (before,) = history("B", start=START + timedelta(days=2))
    await take(*history("CC"))
    first, second, third, fourth = in_parts(history("BBCC", revision=2))
    await take(before, first, second)
    assert await alerts() == []
    await take(third, fourth)
    assert await alerts() == []


async def test_days_of_a_publication_that_was_not_judged_count_with_the_next_one(take, alerts, history):
    """The second batch alone holds too few days to fire."""
    first, second, third = history("BBB")
    await take(first, *in_parts([second, third])[:1])
    assert await alerts() == []
    await take(in_parts([second, third])[1])
    assert [(a.state, a.since) for a in await alerts()] == [("firing", START)]


async def test_days_of_a_publication_whose_end_never_came_count_with_the_next_day(take, alerts, history):
    """Its last part was refused, or trimmed: what was said of days 1 and 2 holds all the same."""
    one, two, _ = in_parts(history("BBB"))
    await take(one, two)
    assert await alerts() == []
    await take(*history("B", start=START + timedelta(days=3)))
    (alert,) = await alerts()
    assert (alert.state, alert.since) == ("firing", START)


async def test_a_single_day_behind_the_end_of_a_publication_is_judged_with_all_of_it(take, alerts, history):
    first, second, third = history("BBB")
    one_of_two, two_of_two = in_parts([first, second])
    await take(one_of_two)
    await take(two_of_two, third)
    assert [(a.state, a.since) for a in await alerts()] == [("firing", START)]


async def test_a_day_of_which_nobody_says_when_it_closed_is_no_sample(take, alerts, history):
    await take(*history("BB"), *history("B", start=START + timedelta(days=2), closed_at=None))
    assert await alerts() == []


async def test_a_terminal_alone_does_not_make_an_alert_heard(take, alerts, engine, history):
    """API and gauge agree on what undeliverable is: only what opens a thread counts."""
    await take(*history("BBB"))
    async with engine.begin() as connection:
        await connection.execute(update(delivery).values(kind="terminal"))
    assert [a.undeliverable for a in await alerts()] == [True]
    async with engine.connect() as connection:
        assert await listing.undeliverable(connection) == {"adoption-below-target": 1}
