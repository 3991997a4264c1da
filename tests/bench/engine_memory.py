"""Memory of one active user: a process that holds the shards as metrics does, beside the sets of a Redis. No speed."""

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]  # it has no types

from uptake_metrics.shard import Shard
from uptake_metrics.userdays import Masks

from .engine_rows import SCALES, Population, Rows, Scale
from .engine_scene import folder_in_memory
from .engine_stored import DAYS, SHARDS, Stored, stored
from .engine_stores import RedisSets
from .frame import Contestant, Measure, Size

NAMES = ("memory_per_user",)
SAMPLE = 4  # Redis gets one account in so many: its sets whole, and what a user takes does not depend on the others


def measures(size: Size) -> Iterator[Measure]:
    """What a contestant takes is not random: it is taken once, and told again in every round."""
    yield Measure(
        NAMES[0],
        "memory of an active user",
        "B",
        False,
        Contestant("uptake", cache(lambda: _ours(Population(SCALES[size])))),
        (
            Contestant("Redis sets of ids", _redis(size, numbers=False), 8.0),
            Contestant("Redis sets of dense numbers", _redis(size, numbers=True)),
        ),
        limit=50.0,
    )


def _ours(population: Population) -> float:
    """In a process of its own, which finds the masks in files: what it grows by is what it holds."""
    with ExitStack() as stack:
        folder = stack.enter_context(folder_in_memory())
        for number, shard in enumerate(stored(population)):
            (folder / f"{number}.json").write_text(json.dumps(shard.accounts))
            masks = shard.masks
            np.savez(folder / f"{number}.npz", masks.series, masks.epoch, masks.user, masks.mask)
        done = subprocess.run([sys.executable, "-m", __name__, folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-1000:])
    return int(done.stdout) / _active(population.history)


def _redis(size: Size, *, numbers: bool) -> Callable[[], float]:
    @cache
    def run() -> float:
        scale = SCALES[size]
        population = Population(Scale(scale.users // SAMPLE, scale.accounts // SAMPLE))
        with ExitStack() as stack:
            folder = stack.enter_context(folder_in_memory())
            redis = stack.enter_context(closing(RedisSets(population, folder, numbers=numbers)))
            redis.load(population.history)
            return redis.memory_bytes / _active(population.history)

    return run


def _active(rows: Rows) -> int:
    """Users with a day at all."""
    return int(np.count_nonzero(np.bincount(rows.user)))


def growth_bytes(folder: Path) -> int:
    """By how much this process grows, all in, when it takes over what is stored, as metrics does when it starts."""
    before = _resident_bytes()
    shards = [_restored(folder, number) for number in SHARDS]
    gc.collect()
    after = _resident_bytes()
    assert len(shards) == len(SHARDS)
    return after - before


def _restored(folder: Path, number: int) -> Shard:
    with np.load(folder / f"{number}.npz") as file:
        one = Stored(json.loads((folder / f"{number}.json").read_text()), Masks(*(file[name] for name in file.files)))
    shard = Shard(number, int(DAYS[-1]))
    shard.restore(one.keys, one.zones, one.masks)
    return shard


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    sys.stdout.write(f"{growth_bytes(Path(sys.argv[1]))}\n")
