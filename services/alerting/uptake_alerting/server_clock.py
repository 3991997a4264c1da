"""One clock for all replicas: that of their database, whatever their own says.

An instant that a replica two days ahead writes as "now" is no other replica's business for two days.
"""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.clock import utc_now
from uptake.loops import forever

MEASURE_S = 1.0


async def read(connection: AsyncConnection) -> datetime:
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def ask(engine: AsyncEngine) -> datetime:
    async with engine.connect() as connection:
        return await read(connection)


class ServerClock:
    """For those who cannot wait for an answer: our own clock, put right once a second."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine, self._ahead = engine, timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self._ahead

    async def run(self) -> None:
        """Until cancelled."""

        async def step() -> float:
            self._ahead = await ask(self._engine) - utc_now()
            return MEASURE_S

        await forever("reading the clock", step)
