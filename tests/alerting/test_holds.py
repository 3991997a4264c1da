"""How long a condition has to hold, how bad a firing is, and what fires only once: as tables over closed days."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from uptake_alerting.fold import Judged, Span, State, fold
from uptake_alerting.judging import Verdict
from uptake_alerting.rules import Rule

FRIDAY = date(2026, 5, 1)
WORDS = {
    "W": Verdict("breach", "firing", "warning"),
    "!": Verdict("breach", "firing", "critical"),
    "=": Verdict("band", "between"),
    "C": Verdict("clear", "cleared"),
    "?": Verdict("nodata", "stale"),
    "X": Verdict("gone", "churned"),
}


def rule(**what):
    when = {"metric": "mau", "at_most": 0}
    return Rule.model_validate({"alert": "a-rule", "subject": "account", "when": when} | what)


def at(day):
    return datetime.combine(FRIDAY + timedelta(days=day + 1), time(2), UTC)


def days(text):
    """One letter a day, the first a Friday; `_` is a day without a sample."""
    dated = ((number, letter) for number, letter in enumerate(text) if letter != "_")
    return [Judged(FRIDAY + timedelta(days=number), at(number), WORDS[letter]) for number, letter in dated]


@pytest.mark.parametrize(
    ("hold", "series", "fires_on"),
    [
        ("1", "W", 0),
        ("3", "W__WW", 4),
        ("3", "W??WW", 4),
        ("3 days", "WWW", 2),
        ("3 days", "W__W", 3),
        ("3 days", "W?W", 2),
        ("3 days", "WW", None),
        ("3 days", "WC_W", None),
        ("3 business days", "WWW", None),  # Friday, and a weekend
        ("3 business days", "WWWW", None),  # Monday is the second
        ("3 business days", "WWWWW", 4),
        ("3 business days", "W___W", 4),
        ("2 business days", "W=WW", None),  # begun anew on Sunday
        ("2 business days", "W=WWW", 4),
    ],
)
def test_when_a_condition_has_held_long_enough(hold, series, fires_on):
    state, _ = fold(State(), days(series), rule(**{"for": hold}))
    assert state.fired_at == (None if fires_on is None else at(fires_on))


@pytest.mark.parametrize(
    ("keep", "series", "ends_on"),
    [
        ("1", "WC", 1),
        ("3", "WCC", None),
        ("3", "WC?CC", 4),
        ("3 days", "WC_C", 3),
        ("3 days", "WCC", None),
        ("2 business days", "WCCC", None),  # Saturday, Sunday, Monday
        ("2 business days", "WCCCC", 4),
        ("3", "WCCWCCC", 6),
        ("3", "WCC=CCC", 6),
    ],
)
def test_when_a_firing_has_been_clear_long_enough(keep, series, ends_on):
    _, spans = fold(State(), days(series), rule(keep_firing_for=keep))
    ended = [span.ended_at for span in spans if span.ended_at is not None]
    assert ended == ([] if ends_on is None else [at(ends_on)])


@pytest.mark.parametrize(
    ("series", "severity"),
    [
        ("W", "warning"),
        ("!", "critical"),
        ("W!", "critical"),
        ("!W", "warning"),
        ("!=", "critical"),
        ("!?", "critical"),
        ("!C", "critical"),
    ],
)
def test_a_firing_is_as_bad_as_its_last_breach(series, severity):
    state, spans = fold(State(), days(series), rule(keep_firing_for="3"))
    assert (state.severity, [span.severity for span in spans]) == (severity, [severity])


def test_what_fires_only_once_is_over_each_time_and_remembers_nothing():
    state, spans = fold(State(), days("CW?!X"), rule(one_shot=True))
    day = [FRIDAY + timedelta(days=number) for number in range(5)]
    assert spans == (
        Span(day[1], at(1), at(1), "closed", "one_shot", "warning"),
        Span(day[3], at(3), at(3), "closed", "one_shot", "critical"),
    )
    assert state == State(day=day[4])
