"""What planning is given about one alert, and what it answers. Data only, and how often is too often; pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from uptake.messages.alerts import Severity
from uptake_alerting.gates import UNTOUCHED, Gate, Handling
from uptake_alerting.notices import NoticeKind
from uptake_alerting.rules import Rule
from uptake_alerting.threads import Destination, Told
from uptake_alerting.whom import About, Chosen, Recipient

Mode = Literal["now", "digest"]
FLAPPING, FLAPPING_WITHIN = 3, timedelta(days=14)  # firings; what follows them within the time fills the digest only


class Contacts(Protocol):
    """Whom to tell and when each may be told: roster, routes and calendars, behind questions about people."""

    def choose(self, about: About, level: int, tried: frozenset[Destination]) -> Chosen: ...
    def quiet_until(self, person: str | None) -> datetime | None: ...
    def digest_at(self, person: str | None) -> datetime: ...
    def after_hours(self, person: str | None, start: datetime, hours: int) -> datetime: ...
    def after_days(self, person: str | None, start: datetime, days: int) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Routed:
    """For whom the recipients were chosen: another owner or assignee asks for another choice."""

    owner: str | None = None
    assignee: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known about the notices of one episode. `gates` are those shut now, `before` those of the last look.

    `one_shot`: it was over as it began, and is told all the same. `flapping`: it fired so often of late that the
    digest is enough. `released`: a storm held it back.
    `avoid`: destinations that are the very trouble it is about.
    """

    id: str
    rule: str
    severity: Severity
    about: About
    delivery: Literal["at_once", "working_hours", "digest"] = "working_hours"
    bypass_quiet_hours: bool = False
    ended: bool = False
    one_shot: bool = False
    told: tuple[Told, ...] = ()
    gates: tuple[Gate, ...] = ()
    before: tuple[Gate, ...] = ()
    handling: Handling = UNTOUCHED
    routed: Routed | None = None
    escalation: int = 0
    flapping: bool = False
    released: bool = False
    avoid: frozenset[Destination] = frozenset()


def case_of(id: str, rule: Rule | None, about: About, severity: Severity) -> Case:
    """As its rule has it, if there still is one; of what has happened to the episode it knows nothing yet."""
    known = Case(id, about.rule, severity, about)
    if rule is None:
        return known
    return replace(known, delivery=rule.delivery_of(severity), bypass_quiet_hours=rule.bypass_quiet_hours)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One notice to write down. `due_at`: of a digest, when it may go."""

    kind: NoticeKind
    sequence: int
    recipient: Recipient
    mode: Mode
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """`drop`: waiting notices to take back, each with the reason. `unheard`: it is open, and nobody can be told."""

    wanted: tuple[Wanted, ...] = ()
    drop: tuple[tuple[str, str], ...] = ()
    gates: tuple[Gate, ...] = ()
    look_at: datetime | None = None
    escalation: int = 0
    chosen: Chosen | None = None
    unheard: bool = False


def is_flapping(fired_at: datetime, earlier: Collection[datetime]) -> bool:
    """The third firing within 14 days is still told at once; those that follow it within 14 days are not."""
    recent = [at for at in earlier if fired_at - at < FLAPPING_WITHIN]
    return any(sum(timedelta() <= at - one < FLAPPING_WITHIN for one in earlier) >= FLAPPING for at in recent)


def as_route(chosen: Chosen, about: About) -> dict[str, Any]:
    """How the recipients were chosen, for whoever asks why."""
    return {
        "level": chosen.level,
        "steps": list(chosen.steps),
        "owner": about.owner,
        "assignee": about.assignee,
    }
