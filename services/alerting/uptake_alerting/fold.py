"""The condition of an alert as a pure fold over its closed days: order, duplicates and replicas cannot change it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

from uptake.messages.alerts import Severity
from uptake_alerting.judging import Verdict
from uptake_alerting.rules import Hold, Rule

SAMPLE_DAYS = 40  # late events reach 35 days back; older samples are folded into the checkpoint
ONE_SHOT = "one_shot"  # why an episode of such a rule ended
_SATURDAY = 5

Condition = Literal["ok", "pending", "firing", "recovering"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One closed day: its verdict, and the instant at which the day closed."""

    day: date
    closed_at: datetime
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class State:
    """Where the fold stands after `day`. `streak` counts known samples in a row towards firing or resolving.

    `since` is the first breaching day; `clear_since` the first clear one while recovering; `fired_at` the boundary
    instant, known while firing or recovering. `health` is `fresh`, or why the newest day says nothing.
    """

    condition: Condition = "ok"
    streak: int = 0
    since: date | None = None
    fired_at: datetime | None = None
    day: date | None = None
    health: str = "fresh"
    severity: Severity | None = None
    clear_since: date | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """One unbroken firing as the samples tell it; `ended_at` is null while it lasts."""

    since: date
    fired_at: datetime
    ended_at: datetime | None = None
    ended_as: Literal["resolved", "closed"] | None = None
    reason: str = "firing"
    severity: Severity | None = None


def fold(start: State, samples: Iterable[Judged], rule: Rule) -> tuple[State, tuple[Span, ...]]:
    """Go on from `start` over later samples in order of days; a missing day changes nothing, like an unknown one."""
    state, spans = start, []
    for sample in samples:
        state, ended = _step(state, sample, rule)
        if ended is not None:
            spans.append(ended)
    if (lasting := _span(state)) is not None:
        spans.append(lasting)
    return state, tuple(spans)


def _step(before: State, sample: Judged, rule: Rule) -> tuple[State, Span | None]:
    kind = sample.verdict.kind
    health = sample.verdict.reason if kind == "nodata" else "fresh"
    state = replace(before, day=sample.day, health=health)
    if kind == "nodata":
        return state, None
    if kind == "gone":
        return _end(state, sample, "closed")
    if rule.one_shot:
        return state, _shot(sample) if kind == "breach" else None
    if state.condition in ("ok", "pending"):
        return _towards_firing(state, sample, rule), None
    return _towards_resolved(state, sample, rule)


def _shot(sample: Judged) -> Span:
    """Told once, and over with it."""
    at = sample.closed_at
    return Span(sample.day, at, at, "closed", ONE_SHOT, sample.verdict.severity)


def _towards_firing(state: State, sample: Judged, rule: Rule) -> State:
    if sample.verdict.kind != "breach":
        return State(day=state.day, health=state.health)
    streak, since = state.streak + 1, state.since or sample.day
    if not _satisfied(rule.hold, streak, since, sample.day):
        return replace(state, condition="pending", streak=streak, since=since)
    severity = sample.verdict.severity
    return replace(state, condition="firing", streak=0, since=since, fired_at=sample.closed_at, severity=severity)


def _towards_resolved(state: State, sample: Judged, rule: Rule) -> tuple[State, Span | None]:
    if sample.verdict.kind != "clear":
        severity = sample.verdict.severity or state.severity
        return replace(state, condition="firing", streak=0, clear_since=None, severity=severity), None
    streak, clear_since = state.streak + 1, state.clear_since or sample.day
    if not _satisfied(rule.keep, streak, clear_since, sample.day):
        return replace(state, condition="recovering", streak=streak, clear_since=clear_since), None
    return _end(state, sample, "resolved")


def _satisfied(hold: Hold, streak: int, since: date, day: date) -> bool:
    if hold.unit == "samples":
        return streak >= hold.number
    days = (day - since).days + 1
    if hold.unit == "days":
        return days >= hold.number
    return sum((since + timedelta(days=n)).weekday() < _SATURDAY for n in range(days)) >= hold.number


def _end(state: State, sample: Judged, ended_as: Literal["resolved", "closed"]) -> tuple[State, Span | None]:
    span = _span(state)
    if span is not None:
        span = replace(span, ended_at=sample.closed_at, ended_as=ended_as, reason=sample.verdict.reason)
    return State(day=state.day, health=state.health), span


def _span(state: State) -> Span | None:
    """The firing that lasts, if one does."""
    if state.since is None or state.fired_at is None:
        return None
    return Span(state.since, state.fired_at, severity=state.severity)
