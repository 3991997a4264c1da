"""The two outboxes as rows: alert events on their way to ALERT, notices on their way to channels. Sends nothing.

The order of locks is instance, episode, delivery everywhere. A trigger is recorded as delivered under the lock of its
episode, and an episode ends under the same lock: so whichever comes second sees the first, and a delivered trigger
always gets its terminal.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, and_, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData, AlertEvent
from uptake_alerting.patience import Next
from uptake_alerting.roster import Recipient
from uptake_alerting.routes import Routes
from uptake_alerting.tables import alert_event, delivery, episode, pause

LEASE = timedelta(seconds=60)  # four times what an attempt may take: a sender that lost it has crashed
NoticeKind = Literal["trigger", "terminal"]

_trigger = and_(delivery.c.episode == episode.c.id, delivery.c.kind == "trigger")
_heard = exists().where(_trigger, delivery.c.status.in_(("pending", "sending", "delivered")))
#: Of an episode: it is open, and its trigger neither reached anybody nor is on its way.
UNDELIVERABLE = and_(episode.c.ended_at.is_(None), ~_heard)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process alone may send until its lease ends."""

    id: str
    episode: str
    kind: NoticeKind
    channel: str
    channel_type: str
    destination: str
    why: str
    attempts: int
    ambiguous: bool
    created_at: datetime
    episode_ended: bool
    data: AlertData


@dataclass(frozen=True, slots=True)
class Unheard:
    """An undeliverable episode, and the triggers that were tried."""

    data: AlertData
    tried: frozenset[str]


def delivery_id(episode_id: str, kind: str, channel: str, destination: str) -> str:
    """Deterministic, so that no replay can make a second delivery of one notice."""
    return hashlib.sha256("\0".join((episode_id, kind, channel, destination)).encode()).hexdigest()[:32]


def trigger_id(episode_id: str, recipient: Recipient, routes: Routes) -> str:
    destination = routes.channels[recipient.channel].destination()
    return delivery_id(episode_id, "trigger", recipient.channel, destination)


async def add_event(connection: AsyncConnection, kind: str, subject: str, data: AlertData) -> str:
    """The next event of the episode; its id."""
    written = select(func.count()).where(alert_event.c.episode == data.episode)
    number = (await connection.scalar(written) or 0) + 1
    event = AlertEvent(
        id=f"{data.episode}-{number}",
        type=f"alert.v1.{kind}",
        subject=f"{data.subject_kind}/{data.subject}",
        time=data.detected_at,
        data=data,
    )
    row = {
        "id": event.id,
        "episode": data.episode,
        "kind": kind,
        "reason": data.reason,
        "at": data.detected_at,
        "subject": subject,
        "body": event.model_dump(mode="json"),
    }
    await connection.execute(upsert(alert_event).values(row))
    return event.id


async def add_triggers(
    connection: AsyncConnection,
    episode_id: str,
    event: str,
    recipients: Iterable[Recipient],
    routes: Routes,
    now: datetime,
) -> int:
    """How many are new: a destination that had this trigger already gets no second one."""
    rows: list[dict[str, Any]] = [
        {
            "episode": episode_id,
            "event": event,
            "kind": "trigger",
            "channel": r.channel,
            "channel_type": routes.channels[r.channel].type,
            "destination": routes.channels[r.channel].destination(),
            "why": r.why,
        }
        for r in recipients
    ]
    return await _add_deliveries(connection, rows, now)


async def end_notices(connection: AsyncConnection, episode_id: str, event: str, now: datetime) -> None:
    """Drop triggers that surely reached nobody, and tell the end wherever the trigger arrived."""
    mine = and_(delivery.c.episode == episode_id, delivery.c.kind == "trigger")
    unsent = and_(mine, delivery.c.status == "pending", ~delivery.c.ambiguous)
    await connection.execute(
        update(delivery).where(unsent).values(status="skipped", reason="episode_ended", done_at=now)
    )
    told = await connection.execute(select(delivery).where(mine, delivery.c.status == "delivered"))
    await _add_deliveries(connection, [_terminal_of(row, event) for row in told], now)


