"""One history in every contestant of the engine, and the events that follow it: the same for all, and checked."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from .engine_rows import FIRST_DAY, HISTORY_DAYS, Population, Recount, Rows
from .frame import Contestant, absent

_MEMORY = Path("/dev/shm")  # noqa: S108  # what is made there has a name that nobody can guess


class WrongCounts(AssertionError):
    """A contestant does not count what a plain recount counts."""


class Peer(Protocol):
    name: str

    def load(self, rows: Rows) -> None: ...
    def prepare(self, rows: Rows) -> Any: ...
    def update(self, batches: Any) -> None: ...
    def counts(self, account: int, day: int) -> tuple[int, int, int]: ...


class Scene:
    """What everyone holds at first, and the slices of events that everyone gets in the same order."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self.recount = Recount(self.population)
        self.recount.add(self.population.history)
        self.front = FIRST_DAY + HISTORY_DAYS - 1
        self._slices: list[Rows] = []

    def next_day(self, number: int) -> Rows:
        """The events of the day after; most are the first of their user that day, or the second."""
        return self._slice(number, lambda: self.population.day(self.front + number + 1))

    def steady(self, number: int) -> Rows:
        """More events of the front day; nearly all of users who were there before."""
        return self._slice(number, lambda: self.population.steady(self.front, number))

    def _slice(self, number: int, make: Callable[[], Rows]) -> Rows:
        """Made, and counted in plain sets, when the first one asks."""
        if number == len(self._slices):
            self._slices.append(make())
            self.recount.add(self._slices[-1])
        return self._slices[number]

    def end_slices(self) -> None:
        self.front = max([self.front, *(int(rows.day.max()) for rows in self._slices)])
        self._slices.clear()

    def check(self, peer: Peer, day: int) -> None:
        for one in (day, day - 5):
            expected = self.recount.counts(one)
            found = [peer.counts(account, one) for account in self.recount.accounts]
            if found != expected:
                raise WrongCounts(f"{peer.name} on day {one}: {found}, not {expected}")

    def updating(self, peer: Peer, slices: Callable[[int], Rows]) -> Callable[[], float]:
        """Million events a second over the next slice; the answer is checked when the clock has stopped."""
        numbers = iter(range(1_000))

        def run() -> float:
            rows = slices(next(numbers))
            batches = peer.prepare(rows)
            began = time.perf_counter()
            peer.update(batches)
            took_s = time.perf_counter() - began
            self.check(peer, int(rows.day.max()))
            return len(rows) / took_s / 1e6

        return run

    def entered(self, stack: ExitStack, start: Callable[[ExitStack], Any]) -> Any:
        """The peer with the history in it, or why there is none; `stack` closes it."""
        try:
            peer = start(stack)
            peer.load(self.population.history)
            self.check(peer, self.front)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return peer


def contestant(
    name: str, peer: Any, run_of: Callable[[Any], Callable[[], float]], at_least: float | None
) -> Contestant:
    return absent(name, peer, at_least) if isinstance(peer, str) else Contestant(name, run_of(peer), at_least)


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """New, and gone in the end; on the disk where the system has no such thing."""
    made = Path(tempfile.mkdtemp(prefix="uptake-bench-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
