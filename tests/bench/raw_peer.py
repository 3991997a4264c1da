"""The peer of `raw`: FastStream with decorators and one event a message, as its documentation shows it.

`python -m ... accept|count NATS_URL DSN`
"""

import asyncio
import sys

import asyncpg
from faststream import FastStream
from faststream.nats import JStream, NatsBroker

from uptake.messages.events import Usage

_TABLE = """
CREATE TABLE IF NOT EXISTS active (account text, environment text, feature text, day date, person text,
                                   PRIMARY KEY (account, environment, feature, day, person))
"""
_COUNT = """
INSERT INTO active VALUES ($1, $2, '', $4, $5), ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""


def accepting(url: str) -> FastStream:
    broker = NatsBroker(url)
    stream = JStream("events")

    @broker.subscriber("events.raw", stream=stream, durable="accept")
    @broker.publisher("events.accepted", stream="events")
    async def accept(event: Usage) -> Usage:
        return event

    return FastStream(broker)


async def counting(url: str, dsn: str) -> FastStream:
    broker = NatsBroker(url)
    stream = JStream("events")
    pool = await asyncpg.create_pool(dsn)
    await pool.execute(_TABLE)

    @broker.subscriber("events.accepted", stream=stream, durable="count")
    async def count(event: Usage) -> None:
        if event.actor == "human":
            day = event.occurred_at.date()
            await pool.execute(_COUNT, event.account, event.environment, event.feature, day, event.user)

    return FastStream(broker)


async def main(part: str, url: str, dsn: str) -> None:
    app = accepting(url) if part == "accept" else await counting(url, dsn)
    await app.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
