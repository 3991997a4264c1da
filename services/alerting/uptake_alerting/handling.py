"""What people do about an alert, and what that changes: ack, unack, snooze, close, assign, note. Pure.

The same action twice changes nothing the second time, so that a double click or a repeated request leaves one line in
the history.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from uptake.messages.alerts import AlertData, Severity

Verb = Literal["ack", "unack", "snooze", "close", "assign", "note"]
Kind = Literal["acknowledged", "unacknowledged", "snoozed", "closed", "assigned", "noted"]  # of the alert event

BY_HAND, CLOSED_BY_HAND, WORSENED = "by_hand", "closed_by_hand", "worsened"
ACK_LASTS: dict[Severity, timedelta] = {
    "critical": timedelta(days=3),
    "warning": timedelta(days=7),
    "info": timedelta(days=7),
}
LONGEST = timedelta(days=30)  # whatever lasts longer is a rule to change
SAME_WITHIN = timedelta(minutes=1)  # `for 7d` twice: the second one ends a little later, and is the same all the same
NO_ACK: Mapping[str, None] = dict.fromkeys(("acked_by", "acked_at", "ack_until"))

_LENGTH = re.compile(r"\s*(\d{1,5})\s*([mhdw])\s*", re.ASCII)
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_EVENTS: dict[Verb, Kind] = {
    "ack": "acknowledged",
    "unack": "unacknowledged",
    "snooze": "snoozed",
    "close": "closed",
    "assign": "assigned",
    "note": "noted",
}


@dataclass(frozen=True, slots=True)
class Action:
    """`via`: the door it came through. `comment`: why; of a note, what it says. `to`: null gives it back to the owner.

    `lasts` and `until` say the same in two ways: one of them at most.
    """

    verb: Verb
    by: str
    via: str
    until: datetime | None = None
    lasts: timedelta | None = None
    to: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert as it is when somebody acts on it. `noted`: the very note, by the same person, is on record."""

    state: str
    reason: str
    severity: Severity
    subject_kind: str
    ended_at: datetime | None = None
    acked_by: str | None = None
    ack_until: datetime | None = None
    snoozed_until: datetime | None = None
    assignee: str | None = None
    noted: bool = False

    def is_acked(self, now: datetime) -> bool:
        return self.acked_by is not None and (self.ack_until is None or now < self.ack_until)

    def is_snoozed(self, now: datetime) -> bool:
        return self.snoozed_until is not None and now < self.snoozed_until


@dataclass(frozen=True, slots=True)
class Done:
    """`kind`: the event to write, null when nothing changes. `values`: columns of the episode. `said`: one sentence."""

    said: str
    kind: Kind | None = None
    reason: str = BY_HAND
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    error: Literal["alert_ended", "ends_by_itself", "invalid_request"]
    detail: str


def decide(alert: Standing, action: Action, now: datetime) -> Done | Refused:
    """What the action does to the alert, or why it is not done and what to do instead."""
    if (wrong := _wrong(action, now)) is not None:
        return Refused("invalid_request", wrong)
    if action.verb == "note":
        return _note(alert, action)
    if alert.ended_at is not None:
        return _of_ended(alert, alert.ended_at, action)
    match action.verb:
        case "ack":
            return _ack(alert, action, now)
        case "unack":
            return _unack(alert, action, now)
        case "snooze":
            return _snooze(alert, action, now)
        case "assign":
            return _assign(alert, action)
        case "close":
            return _close(alert, action)


