"""Which open alerts pass from one person on call to the next. Reads only."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.fields import Day, Instant
from uptake_alerting.tables import delivery, episode
from uptake_alerting.whom import BY_ROTA


class Passed(BaseModel):
    """An open alert that somebody got because of being on call, and that nobody has taken on as their own."""

    id: str
    rule: str
    account: str | None
    severity: str
    since: Day
    summary: str
    told: str
    why: str
    acked_by: str | None
    ack_until: Instant | None


async def passed(connection: AsyncConnection, outgoing: Sequence[str]) -> list[Passed]:
    """The worst first, then the oldest; one for each notice. Whatever is assigned stays with whom it is assigned to."""
    told = (
        select(episode, delivery.c.person, delivery.c.why)
        .join(delivery, delivery.c.episode == episode.c.id)
        .where(
            episode.c.ended_at.is_(None),
            episode.c.assignee.is_(None),
            delivery.c.person.in_(outgoing),
            delivery.c.why.contains(BY_ROTA, autoescape=True),
        )
    )
    found = [_passed(row) for row in await connection.execute(told)]
    return sorted(found, key=lambda one: (one.severity != "critical", one.severity != "warning", one.since, one.id))


def _passed(row: Row[Any]) -> Passed:
    return Passed(
        id=row.id,
        rule=row.rule,
        account=row.account,
        severity=row.severity,
        since=row.since,
        summary=row.data["summary"],
        told=row.person,
        why=row.why,
        acked_by=row.acked_by,
        ack_until=row.ack_until,
    )
