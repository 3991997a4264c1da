"""Why nothing goes out about an alert now. Pure. A gate holds back notices only: the condition goes on under it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from uptake_alerting.silences import Silence

Reason = Literal["held", "silenced", "inhibited", "snoozed", "acked", "quiet_hours"]


@dataclass(frozen=True, slots=True)
class Gate:
    """`until`: when it opens by itself, null when something else must happen. `what`: the silence, the other rule,
    the person who acked or who has no working hours now."""

    reason: Reason
    until: datetime | None
    what: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"reason": self.reason, "until": self.until.isoformat() if self.until else None, "what": self.what}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Gate":
        until = stored.get("until")
        return cls(stored["reason"], datetime.fromisoformat(until) if until else None, stored.get("what"))


@dataclass(frozen=True, slots=True)
class Handling:
    """What people said about an alert. An ack or a snooze that is over counts for nothing here."""

    acked_by: str | None = None
    ack_until: datetime | None = None
    snoozed_until: datetime | None = None


UNTOUCHED = Handling()


def gates(
    handling: Handling,
    *,
    silences: Collection[Silence],
    inhibited_by: str | None,
    held_until: datetime | None,
    now: datetime,
) -> tuple[Gate, ...]:
    """Every gate that is shut at `now`, except quiet hours: those are of a person, not of an alert.

    `silences`: those that cover it.
    """
    found = [Gate("held", held_until)] if held_until is not None and now < held_until else []
    if silences:
        last = max(silences, key=lambda silence: silence.ends_at)
        found.append(Gate("silenced", last.ends_at, last.id))
    if inhibited_by is not None:
        found.append(Gate("inhibited", None, inhibited_by))
    if handling.snoozed_until is not None and now < handling.snoozed_until:
        found.append(Gate("snoozed", handling.snoozed_until))
    if handling.acked_by is not None and (handling.ack_until is None or now < handling.ack_until):
        found.append(Gate("acked", handling.ack_until, handling.acked_by))
    return tuple(found)
