"""Accept or refuse one item of a producer, with the reason: both doors ask here. Pure: bytes and a clock in."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec
from pydantic import ValidationError

from uptake.messages.events import EVENT_CLASSES, Event, UsagePing
from uptake.messages.fields import ERASED_PERSON, UNNAMED_PERSON

Reason = Literal[
    "not_json",
    "not_an_object",
    "too_large",
    "too_deep",
    "unknown_type",
    "missing_field",
    "invalid_field",
    "too_old",
    "in_future",
    "conflict",  # said by FACTS, not here
    "unknown_producer",  # said by the NATS door of a subject
]

MAX_EVENT_BYTES = 16 * 1024
OLDEST = timedelta(days=35)
FURTHEST_AHEAD = timedelta(minutes=5)
FIRST_YEAR, LAST_YEAR = 1900, 2199  # of the dates in business facts
_FIRST_INSTANT = datetime(1970, 1, 2, tzinfo=UTC)  # no zone is on a day before 1970-01-01 then
_ONLY_LIVE = frozenset({"usage", "usage.ping"})  # business facts may be of any age
RESERVED = (ERASED_PERSON, UNNAMED_PERSON)  # how ids of people may not begin
_PEOPLE = ("user", "other")
_MAX_ID = 200
_MAX_DETAIL = 500

_JSON = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Accepted:
    event: Event


@dataclass(frozen=True, slots=True)
class Refused:
    """`detail` names the field and what to do; `event_id` is null when the item has no usable one."""

    reason: Reason
    detail: str
    event_id: str | None = None


class Window(NamedTuple):
    earliest: datetime
    latest: datetime


def window_of(now: datetime, *, live: bool) -> Window:
    """When usage that is taken now may have occurred, both ends among it."""
    return Window(max(now - OLDEST, _FIRST_INSTANT) if live else _FIRST_INSTANT, now + FURTHEST_AHEAD)


def judge(raw: bytes, now: datetime, *, live: bool) -> Accepted | Refused:
    """The verdict on one item as it came. `live` is false for an import, where usage may be of any age."""
    item = _decode(raw)
    if isinstance(item, Refused):
        return item
    if not isinstance(item, dict):
        return Refused("not_an_object", "an event is a JSON object with id, type and occurred_at")
    event_id = _id_of(item)
    if len(raw) > MAX_EVENT_BYTES:
        detail = f"the event has {len(raw)} bytes of JSON and may have {MAX_EVENT_BYTES}"
        return Refused("too_large", detail, event_id)
    if "type" not in item:
        return Refused("missing_field", "type: say what kind of event this is", event_id)
    kind = item["type"]
    if not isinstance(kind, str):
        return Refused("invalid_field", "type: must be a string", event_id)
    if kind not in EVENT_CLASSES:
        return Refused("unknown_type", _shown(f"type: {kind[:100]} is none of {', '.join(EVENT_CLASSES)}"), event_id)
    try:
        event = EVENT_CLASSES[kind].model_validate(item)
    except ValidationError as error:
        return _invalid(error, kind, event_id)
    problem = _impersonating(event) or (_impossible(event, now) if kind != "usage" else None)
    if problem:
        return Refused("invalid_field", problem, event_id)
    return _timely(event, kind, now, live)


def _impersonating(event: Event) -> str | None:
    """A person who was erased, or is not to be named, is shown by such an id: nobody may be called so."""
    for name in _PEOPLE:
        if getattr(event, name, "").startswith(RESERVED):
            return f"{name}: must not begin with {' or '.join(RESERVED)}, which stand for people without a name"
    return None


def _impossible(event: Event, now: datetime) -> str | None:
    """Dates that stand for "none" in other systems, and aggregates that contradict themselves.

    Not a rule of the messages: what was accepted before has to be readable for ever.
    """
    for name in event.model_fields_set - {"expires_at"}:  # a licence may well end in the year 9999: never
        value = getattr(event, name)
        if isinstance(value, date) and not FIRST_YEAR <= value.year <= LAST_YEAR:
            return f"{name}: is outside the years {FIRST_YEAR} to {LAST_YEAR}; leave it out when there is none"
    if isinstance(event, UsagePing):
        if event.dau is not None and event.dau > event.mau:
            return "dau: is more than mau, and whoever is active on a day is active in the month"
        if event.day > now.date() + timedelta(days=1):  # no zone is further ahead
            return "day: has not begun anywhere yet"
    return None


def _timely(event: Event, kind: str, now: datetime, live: bool) -> Accepted | Refused:
    age = now - event.occurred_at
    if age < -FURTHEST_AHEAD:
        return Refused("in_future", "occurred_at: is more than 5 minutes ahead; check the sender's clock", event.id)
    if kind in _ONLY_LIVE and event.occurred_at < _FIRST_INSTANT:
        return Refused("too_old", "occurred_at: is before 1970-01-02, where local days begin to be counted", event.id)
    if live and kind in _ONLY_LIVE and age > OLDEST:
        return Refused("too_old", "occurred_at: is more than 35 days back; send it through an import", event.id)
    return Accepted(event)


def _decode(raw: bytes) -> Any:
    try:
        return _JSON.decode(raw)
    except RecursionError:
        return Refused("too_deep", "the event is nested too deeply; an event has flat fields")
    except UnicodeDecodeError:
        return Refused("not_json", "the item is not UTF-8 text")
    except msgspec.ValidationError:  # JSON by its grammar
        return Refused("invalid_field", "the event holds a number that is out of range", _id_at_second_look(raw))
    except ValueError as error:
        return _refused_json(raw, str(error))


def _refused_json(raw: bytes, complaint: str) -> Refused:
    """Tells what only a lenient reader takes (NaN, half of a surrogate pair) from what is no JSON at all."""
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return Refused("not_json", _shown(complaint))
    detail = "the item holds NaN, Infinity or half of a surrogate pair, which JSON text cannot carry"
    return Refused("invalid_field", detail, _id_at_second_look(raw))


def _id_at_second_look(raw: bytes) -> str | None:
    try:
        item = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return _id_of(item) if isinstance(item, dict) else None


def _id_of(item: dict[str, Any]) -> str | None:
    event_id = item.get("id")
    usable = isinstance(event_id, str) and 0 < len(event_id) <= _MAX_ID and event_id.isprintable()
    return event_id if usable else None


def _invalid(error: ValidationError, kind: str, event_id: str | None) -> Refused:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    # The one rule over a whole usage event is that it names an account or an instance.
    missing = first["type"] == "missing" or (kind in _ONLY_LIVE and not first["loc"])
    detail = "; ".join(f"{'.'.join(map(str, p['loc'])) or kind}: {_said(p['msg'])}" for p in problems[:5])
    return Refused("missing_field" if missing else "invalid_field", _shown(detail), event_id)


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def _shown(text: str) -> str:
    """Text that quotes a producer, safe for a log line, a header of JSON and a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:_MAX_DETAIL])
