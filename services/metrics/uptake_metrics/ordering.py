"""Long lists filtered and put in order in small turns of the event loop. Computes no number.

What is not known comes last, whatever the direction: an unknown number is neither small nor large.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, TypeVar

T = TypeVar("T")
Keys = Mapping[str, Callable[[T], Any]]  # by the name of the order: what a row is ordered by; null is unknown

#: How long a list may hold up the event loop at a time; a row more, if one takes longer.
TURN_S = 0.002


def checked(sort: str, keys: Keys[Any]) -> str:
    """ValueError when there is no such order."""
    if sort.removeprefix("-") not in keys:
        raise ValueError(f"must be one of {', '.join(keys)}, or one of them after a minus sign for the largest first")
    return sort


async def ordered(rows: Iterable[T], keys: Keys[T], sort: str, tie: Callable[[T], str]) -> list[T]:
    """By `sort`, of which a leading `-` turns the direction; rows that are equal in it stand in the order of `tie`."""
    key = keys[sort.removeprefix("-")]
    by_tie = sorted(rows, key=tie)
    await asyncio.sleep(0)
    keyed = [(key(row), row) async for row in in_turns(by_tie)]
    known = [one for one in keyed if one[0] is not None]
    known.sort(key=itemgetter(0), reverse=sort.startswith("-"))
    await asyncio.sleep(0)
    return [row for _, row in known] + [row for value, row in keyed if value is None]


async def in_turns(rows: Iterable[T], monotonic: Callable[[], float] = time.perf_counter) -> AsyncIterator[T]:
    """Each of those there are now; after a few milliseconds of work with them everybody else has a turn."""
    began = monotonic()
    for row in list(rows):
        if monotonic() - began >= TURN_S:
            await asyncio.sleep(0)
            began = monotonic()
        yield row
