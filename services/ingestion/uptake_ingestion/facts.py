"""Business events go into FACTS, one message per (type, source, id) for ever: the broker itself refuses a second.

Heartbeats are the exception, for FACTS would fill with them: an installation is heard of once in a quarter of an hour,
and that is forgotten when USAGE forgets its events of that time. Metrics keeps what it needs of them.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from uptake.messages.events import Event, InstanceHeartbeat
from uptake.messages.facts import Fact
from uptake.subjects import FACTS, fact
from uptake_ingestion.publishing import NotStored, Publisher, SubjectTaken

#: No local day of any zone begins within one, so which days something was heard on does not depend on which it was.
_QUARTER_S = 900
_KEEP_HEARTBEATS_H = 45 * 24


@dataclass(frozen=True, slots=True)
class Put:
    """`stored` is the event that stands under this id from now on, as it is on the wire: the new one, or the first."""

    status: Literal["accepted", "duplicate", "conflict"]
    stored: dict[str, Any]


class FactBook:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def put(self, source: str, event: Event, received_at: datetime) -> Put:
        """Raises NotStored."""
        message = on_wire(source, event, received_at)
        body: dict[str, Any] = message["event"]
        is_heartbeat = isinstance(event, InstanceHeartbeat)
        subject = fact(body["type"], source, _key(event))
        payload = json.dumps(message, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            keep_h = _KEEP_HEARTBEATS_H if is_heartbeat else None
            await self._publisher.publish(FACTS, subject, payload, keep_h=keep_h)
        except SubjectTaken as taken:
            first = await self._event_at(subject)
            if first is None:  # nothing under this subject: then it is the stream that is full
                raise NotStored(f"{FACTS} is full") from taken
            if is_heartbeat and first["id"] != event.id:  # it was heard, and says nothing that is not known
                return Put("accepted", first)
            return Put("duplicate" if first == body else "conflict", first)
        return Put("accepted", body)

    async def get(self, event_type: str, source: str, event_id: str) -> dict[str, Any] | None:
        """The event of a stored fact. Raises NotStored when the broker does not answer."""
        return await self._event_at(fact(event_type, source, event_id))

    async def _event_at(self, subject: str) -> dict[str, Any] | None:
        message = await self._publisher.last(FACTS, subject)
        if message is None:
            return None
        event: dict[str, Any] = json.loads(message)["event"]
        return event


def _key(event: Event) -> str:
    """What a source says once."""
    if isinstance(event, InstanceHeartbeat):
        return f"{event.instance}\0{event.occurred_at.timestamp() // _QUARTER_S:.0f}"
    return event.id


def on_wire(source: str, event: Event, received_at: datetime) -> dict[str, Any]:
    """Only the fields that were sent, times in UTC: what two deliveries of one fact have in common."""
    whole = Fact.model_validate({"source": source, "received_at": received_at, "event": event})
    return whole.model_dump(mode="json", exclude_unset=True)
