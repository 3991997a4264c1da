"""What people ask about alerts, answered from the tables. Reads only."""

from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake.messages.fields import Instant
from uptake_alerting.episodes import OPEN_STATES
from uptake_alerting.outbox import UNDELIVERABLE
from uptake_alerting.tables import alert_event, delivery, episode

StateFilter = Literal["open", "firing", "recovering", "resolved", "closed"]


class Delivery(BaseModel):
    """One notice to one channel. `reason` says why it is not delivered (yet), `why` why this channel gets it."""

    id: str
    kind: Literal["trigger", "terminal"]
    channel: str
    channel_type: str
    destination: str
    why: str
    status: Literal["pending", "sending", "delivered", "failed", "skipped"]
    reason: str | None
    attempts: int
    created_at: Instant
    done_at: Instant | None


class Transition(BaseModel):
    """One event of the alert's history; `published_at` is null while it waits for the broker."""

    event: str
    kind: str
    state: str
    reason: str
    at: Instant
    summary: str
    published_at: Instant | None


class Alert(AlertData):
    """One episode as its latest event tells it, except that `detected_at` is of its first.

    `undeliverable`: it is open, and its trigger neither reached anybody nor is on its way.
    """

    episode: str = Field(serialization_alias="id")
    resolved_at: Instant | None
    undeliverable: bool
    deliveries: list[Delivery]


class AlertDetail(Alert):
    why: list[str]
    transitions: list[Transition]


_episodes = select(episode, UNDELIVERABLE.label("undeliverable"))


async def alerts(connection: AsyncConnection, state: StateFilter | None, limit: int) -> list[Alert]:
    """The newest first."""
    statement = _episodes.order_by(episode.c.fired_at.desc(), episode.c.id).limit(limit)
    if state == "open":
        statement = statement.where(episode.c.state.in_(OPEN_STATES))
    elif state is not None:
        statement = statement.where(episode.c.state == state)
    rows = (await connection.execute(statement)).all()
    notices = await _deliveries(connection, [row.id for row in rows])
    return [Alert(**_fields(row, notices.get(row.id, []))) for row in rows]


async def alert(connection: AsyncConnection, episode_id: str) -> AlertDetail | None:
    row = (await connection.execute(_episodes.where(episode.c.id == episode_id))).first()
    if row is None:
        return None
    notices = (await _deliveries(connection, [episode_id])).get(episode_id, [])
    why = [f"{notice.channel}: {notice.why}" for notice in notices if notice.kind == "trigger"]
    fields = _fields(row, notices)
    return AlertDetail(**fields, why=why, transitions=await _transitions(connection, episode_id))


async def undeliverable(connection: AsyncConnection) -> list[str]:
    """The rule of each open alert that nobody heard of and nobody will."""
    return list(await connection.scalars(select(episode.c.rule).where(UNDELIVERABLE)))


async def _deliveries(connection: AsyncConnection, episodes: list[str]) -> dict[str, list[Delivery]]:
    rows = await connection.execute(
        select(delivery).where(delivery.c.episode.in_(episodes)).order_by(delivery.c.created_at, delivery.c.kind.desc())
    )
    found: dict[str, list[Delivery]] = {}
    for row in rows:
        found.setdefault(row.episode, []).append(Delivery.model_validate(row, from_attributes=True))
    return found


async def _transitions(connection: AsyncConnection, episode_id: str) -> list[Transition]:
    mine = select(alert_event).where(alert_event.c.episode == episode_id).order_by(alert_event.c.position)
    return [
        Transition(
            event=row.id,
            kind=row.kind,
            state=row.body["data"]["state"],
            reason=row.reason,
            at=row.at,
            summary=row.body["data"]["summary"],
            published_at=row.published_at,
        )
        for row in await connection.execute(mine)
    ]


def _fields(row: Any, notices: list[Delivery]) -> dict[str, Any]:
    of_row = {"detected_at": row.detected_at, "resolved_at": row.ended_at, "undeliverable": row.undeliverable}
    return {**row.data, **of_row, "deliveries": notices}