def parse_length(text: str) -> timedelta:
    """`90m`, `4h`, `7d`, `2w`. Raises ValueError that says what was expected."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no length of time: write 90m, 4h, 7d or 2w")
    return int(found[1]) * _UNITS[found[2]]


def closed(data: AlertData, by: str, now: datetime) -> AlertData:
    """How an alert ends that somebody closed."""
    moved = {"state": "closed", "reason": CLOSED_BY_HAND, "detected_at": now}
    return data.model_copy(update=moved | {"summary": f"{data.summary}; closed by {by}"})


def _wrong(action: Action, now: datetime) -> str | None:
    """What is wrong with the action itself, whatever the alert."""
    if action.verb in ("close", "note") and not (action.comment or "").strip():
        return "comment: say why it is closed" if action.verb == "close" else "note: say what to note"
    if action.verb not in ("ack", "snooze"):
        return "until, for: only an ack and a snooze end by themselves" if action.until or action.lasts else None
    if action.until is not None and action.lasts is not None:
        return "until, for: give one of them, not both"
    if action.verb == "snooze" and action.until is None and action.lasts is None:
        return "until: a snooze needs an end, such as 7d from now or an instant"
    until = _until(action, now)
    if until is not None and until <= now:
        return f"until: {_shown(until)} is over already"
    if until is not None and until > now + LONGEST:
        return "until: at most 30 days ahead; whatever lasts longer is a rule to change"
    return None


def _until(action: Action, now: datetime) -> datetime | None:
    return now + action.lasts if action.lasts is not None else action.until


def _of_ended(alert: Standing, ended_at: datetime, action: Action) -> Done | Refused:
    if action.verb == "close" and alert.reason == CLOSED_BY_HAND:
        return Done("It is closed by hand already.")
    over = f"the alert is over since {_shown(ended_at)} ({alert.state}, {alert.reason})"
    left = f"there is nothing left to {action.verb}; a note can still be added, and if it fires again it is a new alert"
    return Refused("alert_ended", f"{over}: {left}")


def _ack(alert: Standing, action: Action, now: datetime) -> Done:
    """Whoever acks first has it; somebody else who names an end takes it over."""
    asked = _until(action, now)
    if alert.is_acked(now) and (asked is None or (alert.acked_by == action.by and _same(asked, alert.ack_until))):
        until = f" until {_shown(alert.ack_until)}" if alert.ack_until is not None else ""
        return Done(f"It is acked by {alert.acked_by}{until} already.")
    until_ = asked or now + ACK_LASTS[alert.severity]
    values = {"acked_by": action.by, "acked_at": now, "ack_until": until_}
    return _done(action, f"Acked by {action.by} until {_shown(until_)}.", values)


def _unack(alert: Standing, action: Action, now: datetime) -> Done:
    """A snooze is taken back with it: either says "not now", and this says "now"."""
    if not alert.is_acked(now) and not alert.is_snoozed(now):
        return Done("It is neither acked nor snoozed.")
    return _done(action, "It is neither acked nor snoozed any more.", {**NO_ACK, "snoozed_until": None})


def _snooze(alert: Standing, action: Action, now: datetime) -> Done:
    until = _until(action, now)
    if until is None or _same(until, alert.snoozed_until):
        return Done(f"It is snoozed until {_shown(alert.snoozed_until or now)} already.")
    return _done(action, f"Snoozed until {_shown(until)}.", {"snoozed_until": until})


def _assign(alert: Standing, action: Action) -> Done:
    whose = action.to or "its owner"
    if alert.assignee == action.to:
        return Done(f"It is with {whose} already.")
    return _done(action, f"Assigned to {whose}.", {"assignee": action.to})


def _close(alert: Standing, action: Action) -> Done | Refused:
    if alert.subject_kind in ("rule", "episode"):
        hint = "ack or snooze it; `uptake alerts release RULE` lets go what a storm holds back"
        return Refused("ends_by_itself", f"an alert about alerting itself ends with its cause: {hint}")
    said = "Closed. It does not fire again before the condition was over."
    return Done(said, _EVENTS["close"], CLOSED_BY_HAND, {"state": "closed", "reason": CLOSED_BY_HAND})


def _note(alert: Standing, action: Action) -> Done:
    return Done("It is noted already.") if alert.noted else _done(action, "Noted.", {})


def _done(action: Action, said: str, values: Mapping[str, Any]) -> Done:
    return Done(said, _EVENTS[action.verb], BY_HAND, values)


def _same(one: datetime, other: datetime | None) -> bool:
    return other is not None and abs(one - other) < SAME_WITHIN


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