async def claim(connection: AsyncConnection, now: datetime) -> Claimed | None:
    """The longest due delivery that nobody holds and whose destination is not paused; held until the lease ends."""
    paused = exists().where(
        pause.c.channel == delivery.c.channel, pause.c.destination == delivery.c.destination, pause.c.until > now
    )
    due = and_(delivery.c.status.in_(("pending", "sending")), delivery.c.due_at <= now, ~paused)
    statement = (
        select(delivery, episode.c.ended_at, alert_event.c.body)
        .join(episode, episode.c.id == delivery.c.episode)
        .join(alert_event, alert_event.c.id == delivery.c.event)
        .where(due)
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
    return _claimed(row, attempts, ambiguous)


async def finish(
    connection: AsyncConnection,
    claimed: Claimed,
    after: Next,
    fallback: Sequence[Recipient],
    routes: Routes,
    now: datetime,
) -> None:
    """Record what came of it, unless the lease was lost; then whoever has it now records."""
    ended_at = await _lock_episode(connection, claimed.episode)
    ours = and_(delivery.c.id == claimed.id, delivery.c.status == "sending", delivery.c.attempts == claimed.attempts)
    values = {
        "status": after.status,
        "reason": after.reason,
        "due_at": after.due_at or now,
        "ambiguous": claimed.ambiguous or after.ambiguous,
        "done_at": None if after.status == "pending" else now,
    }
    recorded = await connection.execute(update(delivery).where(ours).values(values).returning(delivery))
    row = recorded.first()
    if row is None:
        return
    if after.pause_until is not None:
        await _pause(connection, claimed, after.pause_until)
    if claimed.kind == "trigger" and after.status == "delivered" and ended_at is not None:
        await _add_deliveries(connection, [_terminal_of(row, await _last_event(connection, claimed.episode))], now)
    if claimed.kind == "trigger" and after.status in ("failed", "skipped") and ended_at is None:
        await add_triggers(connection, claimed.episode, row.event, fallback, routes, now)


async def unheard(connection: AsyncConnection) -> list[Unheard]:
    """The undeliverable ones, the oldest first."""
    tried = select(func.array_agg(delivery.c.id)).where(_trigger).scalar_subquery()
    statement = select(episode.c.data, tried.label("tried")).where(UNDELIVERABLE)
    return [
        Unheard(AlertData.model_validate(row.data), frozenset(row.tried or ()))
        for row in await connection.execute(statement.order_by(episode.c.fired_at))
    ]


async def reroute(
    connection: AsyncConnection, episode_id: str, recipients: Sequence[Recipient], routes: Routes, now: datetime
) -> int:
    """A channel may have appeared since the alert fired: tell it once, with the original `since`."""
    if await _lock_episode(connection, episode_id) is not None:
        return 0
    event = await _last_event(connection, episode_id)  # of an open episode: what is known by now
    return await add_triggers(connection, episode_id, event, recipients, routes, now)


async def unpublished(connection: AsyncConnection, limit: int = 100) -> Sequence[Row[Any, Any, Any, Any]]:
    """Events in order. Locked without skipping: a second relay waits, so that an episode's events keep their order."""
    waiting = select(alert_event.c.position, alert_event.c.id, alert_event.c.subject, alert_event.c.body)
    waiting = waiting.where(alert_event.c.published_at.is_(None)).order_by(alert_event.c.position).limit(limit)
    return (await connection.execute(waiting.with_for_update())).all()


async def mark_published(connection: AsyncConnection, positions: Sequence[int], now: datetime) -> None:
    await connection.execute(update(alert_event).where(alert_event.c.position.in_(positions)).values(published_at=now))


async def _add_deliveries(connection: AsyncConnection, rows: Sequence[dict[str, Any]], now: datetime) -> int:
    added = 0
    for row in rows:
        names = (str(row[key]) for key in ("episode", "kind", "channel", "destination"))
        full = row | {"id": delivery_id(*names), "status": "pending", "created_at": now, "due_at": now}
        added += (await connection.execute(upsert(delivery).values(full).on_conflict_do_nothing())).rowcount
    return added


def _terminal_of(trigger: Row[Any], event: str) -> dict[str, Any]:
    same = ("episode", "channel", "channel_type", "destination", "why")
    return {name: trigger._mapping[name] for name in same} | {"event": event, "kind": "terminal"}


async def _lock_episode(connection: AsyncConnection, episode_id: str) -> datetime | None:
    """When it ended, if it did; until this transaction ends it stays so."""
    locked = select(episode.c.ended_at).where(episode.c.id == episode_id).with_for_update(key_share=True)
    ended_at: datetime | None = (await connection.execute(locked)).scalar_one()
    return ended_at


async def _last_event(connection: AsyncConnection, episode_id: str) -> str:
    mine = select(alert_event.c.id).where(alert_event.c.episode == episode_id)
    last: str = (await connection.execute(mine.order_by(alert_event.c.position.desc()).limit(1))).scalar_one()
    return last


async def _pause(connection: AsyncConnection, claimed: Claimed, until: datetime) -> None:
    statement = upsert(pause).values(channel=claimed.channel, destination=claimed.destination, until=until)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["channel", "destination"], set_={"until": until})
    )


def _claimed(row: Row[Any], attempts: int, ambiguous: bool) -> Claimed:
    return Claimed(
        id=row.id,
        episode=row.episode,
        kind=row.kind,
        channel=row.channel,
        channel_type=row.channel_type,
        destination=row.destination,
        why=row.why,
        attempts=attempts,
        ambiguous=ambiguous,
        created_at=row.created_at,
        episode_ended=row.ended_at is not None,
        data=AlertEvent.model_validate(row.body).data,
    )
