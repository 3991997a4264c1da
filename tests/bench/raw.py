"""Single-event messages on RAW -> accepted -> counted -> committed, beside FastStream as its documentation shows it.

One process accepts, one counts, on both sides; the messages are in the stream before they start. The clock runs from
the first message that the broker hands out to the last commit. FastStream gets fewer messages, for it would take
minutes: what is compared is events a second.
"""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from nats.aio.client import Client
from nats.js.api import ConsumerInfo, StreamConfig
from nats.js.errors import NotFoundError

from uptake.streams import RAW_CONSUMER
from uptake.subjects import RAW

from .frame import Contestant, Measure, Size
from .servers import Postgres, folder, nats, postgres, provisioned, python, running, sibling, with_client
from .services import committed, ends, ingestion, lay_out, metrics
from .traffic import events, usage

NAMES = ("single",)

_EVENTS = {Size.SMALL: 20_000, Size.FULL: 60_000}
_PEER_EVENTS = {Size.SMALL: 1_000, Size.FULL: 3_000}
_PEER_STREAM = "events"


def measures(size: Size) -> Iterator[Measure]:
    number, peer_number = _EVENTS[size], _PEER_EVENTS[size]
    happened = list(events(usage(number, datetime.now(UTC))))
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        database = stack.enter_context(postgres(place / "postgres"))
        filled, peer_filled = place / "filled", place / "peer-filled"
        _fill(filled, [("raw.v1.bench.usage", data) for data in happened], RAW)
        _fill(peer_filled, [("events.raw", data) for data in happened[:peer_number]], _PEER_STREAM)
        yield Measure(
            "single",
            f"single-event messages on RAW to the last commit, one ingestion and one metrics ({number:,} events)",
            "events/s",
            higher_is_better=True,
            ours=Contestant("uptake-ingestion and uptake-metrics", lambda: number / _ours(filled, database)),
            peers=(
                Contestant("FastStream, one event a message", lambda: peer_number / _peer(peer_filled, database), 20),
            ),
        )


def _fill(store: Path, messages: Sequence[tuple[str, bytes]], stream: str) -> None:
    with nats(store, always=False) as url:
        if stream == RAW:
            provisioned(url)
        else:
            config = StreamConfig(name=stream, subjects=["events.*"])
            with_client(url, lambda client: client.jetstream().add_stream(config))
        with_client(url, lambda client: lay_out(client, messages, stream))


def _ours(filled: Path, database: Postgres) -> float:
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        shutil.copytree(filled, place / "nats")
        url = stack.enter_context(nats(place / "nats"))
        name = stack.enter_context(database.database())
        stack.enter_context(metrics(url, database.url(name), place))
        stack.enter_context(ingestion(url, place, until_ready=False))

        async def timed(client: Client) -> float:
            began = await _first(client, RAW, RAW_CONSUMER)
            await _drained(client, RAW, RAW_CONSUMER)
            return await committed(database.dsn(name), await ends(client)) - began

        return with_client(url, timed)


def _peer(filled: Path, database: Postgres) -> float:
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        shutil.copytree(filled, place / "nats")
        url = stack.enter_context(nats(place / "nats"))
        name = stack.enter_context(database.database("postgres"))
        for part in ("count", "accept"):  # who counts is there before the first event is accepted
            program = python(part, sibling("raw_peer"), part, url, database.dsn(name))
            process = stack.enter_context(running(program, place / f"{part}.log"))
            process.until(lambda: with_client(url, lambda client: _has(client, part)))  # noqa: B023  # called at once

        async def timed(client: Client) -> float:
            began = await _first(client, _PEER_STREAM, "accept")
            await _drained(client, _PEER_STREAM, "accept")
            await _drained(client, _PEER_STREAM, "count")
            return time.perf_counter() - began

        return with_client(url, timed)


async def _has(client: Client, durable: str) -> bool:
    try:
        await client.jetstream().consumer_info(_PEER_STREAM, durable)
    except NotFoundError:
        return False
    return True


async def _first(client: Client, stream: str, durable: str) -> float:
    """When the broker handed out the first message, give or take two milliseconds."""
    return await _when(client, stream, durable, lambda info: bool(info.delivered and info.delivered.stream_seq))


async def _drained(client: Client, stream: str, durable: str) -> float:
    return await _when(client, stream, durable, lambda info: not info.num_pending and not info.num_ack_pending)


async def _when(client: Client, stream: str, durable: str, holds: Callable[[ConsumerInfo], bool]) -> float:
    js = client.jetstream()
    async with asyncio.timeout(100):
        while not holds(await js.consumer_info(stream, durable)):  # noqa: ASYNC110  # the broker sets no event here
            await asyncio.sleep(0.002)
    return time.perf_counter()
