"""The trial clock: when it starts, stands still, stops, and when each limit is reached."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.facts import Fact
from uptake_metrics.trials import Limits, fold, limits, reached, trial

START = date(2026, 3, 2)


def day(number: int) -> date:
    return START + timedelta(days=number)


def fact(on: int, event_type: str, *, hour: int = 12, **fields: Any) -> Fact:
    occurred_at = datetime(2026, 3, 2, hour, tzinfo=UTC) + timedelta(days=on)
    event = {"id": f"{event_type} {on} {hour} {fields}", "type": event_type, "occurred_at": occurred_at}
    event |= {"opportunity": "opp-1", "account": "acme", **fields}
    return Fact.model_validate({"source": "crm", "received_at": occurred_at, "event": event})


def stage(on: int, stage: int, **fields: Any) -> Fact:
    return fact(on, "opportunity.stage_changed", stage=stage, **fields)


def decided(on: int, outcome: str = "win", **fields: Any) -> Fact:
    return fact(on, "trial.decided", outcome=outcome, **fields)


def closed(on: int, outcome: str = "won") -> Fact:
    return fact(on, "opportunity.closed", outcome=outcome)


def reopened(on: int) -> Fact:
    return fact(on, "opportunity.reopened")


NO_LIMITS = Limits(None, None, None, None)
PAST_THREE_MONTHS = date(2026, 6, 3)


@pytest.mark.parametrize(
    "facts",
    [[], [stage(0, 3)], [stage(0, 0), decided(3)], [stage(0, 3), closed(5, "lost")], [decided(1)], [closed(1)]],
)
def test_before_stage_4_there_is_no_clock(facts: list[Fact]) -> None:
    assert fold("opp-1", facts, "UTC") is None


@pytest.mark.parametrize(
    ("facts", "on", "state", "stopped", "outcome", "cycle", "wall", "flags"),
    [
        pytest.param([stage(0, 4)], 0, "running", None, None, 0, 0, [], id="the start day is day 0"),
        pytest.param([stage(0, 4)], 21, "running", None, None, 21, 21, [], id="ticks without any event"),
        pytest.param([stage(-9, 2), stage(0, 4), stage(5, 4)], 9, "running", None, None, 9, 9, [], id="said again"),
        pytest.param([stage(0, 4), decided(10)], 50, "stopped", 10, "win", 10, 10, [], id="stops at the decision"),
        pytest.param(
            [stage(0, 4), decided(10, "loss"), stage(12, 5), closed(40)],
            50,
            "stopped",
            10,
            "loss",
            10,
            10,
            [],
            id="for good",
        ),
        pytest.param(
            [stage(0, 4), decided(10), stage(20, 4), reopened(21)],
            50,
            "stopped",
            10,
            "win",
            10,
            10,
            [],
            id="whatever comes",
        ),
        pytest.param(
            [stage(0, 4), stage(7, 5)], 50, "stopped", 7, None, 7, 7, [], id="stops on leaving stage 4 forward"
        ),
        pytest.param(
            [stage(0, 4), stage(7, 6), decided(9, "win")], 50, "stopped", 7, "win", 7, 7, [], id="a decision after that"
        ),
        pytest.param([stage(0, 4), closed(8, "lost")], 50, "stopped", 8, None, 8, 8, [], id="stops at close"),
        pytest.param(
            [stage(0, 4), closed(8, "lost"), reopened(20)],
            22,
            "running",
            None,
            None,
            10,
            22,
            [],
            id="reopening resumes",
        ),
        pytest.param(
            [stage(0, 4), stage(7, 5), stage(9, 4)], 12, "running", None, None, 10, 12, [], id="back to stage 4"
        ),
        pytest.param([stage(0, 4), stage(5, 3)], 30, "running", None, None, 5, 30, ["paused"], id="back to 3 pauses"),
        pytest.param([stage(0, 4), stage(5, 0)], 30, "running", None, None, 5, 30, ["paused"], id="so does 0"),
        pytest.param(
            [stage(0, 4), stage(5, 3), stage(8, 4)], 12, "running", None, None, 9, 12, [], id="re-entry resumes"
        ),
        pytest.param(
            [stage(0, 4), stage(5, 1, hour=9), stage(5, 4, hour=15)],
            12,
            "running",
            None,
            None,
            12,
            12,
            [],
            id="one day",
        ),
        pytest.param(
            [stage(0, 4), stage(5, 3), decided(9, "abandoned")],
            50,
            "stopped",
            9,
            "abandoned",
            5,
            9,
            [],
            id="while paused",
        ),
        pytest.param([stage(0, 4), stage(5, 3), closed(9)], 50, "stopped", 9, None, 5, 9, [], id="closed while paused"),
        pytest.param([stage(-3, 3), stage(0, 5)], 9, "stopped", 0, None, 0, 0, ["stage_skipped"], id="3 to 5"),
        pytest.param(
            [stage(-3, 3), stage(0, 5), decided(4)],
            9,
            "stopped",
            0,
            "win",
            0,
            0,
            ["stage_skipped"],
            id="decided after 3 to 5",
        ),
        pytest.param([stage(-3, 3), decided(-1), stage(0, 5)], 9, "stopped", 0, "win", 0, 0, [], id="decided before 5"),
        pytest.param(
            [stage(0, 5), stage(2, 4)], 9, "running", None, None, 7, 9, [], id="skipped, then tried after all"
        ),
        pytest.param([stage(0, 4), stage(0, 5, hour=13)], 9, "stopped", 0, None, 0, 0, [], id="in stage 4 for an hour"),
        pytest.param(
            [stage(0, 4), decided(3, "loss"), decided(5, "win")],
            9,
            "stopped",
            3,
            "win",
            3,
            3,
            [],
            id="a corrected outcome",
        ),
        pytest.param(
            [stage(0, 4), stage(7, 5), stage(9, 3)],
            12,
            "running",
            None,
            None,
            7,
            12,
            ["paused"],
            id="5, then back to 3",
        ),
        pytest.param(
            [stage(0, 4), stage(5, 3), stage(9, 5)], 12, "stopped", 9, None, 5, 9, [], id="from the pause beyond"
        ),
        pytest.param(
            [stage(0, 4), stage(5, 3), stage(9, 2), stage(11, 4), stage(13, 1), stage(20, 4)],
            22,
            "running",
            None,
            None,
            9,
            22,
            [],
            id="two pauses",
        ),
        pytest.param(
            [stage(0, 4), closed(8, "lost"), reopened(20), stage(21, 5)], 30, "stopped", 21, None, 9, 21, [], id="again"
        ),
        pytest.param([stage(-3, 3), decided(-1), stage(0, 4)], 9, "stopped", 0, "win", 0, 0, [], id="decided before 4"),
        pytest.param(
            [stage(0, 5), stage(2, 3)], 9, "running", None, None, 0, 9, ["paused"], id="skipped, then back before it"
        ),
        pytest.param(
            [stage(0, 5), stage(2, 3), stage(4, 5)],
            9,
            "stopped",
            4,
            None,
            0,
            4,
            ["stage_skipped"],
            id="skipped twice",
        ),
    ],
)
def test_the_clock(
    facts: list[Fact],
    on: int,
    state: str,
    stopped: int | None,
    outcome: str | None,
    cycle: int,
    wall: int,
    flags: list[str],
) -> None:
    clock = fold("opp-1", facts, "UTC")
    assert clock is not None
    told = trial(clock, day(on))
    assert (told.state, told.started, told.outcome) == (state, START, outcome)
    assert told.stopped == (None if stopped is None else day(stopped))
    assert (told.cycle_days, told.wall_days, told.flags) == (cycle, wall, flags)


@pytest.mark.parametrize(
    ("complexity", "on", "within"),
    [(None, 21, True), ("standard", 21, True), ("standard", 22, False), ("complex", 30, True), ("complex", 31, False)],
)
def test_the_target_is_reached_on_its_last_day(complexity: str | None, on: int, within: bool) -> None:
    clock = fold("opp-1", [stage(0, 4, complexity=complexity)], "UTC")
    assert clock is not None
    assert trial(clock, day(on)).within is within


@pytest.mark.parametrize(
    ("facts", "complexity", "flags"),
    [
        ([stage(-5, 2, complexity="complex"), stage(0, 4)], "complex", []),
        ([stage(-5, 2), stage(0, 4, complexity="complex")], "complex", []),
        ([stage(0, 4), stage(5, 4, complexity="standard")], "standard", []),
        ([stage(0, 4), stage(5, 4, complexity="complex")], "complex", ["reclassified"]),
        ([stage(0, 4), stage(5, 4, complexity="complex"), stage(6, 4)], "complex", ["reclassified"]),
        ([stage(0, 4, complexity="complex"), stage(5, 4, complexity="standard")], "standard", ["reclassified"]),
        ([stage(0, 4), decided(25), stage(26, 5, complexity="complex")], "standard", []),  # too late to move the target
        ([stage(0, 4), closed(5), stage(6, 4, complexity="complex")], "standard", []),
        ([stage(0, 4), closed(5), stage(6, 4, complexity="complex"), reopened(7)], "complex", ["reclassified"]),
    ],
)
def test_a_reclassification_moves_the_target_and_shows(facts: list[Fact], complexity: str, flags: list[str]) -> None:
    clock = fold("opp-1", facts, "UTC")
    assert clock is not None
    told = trial(clock, day(30))
    assert (told.complexity, told.flags) == (complexity, flags)
    assert told.target_days == {"standard": 21, "complex": 30}[complexity]


@pytest.mark.parametrize(
    ("facts", "approaching", "breached", "overlong"),
    [
        pytest.param([stage(0, 4)], 16, 22, 31, id="standard"),
        pytest.param([stage(0, 4, complexity="complex")], 25, 31, None, id="complex"),
        pytest.param([stage(0, 4), stage(5, 3), stage(8, 4)], 19, 25, 34, id="three days of pause"),
        pytest.param([stage(0, 4), stage(5, 3)], None, None, None, id="paused before any limit"),
        pytest.param([stage(0, 4), stage(18, 3)], 16, None, None, id="paused after one"),
        pytest.param([stage(0, 4), stage(22, 3)], 16, 22, None, id="paused on the day of another"),
        pytest.param([stage(0, 4), stage(18, 4, complexity="complex")], 25, 31, None, id="more time"),
        pytest.param(
            [stage(0, 4, complexity="complex"), stage(24, 4, complexity="standard")],
            24,
            24,
            31,
            id="less time: from then on",
        ),
    ],
)
def test_the_days_on_which_limits_are_reached(
    facts: list[Fact], approaching: int | None, breached: int | None, overlong: int | None
) -> None:
    clock = fold("opp-1", facts, "UTC")
    assert clock is not None
    expected = (None if number is None else day(number) for number in (approaching, breached, overlong))
    assert limits(clock) == (*expected, PAST_THREE_MONTHS)


@pytest.mark.parametrize(
    ("facts", "on", "names"),
    [
        pytest.param([stage(0, 4)], 15, [], id="none"),
        pytest.param([stage(0, 4)], 16, ["approaching"], id="5 days before the target"),
        pytest.param([stage(0, 4)], 21, ["approaching"], id="the last day within"),
        pytest.param([stage(0, 4)], 22, ["approaching", "breached"], id="the first day over"),
        pytest.param([stage(0, 4)], 30, ["approaching", "breached"], id="30 days are not over 30"),
        pytest.param([stage(0, 4)], 31, ["approaching", "breached", "overlong"], id="31 are"),
        pytest.param([stage(0, 4)], 92, ["approaching", "breached", "overlong"], id="three months"),
        pytest.param([stage(0, 4)], 93, ["approaching", "breached", "overlong", "policy"], id="past three months"),
        pytest.param(
            [stage(0, 4, complexity="complex")], 31, ["approaching", "breached"], id="complex: never overlong"
        ),
        pytest.param([stage(0, 4), stage(18, 3)], 50, ["approaching"], id="paused: what it had reached"),
        pytest.param([stage(0, 4), decided(25)], 50, [], id="stopped"),
    ],
)
def test_the_limits_that_are_reached(facts: list[Fact], on: int, names: list[str]) -> None:
    clock = fold("opp-1", facts, "UTC")
    assert clock is not None
    assert reached(clock, day(on)) == names


def test_a_past_day_is_told_as_it_was() -> None:
    facts = [stage(0, 4), stage(5, 3), stage(8, 4, complexity="complex"), decided(20), decided(25, "loss")]
    clock = fold("opp-1", facts, "UTC")
    assert clock is not None
    for on in range(30):
        then = clock.at_end_of(day(on))
        assert then is not None
        alone = fold("opp-1", [one for one in facts if one.occurred_at.date() <= day(on)], "UTC")
        assert alone is not None
        assert trial(then, day(on)) == trial(alone, day(on))
        assert limits(then) == limits(alone)
    assert clock.at_end_of(day(-1)) is None


@pytest.mark.parametrize("end", [decided(25), stage(25, 5), closed(25)])
def test_a_stopped_clock_reaches_no_limit(end: Fact) -> None:
    clock = fold("opp-1", [stage(0, 4), end], "UTC")
    assert clock is not None
    assert limits(clock) == NO_LIMITS


@pytest.mark.parametrize(
    ("started", "policy_on"),
    [
        ("2026-03-02", "2026-06-03"),
        ("2027-11-30", "2028-03-01"),  # three months end on the 29th of February
        ("2026-11-30", "2027-03-01"),
        ("2026-12-31", "2027-04-01"),
        ("2028-02-29", "2028-05-30"),
    ],
)
def test_the_policy_limit_is_the_first_day_past_three_months(started: str, policy_on: str) -> None:
    on = (date.fromisoformat(started) - START).days
    clock = fold("opp-1", [stage(on, 4)], "UTC")
    assert clock is not None
    assert limits(clock).policy_on == date.fromisoformat(policy_on)


@pytest.mark.parametrize(
    ("zone", "started"),
    [("UTC", day(0)), ("Pacific/Kiritimati", day(1)), ("Pacific/Pago_Pago", day(-1)), ("America/New_York", day(0))],
)
def test_days_are_those_of_the_vendor(zone: str, started: date) -> None:
    clock = fold("opp-1", [stage(0, 4, hour=10)], zone)
    assert clock is not None
    told = trial(clock, day(20))
    assert (told.started, told.cycle_days) == (started, (day(20) - started).days)


def test_summer_time_does_not_change_whole_days() -> None:
    clock = fold("opp-1", [stage(0, 4, hour=23), decided(27, hour=21)], "Europe/Berlin")  # 3 March, 29 March at 23:00
    assert clock is not None
    assert trial(clock, day(90)).cycle_days == 26


def test_the_newest_names_are_told() -> None:
    facts = [stage(0, 4, engineer="ana", executive="eve"), stage(3, 4, engineer="bob", account="acme-2")]
    clock = fold("opp-1", facts, "UTC")
    assert clock is not None
    told = trial(clock, day(5))
    assert (told.opportunity, told.account, told.engineer, told.executive) == ("opp-1", "acme-2", "bob", "eve")


ONE_FACT = st.one_of(
    st.builds(stage, st.integers(0, 60), st.integers(0, 7), complexity=st.sampled_from([None, "standard", "complex"])),
    st.builds(decided, st.integers(0, 60), st.sampled_from(["win", "loss", "abandoned"])),
    st.builds(closed, st.integers(0, 60)),
    st.builds(reopened, st.integers(0, 60)),
)
MANY_FACTS = st.lists(ONE_FACT, max_size=8)


@given(facts=MANY_FACTS, seed=st.randoms(use_true_random=False))
def test_any_order_and_any_duplicates_give_one_clock(facts: list[Fact], seed: random.Random) -> None:
    shuffled = facts + (seed.choices(facts, k=3) if facts else [])
    seed.shuffle(shuffled)
    assert fold("opp-1", shuffled, "UTC") == fold("opp-1", facts, "UTC")


@given(facts=MANY_FACTS, on=st.integers(60, 120))
def test_the_days_in_stage_4_and_the_limits_agree(facts: list[Fact], on: int) -> None:
    clock = fold("opp-1", facts, "UTC")
    if clock is None:
        return
    told, reached = trial(clock, day(on)), limits(clock)
    assert 0 <= told.cycle_days <= told.wall_days
    assert (told.stopped is None) == (told.state == "running")
    if told.state == "running":
        assert told.within == (reached.breached_on is None or reached.breached_on > day(on))
    else:
        assert reached == NO_LIMITS
