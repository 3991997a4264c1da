"""Makes one notice of all that was collected for one destination. Decides nothing about what is collected."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake_alerting import wording
from uptake_alerting.tables import delivery, episode

_LOCK = 0x75707461  # of all replicas: whoever makes digests makes all that are due
_COLLECTED = and_(delivery.c.status == "collected", delivery.c.digest.is_(None))


async def make(connection: AsyncConnection, now: datetime) -> int:
    """How many digests were made. Nothing is due while an alert that may join it still waits to be looked at."""
    alone = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    made = 0
    for due in await _due(connection, now) if alone else ():
        await _make(connection, due, now)
        made += 1
    return made


async def _due(connection: AsyncConnection, now: datetime) -> Sequence[Row[Any]]:
    key = (delivery.c.person, delivery.c.channel, delivery.c.channel_type, delivery.c.destination)
    first = func.min(delivery.c.due_at)
    grouped = select(*key, first.label("due_at"), func.min(delivery.c.why).label("why")).where(_COLLECTED)
    due = grouped.group_by(*key).having(first <= now).subquery()
    unplanned = exists().where(episode.c.look_at <= due.c.due_at)
    return (await connection.execute(select(due).where(~unplanned))).all()


async def _make(connection: AsyncConnection, due: Row[Any], now: datetime) -> None:
    made_of = "\0".join(("digest", due.channel, due.destination, due.person or "", now.isoformat()))
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:32]
    mine = and_(
        _COLLECTED,
        delivery.c.channel == due.channel,
        delivery.c.destination == due.destination,
        delivery.c.person.is_not_distinct_from(due.person),
    )
    await connection.execute(update(delivery).where(mine).values(digest=digest))
    carried = select(episode.c.data).join(delivery, delivery.c.episode == episode.c.id)
    carried = carried.where(delivery.c.digest == digest).order_by(episode.c.fired_at, episode.c.id)
    items = [AlertData.model_validate(data) for data in await connection.scalars(carried)]
    notice = wording.digest(items, due.person, "Alerts")
    row = {
        "id": digest,
        "kind": "digest",
        "sequence": 0,
        "person": due.person,
        "channel": due.channel,
        "channel_type": due.channel_type,
        "destination": due.destination,
        "why": due.why,
        "status": "pending",
        "content": {"headline": notice.headline, "lines": list(notice.lines)},
        "created_at": now,
        "due_at": now,
    }
    await connection.execute(upsert(delivery).values(row))
