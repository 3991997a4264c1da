"""A scrape of `/metrics` with 20,000 accounts that keep changing, and how long the event loop stands still meanwhile.

The loop is watched from inside: `loop_probe` starts the real app with one more task that sleeps for two milliseconds
and notes how much later it wakes. If the machine schedules the process late, that is in the figure too.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

from nats.aio.client import Client

from .frame import Contestant, Measure, Size
from .servers import Process, folder, nats, postgres, provisioned, sibling, with_client
from .services import committed, ends, lay_out, metrics, without_proxy
from .traffic import batches, everybody, usage

NAMES = ("scrape", "loop_blocked")

_ACCOUNTS = 20_000
_CHANGES_S = 2_000  # events a second while scrapes are taken
_SECONDS = {Size.SMALL: 2.0, Size.FULL: 8.0}
_SCRAPES = 4


def measures(size: Size) -> Iterator[Measure]:
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        url = stack.enter_context(nats(place / "nats", always=False))
        provisioned(url)
        database = stack.enter_context(postgres(place / "postgres"))
        name = stack.enter_context(database.database())
        (process,) = stack.enter_context(metrics(url, database.url(name), place, module=sibling("loop_probe")))
        now = datetime.now(UTC)
        known = batches(everybody(_ACCOUNTS, now), now)
        with_client(url, lambda client: lay_out(client, known))
        asyncio.run(committed(database.dsn(name), with_client(url, ends)))
        scraping = Scraping(process, url, _SECONDS[size])
        process.until(scraping.is_complete, 60)
        yield Measure(
            "scrape",
            f"scrape of {_ACCOUNTS:,} accounts, of which {_CHANGES_S:,} events a second change some, the slowest",
            "s",
            higher_is_better=False,
            ours=Contestant("uptake-metrics", scraping.figure(0)),
            limit=0.5,
        )
        yield Measure(
            "loop_blocked",
            "the longest that the event loop stood still meanwhile",
            "s",
            higher_is_better=False,
            ours=Contestant("uptake-metrics", scraping.figure(1)),
            limit=0.020,
        )


class Scraping:
    """Both measures look at the same rounds."""

    def __init__(self, process: Process, url: str, seconds: float) -> None:
        self._port, self._url, self._seconds = process.port, url, seconds
        self._rounds: list[tuple[float, float]] = []

    def figure(self, place: int) -> Callable[[], float]:
        numbers = itertools.count()
        return lambda: self._round(next(numbers))[place]

    def _round(self, number: int) -> tuple[float, float]:
        while len(self._rounds) <= number:
            self._rounds.append(with_client(self._url, self._scraped))
        return self._rounds[number]

    async def _scraped(self, client: Client) -> tuple[float, float]:
        changing = asyncio.create_task(self._change(client))
        await asyncio.to_thread(self._ask, "bench/loop")  # what was before does not count
        slowest_s = 0.0
        for _ in range(_SCRAPES):
            await asyncio.sleep(self._seconds / _SCRAPES)
            slowest_s = max(slowest_s, await asyncio.to_thread(self._timed_scrape))
        worst = json.loads(await asyncio.to_thread(self._ask, "bench/loop"))
        changing.cancel()
        return slowest_s, worst["blocked_s"]

    async def _change(self, client: Client) -> None:
        """New users of accounts all over the list, in batches, evenly."""
        for seed in itertools.count(time.time_ns()):
            now = datetime.now(UTC)
            happened = await asyncio.to_thread(usage, _CHANGES_S // 10, now, seed, _ACCOUNTS)
            for subject, data in batches(happened, now):
                await client.publish(subject, data)
            await asyncio.sleep(0.1)

    def _timed_scrape(self) -> float:
        began = time.perf_counter()
        self._ask("metrics")
        return time.perf_counter() - began

    def is_complete(self) -> bool:
        return self._ask("metrics").count(b"\nuptake_account_mau{") >= _ACCOUNTS

    def _ask(self, path: str) -> bytes:
        with without_proxy().open(f"http://127.0.0.1:{self._port}/{path}", timeout=30) as answer:
            return bytes(answer.read())
