"""Window updates, counts of now and of a month: ours in memory beside what people would use instead."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from . import servers
from .engine_columnar import ClickHouse, DuckDB
from .engine_ours import Ours
from .engine_rows import SCALES, Population
from .engine_scene import Scene, WrongCounts, contestant, folder_in_memory
from .engine_stores import PostgresRows, RedisSets
from .frame import Contestant, Measure, Size

NAMES = ("window_update", "window_update_steady", "mau_now", "history_30_days")
AT_LEAST = {"ClickHouse bitmaps": 4.0, "DuckDB": 10.0, "PostgreSQL rows": 50.0, "Redis sets": 12.0}


def measures(size: Size) -> Iterator[Measure]:
    with ExitStack() as stack:
        scene = Scene(Population(SCALES[size]))
        ours = Ours(scene.population, scene.front)
        ours.load(scene.population.history)
        peers = {name: scene.entered(stack, start) for name, start in _peers(scene).items()}
        yield _update("window_update", "window update, the next day", scene, scene.next_day, ours, peers)
        scene.end_slices()
        yield _update("window_update_steady", "window update, steady", scene, scene.steady, ours, peers)
        readers = {name: peers[name] for name in ("ClickHouse bitmaps", "DuckDB")}
        yield _reading("mau_now", "MAU now, all accounts", "mau", 500, scene.front, ours, readers)
        yield _reading("history_30_days", "30 days, all accounts", "history", 50, scene.front, ours, readers)


def _peers(scene: Scene) -> Mapping[str, Callable[[ExitStack], Any]]:
    def clickhouse(stack: ExitStack) -> ClickHouse:
        return stack.enter_context(closing(ClickHouse(stack.enter_context(folder_in_memory()))))

    def duckdb(stack: ExitStack) -> DuckDB:
        return stack.enter_context(closing(DuckDB()))

    def postgres(stack: ExitStack) -> PostgresRows:
        server = stack.enter_context(servers.postgres(stack.enter_context(servers.folder()) / "data"))
        return stack.enter_context(closing(PostgresRows(server.dsn())))

    def redis(stack: ExitStack) -> RedisSets:
        return stack.enter_context(closing(RedisSets(scene.population, stack.enter_context(folder_in_memory()))))

    return dict(zip(AT_LEAST, (clickhouse, duckdb, postgres, redis), strict=True))


def _update(
    name: str, title: str, scene: Scene, slices: Callable[[int], Any], ours: Ours, peers: Mapping[str, Any]
) -> Measure:
    run_of = partial(scene.updating, slices=slices)
    contestants = tuple(contestant(who, peer, run_of, AT_LEAST[who]) for who, peer in peers.items())
    return Measure(name, title, "M events/s", True, Contestant(ours.name, run_of(ours)), contestants)


def _reading(
    name: str, title: str, method: str, at_least: float, day: int, ours: Ours, peers: Mapping[str, Any]
) -> Measure:
    expected = getattr(ours, method)(day)

    def run_of(peer: Any) -> Callable[[], float]:
        return lambda: _milliseconds(lambda: getattr(peer, method)(day), expected)

    contestants = tuple(contestant(who, peer, run_of, at_least) for who, peer in peers.items())
    return Measure(name, title, "ms", False, Contestant(ours.name, run_of(ours)), contestants)


def _milliseconds(ask: Callable[[], int], expected: int) -> float:
    """The median of as many questions as fit into a moment, one at least."""
    took_s: list[float] = []
    while sum(took_s) < 0.2:
        began = time.perf_counter()
        found = ask()
        took_s.append(time.perf_counter() - began)
        if found != expected:
            raise WrongCounts(f"{found}, not {expected}")
    return statistics.median(took_s) * 1e3
