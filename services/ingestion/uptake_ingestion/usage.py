"""Batches of usage leave for USAGE together: when enough wait, or a moment after the last came. Judges no event."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from typing import Any

from uptake.clock import utc_now
from uptake.subjects import SHARDS, USAGE, usage
from uptake_ingestion.batches import Lane, Row, Stamp, payloads
from uptake_ingestion.meters import BATCH_EVENTS
from uptake_ingestion.publishing import Publisher

Stored = asyncio.Future[int]  # the last sequence in USAGE of a load, or NotStored

_ENOUGH = 64 * SHARDS  # events: more in a batch gain next to nothing downstream
_UNDER_WAY = 2  # loads: more would only queue at the broker, whose disk is what they wait for


class _Load:
    """One open batch per lane, and the future that all who gave it events wait for."""

    def __init__(self, now_s: float) -> None:
        self.lanes: dict[Lane, list[Row]] = defaultdict(list)
        self.events = 0
        self.stored: Stored = asyncio.get_running_loop().create_future()
        self.began_s = self.last_s = now_s
        self.is_due = False


class UsageWriter:
    """Coalesces over requests and messages.

    A load is due when it is large, when nothing has come for `quiet_s`, and at the latest after `linger_s`. Two may be
    under way: while the broker is slow, the open one grows, and what it costs to store an event falls.
    """

    def __init__(self, publisher: Publisher, linger_s: float = 0.025, quiet_s: float = 0.002) -> None:
        self._publisher, self._linger_s, self._quiet_s = publisher, linger_s, quiet_s
        self._name = uuid.uuid4().hex
        self._acknowledged = [0] * SHARDS  # events that the broker has confirmed as stored, by shard
        self._open: _Load | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def add(self, lanes: Iterable[tuple[Lane, list[Row]]]) -> Stored:
        """A future that many share: wait for it with `until_stored`."""
        loop = asyncio.get_running_loop()
        if self._open is None:
            self._open = _Load(loop.time())
            loop.call_later(self._quiet_s, self._look_at, self._open)
        load = self._open
        load.last_s = loop.time()
        for lane, rows in lanes:
            load.lanes[lane] += rows
            load.events += len(rows)
        load.is_due |= load.events >= _ENOUGH
        self._leave_if_due(load)
        return load.stored

    def _look_at(self, load: _Load) -> None:
        loop = asyncio.get_running_loop()
        due_s = min(load.last_s + self._quiet_s, load.began_s + self._linger_s)
        if loop.time() < due_s and load is self._open and not load.is_due:
            loop.call_at(due_s, self._look_at, load)
            return
        load.is_due = True
        self._leave_if_due(load)

    def _leave_if_due(self, load: _Load | None) -> None:
        if load is None or load is not self._open or not load.is_due or len(self._under_way) >= _UNDER_WAY:
            return
        self._open = None
        task = asyncio.get_running_loop().create_task(self._store(load))
        self._under_way.add(task)
        task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._leave_if_due(self._open)

    async def _store(self, load: _Load) -> None:
        try:
            sequences = await asyncio.gather(*self._batches(load))
        except Exception as error:
            load.stored.set_exception(error)
            load.stored.exception()  # seen: those who waited may have gone away
        else:
            load.stored.set_result(max(sequences))

    def _batches(self, load: _Load) -> list[Coroutine[Any, Any, int]]:
        lanes, load.lanes = load.lanes, {}  # what is on its way needs no rows
        return [
            self._publish(lane.shard, *batch)
            for lane, rows in lanes.items()
            for batch in payloads(lane, rows, self._stamp(lane.shard), _new_id)
        ]

    async def _publish(self, shard: int, batch_id: str, events: int, payload: bytes) -> int:
        sequence = await self._publisher.publish(USAGE, usage(shard), payload, batch_id)
        self._acknowledged[shard] += events
        BATCH_EVENTS.observe(events)
        return sequence

    def _stamp(self, shard: int) -> Stamp:
        return Stamp(utc_now(), self._name, self._acknowledged[shard])


async def until_stored(stored: Stored | None) -> int:
    """The last sequence (0 when there was nothing to store). Raises NotStored.

    Unlike a plain await, it leaves the load alone that others wait for too when we are cancelled.
    """
    return 0 if stored is None else await asyncio.shield(stored)


def _new_id() -> str:
    return uuid.uuid4().hex
