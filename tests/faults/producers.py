"""Four NATS and two HTTP producers with retries, all from one seed; what they learn goes into the model. No faults."""

import asyncio
import contextlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from tests.faults.model import Act, Model

NATS_PRODUCERS = ("north", "east", "south", "west")
HTTP_PRODUCERS = ("web", "mobile")
DAYS_BACK = (0, 0, 0, 1, 2, 6, 13, 27, 29, 33)  # the ages of events: mostly new, some as late as may be
FEATURES = ("search", "export", "share")
_USERS = 120
_EVENTS_PER_ACCOUNT = 400  # so new accounts keep coming while faults happen
_MOST_ACCOUNTS = 5
_GIVES_UP = 0.1  # of failed deliveries: they may have been stored or not, for ever
_AGAIN_S = 0.4

Envelope = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """The items of one message or request: sent again as it is until it is acknowledged."""

    body: bytes
    acts: Sequence[Act]


class Producer(ABC):
    """One after another: `rate` events a second as long as deliveries succeed."""

    def __init__(self, name: str, seed: int, model: Model, rate: float) -> None:
        self.name, self.model, self.rate = name, model, rate
        self._rng = random.Random(f"{seed} {name}")
        self._number = 0
        self._going, self._idle = asyncio.Event(), asyncio.Event()
        self._ended = False
        self.resume()

    def pause(self) -> None:
        self._going.clear()

    def resume(self) -> None:
        self._idle.clear()
        self._going.set()

    def end(self) -> None:
        """Beside the cancellation of its task, which nats-py takes for an error of the connection now and then."""
        self._ended = True

    async def idle(self) -> None:
        """Until nothing is on its way any more."""
        await self._idle.wait()

    async def run(self) -> None:
        while not self._ended:
            if not self._going.is_set():
                self._idle.set()
            await self._going.wait()
            self._idle.clear()
            delivery = self._next()
            await self._deliver(delivery)
            await asyncio.sleep(len(delivery.acts) / self.rate)

    async def _deliver(self, delivery: Delivery) -> None:
        while not self._ended:
            self.model.send(delivery.acts)
            try:
                self.model.acknowledge(await self.offer(delivery))
                return
            except Unacknowledged:
                self.model.failures += 1
                if self._rng.random() < _GIVES_UP:
                    self.model.given_up += 1
                    return
            await asyncio.sleep(self._rng.uniform(0.2, 1) * _AGAIN_S)

    @abstractmethod
    async def offer(self, delivery: Delivery) -> Sequence[Act]:
        """What is acknowledged of it; raises Unacknowledged when it is to be sent again."""

    def _next(self) -> Delivery:
        """A single event, a few, or many."""
        size = self._rng.choice((1, 1, 5, 20, 60))
        made = [self._event() for _ in range(size)]
        envelopes = [envelope for envelope, _ in made]
        body = json.dumps(envelopes[0] if size == 1 else envelopes).encode()
        return Delivery(body, [act for _, act in made])

    def _event(self) -> tuple[Envelope, Act]:
        self._number += 1
        known = min(_MOST_ACCOUNTS, 1 + self._number // _EVENTS_PER_ACCOUNT)
        at = datetime.now(UTC) - timedelta(days=self._rng.choice(DAYS_BACK), seconds=self._rng.uniform(1, 60))
        account = f"{self.name}-{self._rng.randrange(known)}"
        act = Act(account, self._rng.choice(FEATURES), f"u{self._rng.randrange(_USERS)}", at.date())
        names = {"account": account, "user": act.user, "feature": act.feature}
        number = f"{self.name}-{self._number}"
        return {"id": number, "type": "usage", "occurred_at": at.isoformat(), **names}, act


class Unacknowledged(Exception):
    """No PubAck, or no 202: it may be stored all the same."""


class NatsProducer(Producer):
    """Waits for the broker's PubAck; anything else is tried again."""

    def __init__(self, name: str, seed: int, model: Model, rate: float, url: str, password: str) -> None:
        super().__init__(name, seed, model, rate)
        self._url, self._password = url, password
        self._client: Client | None = None

    async def offer(self, delivery: Delivery) -> Sequence[Act]:
        try:
            client = await self._connected()
            await client.jetstream().publish(f"raw.v1.{self.name}.usage", delivery.body, timeout=3)
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError) as error:
            raise Unacknowledged from error
        return delivery.acts

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _connected(self) -> Client:
        if self._client is None:
            client = Client()
            options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.3, "pending_size": 0}
            options |= {"ping_interval": 3, "max_outstanding_pings": 2, "connect_timeout": 3, "error_cb": _ignore}
            await client.connect(self._url, user=self.name, password=self._password, **options)
            self._client = client
        return self._client


class HttpProducer(Producer):
    """Repeats the same body, at one replica or the other, on anything but 202. A refused item is not acknowledged."""

    def __init__(self, name: str, seed: int, model: Model, rate: float, urls: Sequence[str], key: str) -> None:
        super().__init__(name, seed, model, rate)
        self._urls, self._key = urls, key
        self.statuses: dict[str, int] = {}
        self._http = httpx2.AsyncClient(timeout=8, trust_env=False)

    async def offer(self, delivery: Delivery) -> Sequence[Act]:
        answer = await self.post(delivery.body)
        results = answer["results"]
        assert len(results) == len(delivery.acts)
        pairs = zip(delivery.acts, results, strict=True)
        return [act for act, result in pairs if result["status"] in ("accepted", "duplicate")]

    async def post(self, body: bytes) -> Any:
        try:
            url = self._rng.choice(self._urls)
            headers = {"Authorization": f"Bearer {self._key}"}
            answer = await self._http.post(f"{url}/v1/events", content=body, headers=headers)
        except httpx2.HTTPError as error:
            self._count("none")
            raise Unacknowledged from error
        self._count(str(answer.status_code))
        if answer.status_code != 202:
            raise Unacknowledged(answer.text)
        return answer.json()

    async def close(self) -> None:
        await self._http.aclose()

    def _count(self, status: str) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1


async def _ignore(error: Exception) -> None:
    """The client tells of every lost connection; that is what these tests are about."""


class Producers:
    """All six."""

    def __init__(self, members: Sequence[NatsProducer | HttpProducer]) -> None:
        self.members = members
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def http(self) -> list[HttpProducer]:
        return [member for member in self.members if isinstance(member, HttpProducer)]

    def start(self) -> None:
        self._tasks = [asyncio.create_task(member.run()) for member in self.members]

    def pause(self) -> None:
        for member in self.members:
            member.pause()

    def resume(self) -> None:
        for member in self.members:
            member.resume()

    async def finish(self, within_s: float = 60) -> None:
        """What is on its way is delivered; then nothing more is sent."""
        self.pause()
        async with asyncio.timeout(within_s):
            await asyncio.gather(*(member.idle() for member in self.members))

    def check(self) -> None:
        """A producer's own mistake must not look like quiet."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def close(self) -> None:
        for member in self.members:
            member.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):  # a broker that is away cannot be said goodbye to
            await asyncio.gather(*(member.close() for member in self.members))


def connect(url: str, user: str, password: str) -> Any:
    """A plain connection for a test's own questions."""
    return nats.connect(url, user=user, password=password, max_reconnect_attempts=-1, error_cb=_ignore)
