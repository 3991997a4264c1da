"""Batches of usage leave for USAGE: when full, or a moment after their first event. Decides nothing about an event."""

import asyncio
import uuid

from uptake.clock import utc_now
from uptake.messages.events import Usage
from uptake.subjects import USAGE, usage
from uptake_ingestion.batches import Draft, Lane
from uptake_ingestion.meters import BATCH_EVENTS
from uptake_ingestion.publishing import Publisher

Stored = asyncio.Future[int]  # the batch's sequence in USAGE, or NotStored


class UsageWriter:
    """Coalesces over requests: one open batch per lane."""

    def __init__(self, publisher: Publisher, linger_s: float = 0.025) -> None:
        self._publisher, self._linger_s = publisher, linger_s
        self._open: dict[Lane, tuple[Draft, Stored]] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def add(self, lane: Lane, event: Usage, size: int) -> Stored:
        """A future that all events of one batch share. `size` is the event's JSON as received, in bytes."""
        if lane in self._open and not self._open[lane][0].takes(size):
            self._close(lane)
        if lane not in self._open:
            self._begin(lane)
        draft, stored = self._open[lane]
        draft.add(event, size)
        if draft.full:
            self._close(lane)
        return stored

    def _begin(self, lane: Lane) -> None:
        loop = asyncio.get_running_loop()
        draft, stored = Draft(lane), loop.create_future()
        self._open[lane] = draft, stored
        loop.call_later(self._linger_s, self._close_this, lane, draft)

    def _close_this(self, lane: Lane, draft: Draft) -> None:
        if lane in self._open and self._open[lane][0] is draft:  # else it was full and left before its time
            self._close(lane)

    def _close(self, lane: Lane) -> None:
        task = asyncio.get_running_loop().create_task(self._store(*self._open.pop(lane)))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _store(self, draft: Draft, stored: Stored) -> None:
        try:
            batch = draft.close(uuid.uuid4().hex, utc_now())
            payload = batch.model_dump_json(exclude_none=True).encode()
            sequence = await self._publisher.publish(USAGE, usage(draft.lane.shard), payload, batch.id)
        except Exception as error:
            stored.set_exception(error)
            stored.exception()  # seen: those who waited may have gone away
        else:
            BATCH_EVENTS.observe(len(batch.accounts))
            stored.set_result(sequence)


async def all_stored(futures: set[Stored]) -> int:
    """The highest sequence (0 for none), once every batch is stored. Raises NotStored if one is not."""
    if not futures:
        return 0
    await asyncio.wait(futures)  # unlike gather, it leaves a batch alone that others wait for too when we are cancelled
    return max(future.result() for future in futures)
