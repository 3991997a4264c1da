"""The lifecycle of an alert as tables, and what may never matter to it as properties."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.alerting.two_rules import ADOPTION
from uptake_alerting.fold import Judged, Span, State, fold
from uptake_alerting.judging import Verdict

START = date(2026, 2, 1)
WORDS = {
    "B": Verdict("breach", "off_target"),
    "=": Verdict("band", "near"),
    "C": Verdict("clear", "on_target"),
    "?": Verdict("nodata", "stale"),
    "X": Verdict("gone", "churned"),
}


def at(day: date) -> datetime:
    return datetime.combine(day, time(2), UTC) + timedelta(days=1)


def days(text: str) -> list[Judged]:
    """One letter a day; `_` is a day without a sample."""
    dated = ((START + timedelta(days=i), letter) for i, letter in enumerate(text))
    return [Judged(day, at(day), WORDS[letter]) for day, letter in dated if letter != "_"]


@pytest.mark.parametrize(
    ("series", "condition", "since", "fired", "health"),
    [
        ("", "ok", None, None, "fresh"),
        ("C", "ok", None, None, "fresh"),
        ("BB", "pending", 0, None, "fresh"),
        ("BBB", "firing", 0, 2, "fresh"),
        ("BBCBB", "pending", 3, None, "fresh"),
        ("BB=", "ok", None, None, "fresh"),
        ("BB?B", "firing", 0, 3, "fresh"),
        ("BB_B", "firing", 0, 3, "fresh"),
        ("BB?", "pending", 0, None, "stale"),
        ("BB????", "pending", 0, None, "stale"),
        ("BBB?", "firing", 0, 2, "stale"),
        ("BBBCC", "recovering", 0, 2, "fresh"),
        ("BBBCC?", "recovering", 0, 2, "stale"),
        ("BBBCC?C", "ok", None, None, "fresh"),
        ("BBBCCC", "ok", None, None, "fresh"),
        ("BBBCCB", "firing", 0, 2, "fresh"),
        ("BBBCC=", "firing", 0, 2, "fresh"),
        ("BBBCCBCC", "recovering", 0, 2, "fresh"),
        ("BBBX", "ok", None, None, "fresh"),
        ("BBX", "ok", None, None, "fresh"),
        ("BBXB", "pending", 3, None, "fresh"),
        ("BBBCCCBBB", "firing", 6, 8, "fresh"),
    ],
)
def test_where_a_series_ends(series, condition, since, fired, health):
    state, _ = fold(State(), days(series), ADOPTION)
    assert (state.condition, state.health) == (condition, health)
    assert state.since == (None if since is None else START + timedelta(days=since))
    assert state.fired_at == (None if fired is None else at(START + timedelta(days=fired)))


def test_each_unbroken_firing_is_a_span_with_its_boundary_instants():
    _, spans = fold(State(), days("BBBCCCCBBBXBBB"), ADOPTION)
    day = [START + timedelta(days=i) for i in range(14)]
    assert spans == (
        Span(day[0], at(day[2]), at(day[5]), "resolved", "on_target"),
        Span(day[7], at(day[9]), at(day[10]), "closed", "churned"),
        Span(day[11], at(day[13])),
    )


series = st.text(alphabet="B=C?X_", max_size=40)


@given(series, st.integers(0, 40))
def test_a_fold_may_stop_anywhere_and_go_on(text, cut):
    samples = days(text)
    whole, spans = fold(State(), samples, ADOPTION)
    middle, before = fold(State(), samples[:cut], ADOPTION)
    end, after = fold(middle, samples[cut:], ADOPTION)
    assert end == whole
    assert tuple(s for s in before if s.ended_at is not None) + after == spans


@given(series, st.integers(0, 39))
def test_a_day_without_news_is_as_good_as_no_day(text, where):
    without = fold(State(), days(text[:where] + "_" + text[where:]), ADOPTION)
    unknown = fold(State(), days(text[:where] + "?" + text[where:]), ADOPTION)
    assert without[1] == unknown[1]
    assert (without[0].condition, without[0].streak) == (unknown[0].condition, unknown[0].streak)
