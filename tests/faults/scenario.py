"""A cluster, its producers and what they know: what a scenario speaks about. Injects no fault itself."""

import asyncio
from pathlib import Path
from typing import Any

from tests.faults import alarms, checks
from tests.faults.cluster import Cluster
from tests.faults.model import Model
from tests.faults.processes import Kept
from tests.faults.producers import HTTP_PRODUCERS, NATS_PRODUCERS, HttpProducer, NatsProducer, Producers


class Uptake:
    """Two replicas of each service, under six producers from the start on."""

    def __init__(self, folder: Path, port: int, seed: int, rate: float = 150, **options: Any) -> None:
        self.seed, self.rate = seed, rate
        self.cluster = Cluster(folder, port, **options)
        self.model = Model()
        self.receiver = alarms.Channel()
        self.producers = Producers([])
        self._facts: asyncio.Task[None] | None = None

    @property
    def services(self) -> list[Kept]:
        return list(self.cluster.services.values())

    async def start(self) -> None:
        self.cluster.make_folders()
        self.receiver.write_config(self.cluster.config)
        await self.cluster.start()
        self.producers = Producers([*map(self._nats, NATS_PRODUCERS), *map(self._http, HTTP_PRODUCERS)])
        self.producers.start()
        self._facts = asyncio.create_task(alarms.send_facts(self.producers.http[0]))

    async def waits_quietly(self) -> None:
        """In the middle of an outage, with producers that only try again: nobody spins."""
        self.producers.pause()
        await checks.quiet(self.services)
        self.producers.resume()

    async def recovers(self) -> float:
        """The faults are over: every replica is ready in time. How long the slowest took."""
        return await self.cluster.until_ready(checks.READY_S)

    async def is_exact(self) -> None:
        """Everything that must hold when the faults are over, and then the end."""
        await self.recovers()
        await self.counts_exactly()
        await checks.quiet(self.cluster.everything, within_s=checks.SETTLED_S)
        await self.ends()

    async def counts_exactly(self) -> None:
        self.producers.check()
        await self.producers.finish()
        assert self._facts is not None
        await asyncio.wait_for(self._facts, 30)
        await checks.counted_exactly(self.cluster, self.model)
        await checks.balanced_books(self.cluster, self.model)
        await checks.positions_only_went_forward(self.cluster)
        await alarms.each_told_once(self.cluster, self.receiver, checks.COUNTED_S)

    async def ends(self) -> None:
        await checks.ends_cleanly(self.services)
        checks.no_crash(self.services)

    async def close(self) -> None:
        if self._facts is not None:
            self._facts.cancel()
        await self.producers.close()
        await self.cluster.close()
        self.receiver.close()

    def _nats(self, name: str) -> NatsProducer:
        cluster = self.cluster
        return NatsProducer(name, self.seed, self.model, self.rate, cluster.nats_url, cluster.keys[name])

    def _http(self, name: str) -> HttpProducer:
        urls = [self.cluster.url(kept.name) for kept in self.cluster.replicas("ingestion")]
        return HttpProducer(name, self.seed, self.model, self.rate, urls, self.cluster.keys[name])
