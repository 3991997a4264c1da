"""Alert events as rows on their way to ALERT, and what a delivery is called. Sends nothing.

The order of locks is instance, episode, delivery everywhere.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake import subjects
from uptake.messages.alerts import AlertData, AlertEvent
from uptake_alerting.tables import alert_event

ROWS = 500  # of one statement


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One more line of an alert's history. `reason` and `at` are those of `data` unless they are given; `by` and `note`
    are a person's."""

    kind: str
    data: AlertData
    reason: str | None = None
    at: datetime | None = None
    by: str | None = None
    note: str | None = None


def delivery_id(episode_id: str, kind: str, channel: str, destination: str, sequence: int = 0) -> str:
    """Deterministic, so that no replay can make a second delivery of one notice."""
    parts = (episode_id, kind, channel, destination, *([str(sequence)] if sequence else []))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


async def add_events(connection: AsyncConnection, events: Sequence[NewEvent]) -> list[str]:
    """The next events of their episodes, in this order; their ids. The episodes are locked by whoever calls."""
    written = select(alert_event.c.episode, func.count()).group_by(alert_event.c.episode)
    mine = written.where(alert_event.c.episode.in_({new.data.episode for new in events}))
    numbers = Counter({episode_id: count for episode_id, count in await connection.execute(mine)} if events else {})
    rows = []
    for new in events:
        numbers[new.data.episode] += 1
        rows.append(_event_row(new, f"{new.data.episode}-{numbers[new.data.episode]}"))
    for start in range(0, len(rows), ROWS):
        await connection.execute(upsert(alert_event).values(rows[start : start + ROWS]))
    return [row["id"] for row in rows]


async def add_pending(connection: AsyncConnection, pending: Sequence[AlertData]) -> None:
    """Of conditions that hold and have not lasted long enough. One of each first day, however often it is seen."""
    rows = [_event_row(NewEvent("pending", data), f"{data.episode}-pending-{data.since}") for data in pending]
    for start in range(0, len(rows), ROWS):
        part = [row | {"episode": None} for row in rows[start : start + ROWS]]
        await connection.execute(upsert(alert_event).values(part).on_conflict_do_nothing())


def _event_row(new: NewEvent, id_: str) -> dict[str, Any]:
    at, reason = new.at or new.data.detected_at, new.reason or new.data.reason
    data = new.data.model_copy(update={"by": new.by, "note": new.note}) if new.by or new.note else new.data
    event = AlertEvent(
        id=id_,
        type=f"alert.v1.{new.kind}",
        subject=f"{data.subject_kind}/{data.subject}",
        time=at,
        data=data,
    )
    return {
        "id": id_,
        "episode": data.episode,
        "kind": new.kind,
        "reason": reason,
        "at": at,
        "by": new.by,
        "note": new.note,
        "subject": subjects.alert(new.kind, data.region, data.severity, data.rule, data.subject),
        "body": event.model_dump(mode="json"),
    }


async def unpublished(connection: AsyncConnection, limit: int = 100) -> Sequence[Row[Any, Any, Any, Any]]:
    """Events in order. Locked without skipping: a second relay waits, so that an episode's events keep their order."""
    waiting = select(alert_event.c.position, alert_event.c.id, alert_event.c.subject, alert_event.c.body)
    waiting = waiting.where(alert_event.c.published_at.is_(None)).order_by(alert_event.c.position).limit(limit)
    return (await connection.execute(waiting.with_for_update())).all()


async def mark_published(connection: AsyncConnection, positions: Sequence[int], now: datetime) -> None:
    await connection.execute(update(alert_event).where(alert_event.c.position.in_(positions)).values(published_at=now))
