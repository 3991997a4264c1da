"""A producer process that offers deliveries by the clock, whatever comes back, and tells what did. Tries nothing again.

`python -m tests.faults.flood` takes its `Orders` as JSON on standard input and writes its `Outcome` on standard output.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from tests.faults.model import Act

EVENTS = 100  # of a delivery
ACCEPTED = "202"
STORED = "stored"  # by the broker
NO_ANSWER = "no answer"
_USERS = 5  # of a delivery; no other has them, so that each that is lost or invented shows
_ACCOUNTS = 10
_FEATURE = "search"
_PATIENCE_S = 60.0
_NUMBER = "%%number%%"
_LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Orders:
    """Where to, as whom, how fast and for how long."""

    door: str  # http or nats
    port: int
    name: str
    secret: str
    day: str  # on which all of it happens
    deliveries_s: float
    seconds: float
    first: int = 0  # the number of the first delivery

    @property
    def deliveries(self) -> int:
        return round(self.deliveries_s * self.seconds)


@dataclass(slots=True)
class Outcome:
    offered: int = 0  # numbers from the first on
    took_s: float = 0.0  # to offer them
    acknowledged: list[int] = field(default_factory=list)  # the numbers of deliveries
    answers: dict[str, int] = field(default_factory=dict)
    without_retry_after: int = 0  # of the refusals


Offer = Callable[[bytes], Awaitable[str]]


def acts(name: str, number: int, day: date) -> list[Act]:
    """What a delivery says, each `EVENTS / len(acts)` times."""
    return [Act(_account(name, number), _FEATURE, _user(number, user), day) for user in range(_USERS)]


def _account(name: str, number: int) -> str:
    return f"{name}-load-{number % _ACCOUNTS}"


def _user(number: int | str, user: int) -> str:
    return f"{number}-{user}"


class Mould:
    """Bodies that differ in the number of the delivery alone: one of them costs next to nothing."""

    def __init__(self, name: str, day: date) -> None:
        self._name, self._day = name, day
        self._bodies = [self._cast(account) for account in range(_ACCOUNTS)]

    def body(self, number: int) -> bytes:
        return self._bodies[number % _ACCOUNTS].replace(_NUMBER.encode(), str(number).encode())

    def _cast(self, account: int) -> bytes:
        at = datetime(self._day.year, self._day.month, self._day.day, tzinfo=UTC).isoformat()
        names = {"account": _account(self._name, account), "feature": _FEATURE, "type": "usage", "occurred_at": at}
        envelopes = [
            {"id": f"{_NUMBER}-{user}-{n}", "user": _user(_NUMBER, user)} | names
            for n in range(EVENTS // _USERS)
            for user in range(_USERS)
        ]
        return json.dumps(envelopes).encode()


class HttpDoor:
    """A connection for each request that waits, kept for the next one."""

    def __init__(self, orders: Orders, outcome: Outcome) -> None:
        self._orders, self._outcome = orders, outcome
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def offer(self, body: bytes) -> str:
        head = (
            f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._orders.secret}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._ask(head.encode() + body)
        except (OSError, EOFError, TimeoutError):
            return NO_ANSWER

    async def _ask(self, request: bytes) -> str:
        while self._idle:
            try:
                return await self._ask_by(*self._idle.pop(), request)
            except (ConnectionError, EOFError):
                pass  # the server closes what idles, now and then just when it is used again
        return await self._ask_by(*await asyncio.open_connection("127.0.0.1", self._orders.port), request)

    async def _ask_by(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> str:
        kept = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            status, headers = head[0].split()[1], dict(line.split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            kept = headers.get("connection") != "close"
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.close()
        if status == ACCEPTED:
            assert json.loads(body)["accepted"] == EVENTS
        elif "retry-after" not in headers:
            self._outcome.without_retry_after += 1
        return status


class NatsDoor:
    def __init__(self, client: Client, name: str) -> None:
        self._jetstream, self._subject = client.jetstream(), f"raw.v1.{name}.usage"

    async def offer(self, body: bytes) -> str:
        try:
            await self._jetstream.publish(self._subject, body, timeout=_PATIENCE_S)
        except nats.js.errors.APIError as error:
            return str(error.err_code)
        except (nats.errors.Error, TimeoutError, OSError):
            return NO_ANSWER
        return STORED


async def flood(orders: Orders) -> Outcome:
    outcome = Outcome()
    if orders.door == "http":
        await _pour(orders, outcome, HttpDoor(orders, outcome).offer)
        return outcome
    client = await nats.connect(f"nats://127.0.0.1:{orders.port}", user=orders.name, password=orders.secret)
    await _pour(orders, outcome, NatsDoor(client, orders.name).offer)
    await client.close()
    return outcome


async def _pour(orders: Orders, outcome: Outcome, offer: Offer) -> None:
    """By the clock: slow answers change nothing about what comes next."""
    mould, total = Mould(orders.name, date.fromisoformat(orders.day)), orders.deliveries

    async def deliver(number: int) -> None:
        answer = await offer(mould.body(number))
        outcome.answers[answer] = outcome.answers.get(answer, 0) + 1
        if answer in (ACCEPTED, STORED):
            outcome.acknowledged.append(number)

    began = time.monotonic()
    async with asyncio.TaskGroup() as waiting:
        while outcome.offered < total:
            due = min(total, int((time.monotonic() - began) * orders.deliveries_s) + 1)
            for number in range(orders.first + outcome.offered, orders.first + due):
                waiting.create_task(deliver(number))
            outcome.offered = due
            await asyncio.sleep(_LOOK_S)
        outcome.took_s = time.monotonic() - began


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(asyncio.run(flood(Orders(**json.load(sys.stdin)))))))
