"""Asks the clock: trials whose limit has come."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.clock import utc_now
from uptake.loops import forever
from uptake_alerting import evaluation


async def run(engine: AsyncEngine, tick_s: float) -> None:
    """Until cancelled. A tick that was missed is not lost: the next one finds the same."""

    async def step() -> float:
        await tick(engine, utc_now())
        return tick_s

    await forever("a tick", step)


async def tick(engine: AsyncEngine, now: datetime) -> None:
    looked_at = evaluation.DUE_LIMIT
    while looked_at == evaluation.DUE_LIMIT:
        async with engine.begin() as connection:
            looked_at = await evaluation.tick(connection, now)
