"""The two outboxes as rows: alert events on their way to ALERT, notices on their way to channels. Sends nothing.

The order of locks is instance, episode, delivery everywhere. A trigger is recorded as delivered under the lock of its
episode, and both that and the end of an episode ask for another look at it: so a delivered trigger always gets its
terminal, whichever came first.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, ScalarSelect, Select, and_, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake import subjects
from uptake.messages.alerts import AlertData, AlertEvent
from uptake_alerting.notices import NoticeKind
from uptake_alerting.patience import Next
from uptake_alerting.tables import alert_event, delivery, episode, pause
from uptake_alerting.threads import OPENERS

ROWS = 500  # of one statement
LEASE = timedelta(seconds=60)  # four times what an attempt may take: a sender that lost it has crashed
_opener = and_(delivery.c.episode == episode.c.id, delivery.c.kind.in_(OPENERS))
_heard = exists().where(_opener, delivery.c.status.in_(("collected", "pending", "sending", "delivered")))
#: Of an episode: it is open, no gate holds it back, and neither was anybody told of it nor is that on its way.
UNDELIVERABLE = and_(
    episode.c.ended_at.is_(None), episode.c.route.is_not(None), episode.c.gates == text("'[]'::jsonb"), ~_heard
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process alone may send until its lease ends."""

    id: str
    episode: str | None  # null: a digest, or a notice to operators
    kind: NoticeKind
    sequence: int
    person: str | None
    channel: str
    channel_type: str
    destination: str
    why: str
    attempts: int
    ambiguous: bool
    created_at: datetime
    episode_ended: bool
    thread: Mapping[str, Any] | None  # the reference of what was first delivered there
    data: AlertData | None
    content: Mapping[str, Any] | None  # what it says without an event
    items: tuple[AlertData, ...] = ()  # what a digest carries, as it is now


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


async def claim(connection: AsyncConnection, now: datetime, busy: Collection[str] = ()) -> Claimed | None:
    """The longest due delivery that nobody holds, whose destination is not paused and whose channel is not `busy`.

    It is held until the lease ends.
    """
    paused = exists().where(
        pause.c.channel == delivery.c.channel, pause.c.destination == delivery.c.destination, pause.c.until > now
    )
    due = and_(delivery.c.status.in_(("pending", "sending")), delivery.c.due_at <= now, ~paused)
    statement = (
        select(delivery, episode.c.ended_at, alert_event.c.body, _thread().label("thread"))
        .outerjoin(episode, episode.c.id == delivery.c.episode)
        .outerjoin(alert_event, alert_event.c.id == delivery.c.event)
        .where(due, delivery.c.channel.not_in(busy))
        .order_by(delivery.c.due_at)
        .limit(1)
        .with_for_update(of=delivery, skip_locked=True)
    )
    row = (await connection.execute(statement)).first()
    if row is None:
        return None
    # Still `sending` after its lease: a sender crashed between sending and recording, and nobody knows which.
    ambiguous, attempts = row.ambiguous or row.status == "sending", row.attempts + 1
    held = {"status": "sending", "due_at": now + LEASE, "attempts": attempts, "ambiguous": ambiguous}
    await connection.execute(update(delivery).where(delivery.c.id == row.id).values(held))
    items = await _items(connection, row.id) if row.kind == "digest" else ()
    return _claimed(row, attempts, ambiguous, items)


async def finish(connection: AsyncConnection, claimed: Claimed, after: Next, now: datetime) -> None:
    """Record what came of it, unless the lease was lost; then whoever has it now records. Its alert is looked at next:
    an end may be owed, or another channel must be tried."""
    await _lock_episodes(connection, claimed)
    ours = and_(delivery.c.id == claimed.id, delivery.c.status == "sending", delivery.c.attempts == claimed.attempts)
    values = {
        "status": after.status,
        "reason": after.reason,
        "due_at": after.due_at or now,
        "ambiguous": claimed.ambiguous or after.ambiguous,
        "done_at": None if after.status == "pending" else now,
        "reference": after.reference,
    }
    recorded = await connection.execute(update(delivery).where(ours).values(values))
    if not recorded.rowcount:
        return
    if after.pause_until is not None:
        await _pause(connection, claimed, after.pause_until)
    if claimed.kind == "digest" and after.status != "pending":
        lines = update(delivery).where(delivery.c.digest == claimed.id)
        await connection.execute(lines.values(status=after.status, reason=after.reason, done_at=now))
    await connection.execute(update(episode).where(episode.c.id.in_(_episodes_of(claimed))).values(look_at=now))


async def unpublished(connection: AsyncConnection, limit: int = 100) -> Sequence[Row[Any, Any, Any, Any]]:
    """Events in order. Locked without skipping: a second relay waits, so that an episode's events keep their order."""
    waiting = select(alert_event.c.position, alert_event.c.id, alert_event.c.subject, alert_event.c.body)
    waiting = waiting.where(alert_event.c.published_at.is_(None)).order_by(alert_event.c.position).limit(limit)
    return (await connection.execute(waiting.with_for_update())).all()


async def mark_published(connection: AsyncConnection, positions: Sequence[int], now: datetime) -> None:
    await connection.execute(update(alert_event).where(alert_event.c.position.in_(positions)).values(published_at=now))


async def _lock_episodes(connection: AsyncConnection, claimed: Claimed) -> None:
    """Until this transaction ends they stay as they are. In the order of ids, as everybody locks them."""
    mine = select(episode.c.id).where(episode.c.id.in_(_episodes_of(claimed))).order_by(episode.c.id)
    await connection.execute(mine.with_for_update(key_share=True))


def _episodes_of(claimed: Claimed) -> Select[Any]:
    """The alert that a notice is about; of a digest all that it carries."""
    mine = delivery.c.id == claimed.id if claimed.episode is not None else delivery.c.digest == claimed.id
    return select(delivery.c.episode).where(mine)


async def _pause(connection: AsyncConnection, claimed: Claimed, until: datetime) -> None:
    statement = upsert(pause).values(channel=claimed.channel, destination=claimed.destination, until=until)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["channel", "destination"], set_={"until": until})
    )


def _thread() -> ScalarSelect[Any]:
    """The reference of the delivery that opened the thread at the same destination."""
    opener = delivery.alias("opener")
    same = and_(*(opener.c[name] == delivery.c[name] for name in ("episode", "channel", "destination")))
    told = and_(opener.c.kind.in_(OPENERS), opener.c.status == "delivered", opener.c.id != delivery.c.id)
    return select(opener.c.reference).where(same, told).order_by(opener.c.created_at).limit(1).scalar_subquery()


async def _items(connection: AsyncConnection, digest: str) -> tuple[AlertData, ...]:
    carried = select(episode.c.data).join(delivery, delivery.c.episode == episode.c.id)
    carried = carried.where(delivery.c.digest == digest).order_by(delivery.c.created_at, delivery.c.id)
    return tuple(AlertData.model_validate(row.data) for row in await connection.execute(carried))


def _claimed(row: Row[Any], attempts: int, ambiguous: bool, items: tuple[AlertData, ...]) -> Claimed:
    return Claimed(
        id=row.id,
        episode=row.episode,
        kind=row.kind,
        sequence=row.sequence,
        person=row.person,
        channel=row.channel,
        channel_type=row.channel_type,
        destination=row.destination,
        why=row.why,
        attempts=attempts,
        ambiguous=ambiguous,
        created_at=row.created_at,
        episode_ended=row.ended_at is not None,
        thread=row.thread,
        data=AlertEvent.model_validate(row.body).data if row.body is not None else None,
        content=row.content,
        items=items,
    )
