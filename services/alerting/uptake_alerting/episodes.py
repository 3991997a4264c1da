"""From what the samples say to what must be told: which episodes begin, move or end. Pure: it writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal

from uptake.messages.alerts import Severity
from uptake.messages.kpi import TrialSnapshot
from uptake.subjects import token
from uptake_alerting.fold import Span, State
from uptake_alerting.handling import CLOSED_BY_HAND

_RANK: dict[Severity | None, int] = {None: 0, "info": 1, "warning": 2, "critical": 3}
EpisodeState = Literal["firing", "recovering", "resolved", "closed"]
OPEN_STATES = ("firing", "recovering")


@dataclass(frozen=True, slots=True)
class Episode:
    """What is already on record about one firing."""

    id: str
    number: int
    state: EpisodeState
    since: date
    fired_at: datetime
    ended_at: datetime | None
    values: Mapping[str, Any] = field(default_factory=dict)  # the numbers of its latest event
    reason: str = ""
    severity: Severity | None = None

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    def covers(self, span: Span) -> bool:
        """That firing has been told of: it ended with the episode, or somebody had closed that while it lasted."""
        told = span.ended_at is not None or self.reason == CLOSED_BY_HAND
        return told and _overlap(self, span)


@dataclass(frozen=True, slots=True)
class Ending:
    ended_as: Literal["resolved", "closed"]
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One evaluation: the state, the firings it knows, and when to look again without any message.

    `orphan` says how an open episode ends that no span covers any more; None leaves it as it is.
    """

    state: State
    spans: tuple[Span, ...]
    orphan: Ending | None = Ending("closed", "data_revised")
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One line of an episode's history. `kind` is also the kind of the alert event."""

    kind: Literal["firing", "updated", "resolved", "closed"]
    number: int
    state: EpisodeState
    reason: str
    since: date
    fired_at: datetime
    ended_at: datetime | None = None
    severity: Severity | None = None
    worse: bool = False


def episode_id(rule: str, subject: str, number: int) -> str:
    """Made of immutable things only, so that every replica and every replay names the same firing alike."""
    return token(f"{rule}\0{subject}\0{number}")[:16]


@dataclass(frozen=True, slots=True)
class Clock:
    """What the clock has to do with a subject that has no closed days: when its limit is or was reached.

    `since`: the day that then begins. `over`: why it is over for good. `waits`: why the clock stands still.
    """

    limit: datetime | None
    since: date | None
    over: str | None = None
    waits: str | None = None


def outcome_of_clock(clock: Clock, before: State, moved: str, severity: Severity, now: datetime) -> Outcome:
    """Its dates and the clock decide. `moved`: why an alert ends whose limit lies ahead again."""
    if clock.over is not None:
        return Outcome(State(), (), orphan=Ending("resolved", clock.over))
    if clock.limit is None or clock.since is None:
        return Outcome(replace(before, health=clock.waits or "unknown"), (), orphan=None)
    if now >= clock.limit:
        span = Span(clock.since, clock.limit, severity=severity)
        return Outcome(State("firing", since=clock.since, fired_at=clock.limit, severity=severity), (span,))
    return Outcome(State(), (), orphan=Ending("closed", moved), wake_at=clock.limit)


def complexity_moved(began_as: str | None, snapshot: TrialSnapshot) -> str:
    return "reclassified" if began_as != snapshot.trial.complexity else "date_corrected"


def reconcile(stored: Sequence[Episode], outcome: Outcome, now: datetime) -> list[Change]:
    """What changes on record. `stored` are the episodes of the instance by number; at most one of them is open."""
    open_one = next((e for e in stored if e.is_open), None)
    kept = next((s for s in outcome.spans if open_one is not None and _overlap(open_one, s)), None)
    changes: list[Change] = []
    if open_one is not None:
        changes += _continued(open_one, kept, outcome.state) if kept else _orphaned(open_one, outcome.orphan, now)
    number, past = max((e.number for e in stored), default=0), [e for e in stored if not e.is_open]
    for span in outcome.spans:
        known = span is kept or any(e.covers(span) for e in past)
        if not known:  # a firing that goes on after its terminal was told is a new episode, never a reopened one
            number += 1
            changes += _begun(number, span, outcome.state)
    return changes


def _overlap(episode: Episode, span: Span) -> bool:
    begins_before = span.ended_at is None or episode.fired_at <= span.ended_at
    return begins_before and (episode.ended_at is None or span.fired_at <= episode.ended_at)


def _begun(number: int, span: Span, state: State) -> list[Change]:
    begun = Change("firing", number, "firing", "firing", span.since, span.fired_at, severity=span.severity)
    if span.ended_at is not None:
        return [begun, _ended(number, span)]
    if state.condition == "recovering":
        return [begun, replace(begun, kind="updated", state="recovering", reason="recovering")]
    return [begun]


def _continued(episode: Episode, span: Span, state: State) -> list[Change]:
    if span.ended_at is not None:
        return [_ended(episode.number, span)]
    condition: EpisodeState = "recovering" if state.condition == "recovering" else "firing"
    same = (condition, span.since, span.fired_at) == (episode.state, episode.since, episode.fired_at)
    if same and span.severity == episode.severity:
        return []
    worse = _RANK[span.severity] > _RANK[episode.severity]
    reason: str = condition if condition != episode.state else "data_revised"
    if span.severity != episode.severity and condition == episode.state:
        reason = "severity_raised" if worse else "severity_lowered"
    change = Change("updated", episode.number, condition, reason, span.since, span.fired_at)
    return [replace(change, severity=span.severity, worse=worse)]


def _ended(number: int, span: Span) -> Change:
    kind = span.ended_as or "resolved"
    return Change(kind, number, kind, span.reason, span.since, span.fired_at, span.ended_at, span.severity)


def _orphaned(episode: Episode, ending: Ending | None, now: datetime) -> list[Change]:
    if ending is None:
        return []
    kind = ending.ended_as
    ended = Change(kind, episode.number, kind, ending.reason, episode.since, episode.fired_at, now)
    return [replace(ended, severity=episode.severity)]
