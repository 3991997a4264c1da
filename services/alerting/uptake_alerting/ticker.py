"""Asks the clock: trials whose limit has come, and alerts that reached nobody while a channel has appeared."""

from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.clock import utc_now
from uptake.loops import forever
from uptake_alerting import evaluation, outbox
from uptake_alerting.routes import RoutesFile

log = structlog.get_logger(__name__)


async def run(engine: AsyncEngine, routes: RoutesFile, tick_s: float) -> None:
    """Until cancelled. A tick that was missed is not lost: the next one finds the same."""

    async def step() -> float:
        await tick(engine, routes, utc_now())
        return tick_s

    await forever("a tick", step)


async def tick(engine: AsyncEngine, routes: RoutesFile, now: datetime) -> None:
    looked_at = evaluation.DUE_LIMIT
    while looked_at == evaluation.DUE_LIMIT:
        async with engine.begin() as connection:
            looked_at = await evaluation.tick(connection, routes.current(), now)
    await tell_unheard(engine, routes, now)


async def tell_unheard(engine: AsyncEngine, routes: RoutesFile, now: datetime) -> None:
    """One transaction for each, so that no two episodes are locked at once."""
    in_force = routes.current()
    async with engine.connect() as connection:
        unheard = await outbox.unheard(connection)
    silent = 0
    for one in unheard:
        found = evaluation.routable(one, in_force)
        if not found:
            silent += 1
            continue
        async with engine.begin() as connection:
            await outbox.reroute(connection, one.data.episode, found, in_force, now)
    if silent:
        log.error("alerts that reach nobody", undeliverable=silent, hint="give routes.yml a channel and a default")
