"""Tells Alertmanager anew of the open alerts that it was told of, for it forgets. Decides nothing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.loops import forever
from uptake.messages.alerts import AlertData
from uptake_alerting import server_clock, wording
from uptake_alerting.channels import AlertmanagerChannel
from uptake_alerting.links import NO_LINKS, Links
from uptake_alerting.patience import Sent
from uptake_alerting.routes import RoutesFile
from uptake_alerting.senders import Outlet, alertmanager
from uptake_alerting.tables import delivery, episode
from uptake_alerting.threads import OPENERS

BATCH = 200

_Open = Row[Any, Any, Any, Any]  # an episode's id and data, how it was told, and why there

log = structlog.get_logger(__name__)


async def run(engine: AsyncEngine, routes: RoutesFile, outlet: Outlet, links: Links = NO_LINKS) -> None:
    """Until cancelled. Every replica does it: what is said twice is said once."""

    async def step() -> float:
        await resend(engine, routes, outlet, await server_clock.ask(engine), links)
        return alertmanager.RESEND_S

    await forever("telling Alertmanager anew", step)


async def resend(
    engine: AsyncEngine, routes: RoutesFile, outlet: Outlet, now: datetime, links: Links = NO_LINKS
) -> int:
    """How many alerts were told. A channel that fails holds up no other."""
    told = 0
    for name, channel in routes.current().channels.items():
        if isinstance(channel, AlertmanagerChannel):
            told += await _resend_to(engine, name, channel, outlet, now, links)
    return told


async def _resend_to(
    engine: AsyncEngine, name: str, channel: AlertmanagerChannel, outlet: Outlet, now: datetime, links: Links
) -> int:
    async with engine.connect() as connection:
        rows = await _open(connection, name)
    told = 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        sent = await _put(outlet, channel, batch, now, links)
        if sent.outcome != "delivered":
            log.warning("alertmanager was not told anew", channel=name, reason=sent.reason, alerts=len(batch))
            break  # the rest would fare no better; the next round tells them all
        told += len(batch)
        async with engine.connect() as connection:
            ended = await _ended(connection, [row.id for row in batch])
        if ended:  # since they were read: what we just said of them must not outlive their end
            await _put(outlet, channel, [row for row in batch if row.id in ended], now, links, over=True)
    return told


async def _put(
    outlet: Outlet,
    channel: AlertmanagerChannel,
    rows: Sequence[_Open],
    now: datetime,
    links: Links,
    *,
    over: bool = False,
) -> Sent:
    try:
        return await alertmanager.put(outlet, channel, [_alert(row, now, links, over) for row in rows])
    except (OSError, UnicodeError):
        return Sent("failed", "not_configured")


def _alert(row: _Open, now: datetime, links: Links, over: bool) -> dict[str, Any]:
    data = links.added_to(AlertData.model_validate(row.data))
    notice = wording.notice(data, row.why)
    return alertmanager.alert(data, notice, row.reference["labels"], now, now if over else None)


async def _open(connection: AsyncConnection, channel: str) -> Sequence[_Open]:
    opened = delivery.c.kind.in_(OPENERS) & (delivery.c.status == "delivered") & delivery.c.reference.is_not(None)
    statement = (
        select(episode.c.id, episode.c.data, delivery.c.reference, delivery.c.why)
        .join(delivery, delivery.c.episode == episode.c.id)
        .where(delivery.c.channel == channel, delivery.c.channel_type == "alertmanager", opened)
        .where(episode.c.ended_at.is_(None))
        .order_by(episode.c.id)
    )
    return (await connection.execute(statement)).all()


async def _ended(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    found = select(episode.c.id).where(episode.c.id.in_(ids), episode.c.ended_at.is_not(None))
    return set((await connection.execute(found)).scalars())
