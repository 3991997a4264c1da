"""What is read of the processes while something happens to them: memory, and how soon they answer. Judges nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

import psutil

from tests.faults.cluster import Cluster
from tests.faults.processes import Kept

_EVERY_S = 0.2
_GIVES_UP_S = 30.0


class Memory:
    """Resident MiB of the largest process of each: what it had at first, and the most it ever had."""

    def __init__(self, processes: Sequence[Kept]) -> None:
        self._processes = processes
        self.first_mib = Counter({kept.name: _resident_mib(kept) for kept in processes})
        self.most_mib = Counter(self.first_mib)
        self._watching = asyncio.create_task(self._watch())

    @property
    def growth_mib(self) -> dict[str, int]:
        return {name: round(most - self.first_mib[name]) for name, most in self.most_mib.items()}

    async def end(self) -> Self:
        await _ended(self._watching)
        return self

    async def _watch(self) -> None:
        while True:
            for kept in self._processes:
                resident_mib = await asyncio.to_thread(_resident_mib, kept)  # to look for children takes a while
                self.most_mib[kept.name] = max(resident_mib, self.most_mib[kept.name])
            await asyncio.sleep(_EVERY_S)


class Pulse:
    """The longest that each service took to answer `/healthz`, asked again and again."""

    def __init__(self, cluster: Cluster, services: Iterable[Kept]) -> None:
        self._cluster = cluster
        self.slowest_s: Counter[str] = Counter()
        self._watching = asyncio.gather(*(self._watch(kept.name) for kept in services))

    async def end(self) -> Self:
        await _ended(self._watching)
        return self

    async def _watch(self, name: str) -> None:
        while True:
            began = time.monotonic()
            answer = await self._cluster.http.get(f"{self._cluster.url(name)}/healthz", timeout=_GIVES_UP_S)
            assert answer.status_code == 200, answer.text
            self.slowest_s[name] = max(round(time.monotonic() - began, 3), self.slowest_s[name])
            await asyncio.sleep(_EVERY_S)


async def _ended(watching: asyncio.Future[object]) -> None:
    """Its own failure must not look like nothing to see."""
    if watching.done():
        watching.result()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def _resident_mib(kept: Kept) -> float:
    return max(map(_resident_bytes, kept.family()), default=0) / 2**20


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
