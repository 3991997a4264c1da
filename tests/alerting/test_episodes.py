"""From spans to what is told: nothing begins twice, nothing ends twice, an ended episode never comes back."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alerting.two_rules import TRIAL
from uptake_alerting.episodes import Clock, Episode, Outcome, complexity_moved, outcome_of_clock, reconcile
from uptake_alerting.fold import Span, State

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def at(day: int) -> datetime:
    return datetime(2026, 2, day, tzinfo=UTC)


def span(fired: int, ended: int | None = None) -> Span:
    since = date(2026, 2, fired) - timedelta(days=2)
    if ended is None:
        return Span(since, at(fired))
    return Span(since, at(fired), at(ended), "resolved", "on_target")


def episode(number: int, fired: int, ended: int | None = None) -> Episode:
    since, state = date(2026, 2, fired) - timedelta(days=2), "firing" if ended is None else "resolved"
    return Episode(f"e{number}", number, state, since, at(fired), None if ended is None else at(ended))


@pytest.mark.parametrize(
    ("what", "stored", "spans", "told"),
    [
        ("nothing", [], [], []),
        ("a first firing", [], [span(5)], ["1 firing firing"]),
        ("the same again", [episode(1, 5)], [span(5)], []),
        ("it resolves", [episode(1, 5)], [span(5, 9)], ["1 resolved on_target"]),
        ("resolved already", [episode(1, 5, 9)], [span(5, 9)], []),
        ("a second firing", [episode(1, 5, 9)], [span(5, 9), span(15)], ["2 firing firing"]),
        ("late data move it", [episode(1, 5)], [span(6)], ["1 updated data_revised"]),
        ("late data undo it", [episode(1, 5)], [], ["1 closed data_revised"]),
        ("late data undo a past one", [episode(1, 5, 9)], [], []),
        ("late data undo a resolve", [episode(1, 5, 9)], [span(5)], ["2 firing firing"]),
        ("and redo it", [episode(1, 5, 9), episode(2, 5)], [span(5, 9)], ["2 resolved on_target"]),
        ("found when over", [], [span(5, 9)], ["1 firing firing", "1 resolved on_target"]),
        (
            "late data split it",
            [episode(1, 5)],
            [span(5, 9), span(15)],
            ["1 resolved on_target", "2 firing firing"],
        ),
        (
            "late data find an earlier one",
            [episode(1, 15)],
            [span(5, 9), span(15)],
            ["2 firing firing", "2 resolved on_target"],
        ),
    ],
)
def test_what_a_new_outcome_tells(what, stored, spans, told):
    state = State("firing") if spans and spans[-1].ended_at is None else State()
    changes = reconcile(stored, Outcome(state, tuple(spans)), NOW)
    assert [f"{c.number} {c.kind} {c.reason}" for c in changes] == told, what


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("firing", "recovering", ["updated recovering"]),
        ("recovering", "firing", ["updated firing"]),
        ("recovering", "recovering", []),
    ],
)
def test_recovering_is_shown_within_the_episode(before, after, told):
    stored = [replace(episode(1, 5), state=before)]
    changes = reconcile(stored, Outcome(State(after), (span(5),)), NOW)
    assert [f"{c.kind} {c.state}" for c in changes] == told


TRIAL_DAY = datetime(2026, 2, 24, 12, tzinfo=UTC)


def clock(snapshot):
    """As `limits` sees a trial under the rule `trial-breached`."""
    due = TRIAL.when.due(snapshot)
    over = "trial_stopped" if snapshot.trial.state == "stopped" else None
    return Clock(due and due.at, due and due.day, over, "paused")


def outcome_of_trial(snapshot, before, began_as, now):
    return outcome_of_clock(clock(snapshot), before, complexity_moved(began_as, snapshot), "warning", now)


@pytest.mark.parametrize(
    ("what", "now", "told"),
    [
        ({}, TRIAL_DAY, []),
        ({"state": "stopped", "breached_on": None}, TRIAL_DAY, ["resolved trial_stopped"]),
        ({"complexity": "complex", "breached_on": date(2026, 3, 5)}, TRIAL_DAY, ["closed reclassified"]),
        ({"breached_on": date(2026, 3, 1)}, TRIAL_DAY, ["closed date_corrected"]),
        ({"breached_on": None, "flags": ["paused"]}, TRIAL_DAY, []),
        ({"breached_on": date(2026, 2, 20)}, TRIAL_DAY, ["updated data_revised"]),
    ],
)
def test_how_the_alert_of_a_trial_goes_on(trial, what, now, told):
    first = outcome_of_trial(trial(), State(), None, TRIAL_DAY)
    (begun,) = reconcile([], first, TRIAL_DAY)
    stored = [
        Episode("e1", 1, "firing", begun.since, begun.fired_at, None, {"complexity": "standard"}, severity="warning")
    ]
    changes = reconcile(stored, outcome_of_trial(trial(**what), first.state, "standard", now), now)
    assert [f"{c.kind} {c.reason}" for c in changes] == told


def test_a_trial_names_the_instant_at_which_to_look_again(trial):
    early = outcome_of_trial(trial(), State(), None, datetime(2026, 2, 10, tzinfo=UTC))
    assert early.wake_at == datetime(2026, 2, 23, 23, tzinfo=UTC)
    assert reconcile([], early, NOW) == []


def test_a_paused_trial_stays_in_its_condition(trial):
    firing = State("firing", since=date(2026, 2, 24), fired_at=at(24))
    paused = outcome_of_trial(trial(breached_on=None), firing, "standard", TRIAL_DAY)
    assert (paused.state.condition, paused.state.health) == ("firing", "paused")


@given(st.lists(st.lists(st.integers(1, 28), unique=True, max_size=6).map(sorted), max_size=8))
def test_whatever_late_data_say_at_most_one_episode_is_open_and_none_comes_back(histories):
    stored: dict[int, Episode] = {}
    for history in histories:
        pairs = [history[i : i + 2] for i in range(0, len(history), 2)]
        spans = tuple(span(*pair) for pair in pairs)
        state = State("firing") if spans and spans[-1].ended_at is None else State()
        for change in reconcile(list(stored.values()), Outcome(state, spans), NOW):
            before = stored.get(change.number)
            assert before is None or before.is_open
            stored[change.number] = Episode(
                "e", change.number, change.state, change.since, change.fired_at, change.ended_at
            )
        alive = [e for e in stored.values() if e.is_open]
        assert len(alive) == (1 if state.condition == "firing" else 0)
        assert all(e.fired_at == spans[-1].fired_at for e in alive)
        assert reconcile(list(stored.values()), Outcome(state, spans), NOW) == []
