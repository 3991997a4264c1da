"""The team's quarter and installations that nobody knows, against a real PostgreSQL and the shipped rules."""

from datetime import UTC, datetime, timedelta

import pytest

from uptake.messages.kpi import InstanceSnapshot, TeamSnapshot
from uptake_alerting import evaluation, handling_store, listing, ticker
from uptake_alerting.handling import Action
from uptake_alerting.listing import Choice
from uptake_alerting.rule_file import RulesFile

RULES = RulesFile(None).current()
NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


def team(won, concluded, quarter="2026-Q2", revision=1):
    trials = {
        "n": 0,
        "within": 0,
        "share": None,
        "met": None,
        "median_days": None,
        "p90_days": None,
        "reason": "no_trials_stopped",
    }
    value = won / concluded if concluded else None
    closure = {"num": won, "den": concluded, "value": value, "target": 0.8, "met": None, "reason": None}
    acv = dict.fromkeys(("currency", "cents", "net_cents")) | dict.fromkeys(
        ("customers", "opportunities", "products"), 0
    )
    kpis = {"quarter": quarter, "standard": trials, "complex": trials, "closure": closure}
    kpis["new_acv"] = acv | {"reason": "nothing_won"}
    published = NOW + timedelta(minutes=revision)
    return TeamSnapshot.model_validate(
        {"team": kpis, "revision": revision, "vendor_zone": "UTC", "published_at": published}
    )


def installation(name="i1", account=None, revision=1, since=NOW):
    known = {"instance": name, "account": account, "since": since, "revision": revision, "published_at": NOW}
    return InstanceSnapshot.model_validate(known)


@pytest.fixture
def take(engine):
    async def run(*snapshots):
        for snapshot in snapshots:
            async with engine.begin() as connection:
                await evaluation.take(connection, [snapshot, snapshot], RULES, NOW)

    return run


@pytest.fixture
def alerts(engine):
    async def run():
        async with engine.connect() as connection:
            found = await listing.alerts(connection, Choice(), 100, NOW)
        return sorted(f"{one.rule} {one.subject} {one.state} {one.reason}" for one in found)

    return run


@pytest.mark.parametrize(
    ("moves", "told"),
    [
        ([(3, 5)], ["firing firing"]),
        ([(4, 5)], []),  # exactly the target
        ([(0, 4)], []),  # too few to say
        ([(3, 4)], []),
        ([(0, 0)], []),
        ([(3, 5), (7, 9), (8, 10)], ["resolved cleared"]),
        ([(3, 5), (4, 5), (4, 6)], ["resolved cleared", "firing firing"]),
        ([(3, 5), (2, 4)], ["resolved cleared"]),  # a deal was reopened: too few again
    ],
)
async def test_the_running_quarter_is_judged_as_it_stands(take, alerts, moves, told):
    await take(*(team(won, concluded, revision=n) for n, (won, concluded) in enumerate(moves, 1)))
    assert sorted(await alerts()) == sorted(f"closure-below-target 2026-Q2 {one}" for one in told)


async def test_a_quarter_that_is_over_ends_its_alert_and_the_next_one_has_its_own(take, alerts):
    await take(team(3, 5), team(0, 0, "2026-Q3"))
    assert await alerts() == ["closure-below-target 2026-Q2 closed quarter_over"]
    await take(team(4, 6, revision=2))  # a late fact of the old quarter tells nobody anything
    await take(team(3, 5, "2026-Q3", revision=2))
    assert await alerts() == [
        "closure-below-target 2026-Q2 closed quarter_over",
        "closure-below-target 2026-Q3 firing firing",
    ]


async def test_an_alert_that_was_closed_by_hand_does_not_come_back_before_the_quarter_was_on_target(
    take, alerts, engine
):
    await take(team(3, 5))
    async with engine.begin() as connection:
        (found,) = await listing.alerts(connection, Choice(), 100, NOW)
        action = Action("close", "ce-1", "cli", comment="known")
        await handling_store.handle(connection, found.episode, action, lambda: NOW + timedelta(minutes=5))
    await take(team(3, 6, revision=10))
    assert await alerts() == ["closure-below-target 2026-Q2 closed closed_by_hand"]
    await take(team(6, 7, revision=11), team(6, 9, revision=12))
    assert len(await alerts()) == 2


async def test_an_older_revision_of_the_quarter_changes_nothing(take, alerts):
    await take(team(4, 5, revision=2), team(3, 5, revision=1))
    assert await alerts() == []


async def test_an_installation_that_waits_for_a_day_is_told_by_the_clock_alone(take, alerts, engine):
    await take(installation())
    await ticker.tick(engine, RULES, NOW + timedelta(hours=24, seconds=-1))
    assert await alerts() == []
    await ticker.tick(engine, RULES, NOW + timedelta(hours=30))
    assert await alerts() == ["instance-unattributed i1 firing firing"]
    async with engine.connect() as connection:
        (found,) = await listing.alerts(connection, Choice(), 100, NOW)
    assert (found.fired_at, found.detected_at) == (NOW + timedelta(hours=24), NOW + timedelta(hours=30))


async def test_an_installation_that_is_mapped_in_time_or_late(take, alerts, engine):
    await take(installation("in-time"), installation("late"), installation("in-time", "acme", 2))
    await ticker.tick(engine, RULES, NOW + timedelta(hours=24))
    assert await alerts() == ["instance-unattributed late firing firing"]
    await take(installation("late", "acme", 2))
    assert await alerts() == ["instance-unattributed late resolved mapped"]
    await take(installation("late", None, 3, NOW + timedelta(hours=30)))
    await ticker.tick(engine, RULES, NOW + timedelta(hours=54))
    assert await alerts() == [
        "instance-unattributed late firing firing",
        "instance-unattributed late resolved mapped",
    ]
