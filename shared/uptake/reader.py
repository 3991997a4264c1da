"""Exact consumption: every message of a stream takes effect once. The position is a row in the reader's own database.

The reader owns no state and no transaction: `apply` moves state and row together, with a compare-and-set on the row.
Whatever goes wrong, it drops its consumer, waits a little and starts again from the row; so it never matters which
of its own steps had an effect. No acknowledgements: two readers of one row are safe, one of them is fenced off.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from pydantic import ValidationError

from uptake.consumer import Consumer, Cursor, Entry, Hole, StreamMismatch
from uptake.database import is_data_error, is_unavailable
from uptake.loops import is_cancelled

__all__ = ["Cursor", "Entry", "Fenced", "Reader", "StreamMismatch"]

_BACKOFF_S, _BACKOFF_CAP_S = 0.05, 3.0

_log = structlog.get_logger()


class Fenced(Exception):
    """Another writer moved the cursor's row: what was about to be written has been written already, or will be."""


class Reader:
    """Reads `subjects` of `stream` from the cursor on, for ever, in batches.

    When it is quiet it moves the cursor on over what its filter leaves out, with an empty `apply`: a stream that is
    trimmed never trims past a reader that had nothing to read.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        subjects: Sequence[str],
        *,
        position: Callable[[], Awaitable[Cursor]],
        apply: Callable[[Any, Cursor, Cursor], Awaitable[None]],
        prepare: Callable[[Sequence[Entry]], Any] = list,
        refuse: Callable[[Entry, Exception], Awaitable[None]],
        others: Callable[[], Collection[Cursor]] = tuple,
        max_messages: int = 256,
        max_wait_s: float = 0.05,
        may_be_trimmed: bool = False,
    ) -> None:
        """`position` reads the row. `apply(entries, expected, new)` writes state and row in one transaction and raises
        Fenced when the row is not at `expected`; `entries` is empty when a refused entry is stepped over, or what the
        filter leaves out, and else what `prepare` has made of them: work that needs no state, done while the batch
        before is written. `refuse` puts away the one entry whose data the database or its message class will never
        take; it may see it twice. `others`: further cursors in the reader's database that the stream has to fit, where
        one reader moves several; `position` is then the oldest of them.
        `may_be_trimmed`: the stream keeps only the newest of each subject, and the reader can do without what left it
        unread: that is lost, with one warning at each start. `subjects` are then all that the stream holds.
        """
        self._js = client.jetstream()
        self._stream, self._subjects = stream, list(subjects)
        self._position, self._prepare, self._apply, self._refuse = position, prepare, apply, refuse
        self._others = others
        self._max_messages, self._max_wait_s, self._may_be_trimmed = max_messages, max_wait_s, may_be_trimmed
        self._failures = 0
        self._in_hand = 0  # entries that were fetched and have not taken effect yet
        self.ready = False
        self.reason: str | None = f"{stream}: has not started reading"
        self.lag = 0
        #: Whatever the stream took up to this instant has taken effect; null until that is known.
        self.current_to: datetime | None = None

    @property
    def caught_up(self) -> bool:
        """Everything that was in the stream at the last look has taken effect."""
        return self.ready and self.lag == 0

    async def run(self) -> None:
        """Read until cancelled."""
        while not is_cancelled():
            try:
                await self._read_from_the_row()
            except Exception as error:
                if not is_cancelled():
                    await self._wait_after(error)
        raise asyncio.CancelledError

    async def _wait_after(self, error: Exception) -> None:
        """Full jitter, so that replicas do not come back together. Being fenced off is no failure."""
        if isinstance(error, Fenced):
            self.ready, self.reason = True, None  # broker and database have answered; only somebody else was faster
        else:
            self._report(error)
        self._failures += 1
        longest = min(_BACKOFF_CAP_S, _BACKOFF_S * 2 ** min(self._failures, 16))
        await asyncio.sleep(random.uniform(0, longest))  # noqa: S311  # spreads load, guards nothing

    def _report(self, error: Exception) -> None:
        reason = f"{self._stream}: {_in_words(error)}"
        if reason != self.reason:  # one line an outage, not one a try
            expected = isinstance(error, nats.errors.Error | StreamMismatch | Hole) or is_unavailable(error)
            _log.warning("reader starts again", reason=reason, exc_info=None if expected else error)
        self.ready, self.reason = False, reason

    async def _read_from_the_row(self) -> None:
        cursor = await self._position()
        consumer = await Consumer.create(self._js, self._stream, self._subjects, cursor.sequence)
        try:
            uuid = await consumer.verify(cursor, may_be_trimmed=self._may_be_trimmed)
            for other in set(self._others()) - {cursor}:
                await consumer.verify(other, may_be_trimmed=self._may_be_trimmed)
            self.lag = consumer.pending
            if self._failures == 0:  # else ready is what has worked again, not what is tried again
                self.ready, self.reason = True, None
            await self._read_on(consumer, cursor, uuid)
        finally:
            await consumer.drop()

    async def _read_on(self, consumer: Consumer, cursor: Cursor, uuid: str) -> None:
        """Two batches are in hand at most: while one is being written, the next is fetched and prepared."""
        writing: asyncio.Task[Cursor] | None = None
        self._in_hand = 0
        try:
            while not is_cancelled():
                entries = await consumer.fetch(self._max_messages, self._max_wait_s)
                self._in_hand += len(entries)
                prepared = self._prepare(entries)
                if writing:
                    cursor = await writing
                    writing = None
                if entries:
                    writing = asyncio.create_task(self._write(entries, prepared, cursor, uuid, consumer))
                elif consumer.quiet_since:
                    cursor = await self._step_forward(consumer, cursor, uuid)
                    self.current_to = consumer.quiet_since
                    self._is_well()
                self.lag = consumer.pending + self._in_hand
        finally:
            if writing:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def _write(
        self, entries: Sequence[Entry], prepared: Any, cursor: Cursor, uuid: str, consumer: Consumer
    ) -> Cursor:
        cursor = await self._take(entries, prepared, cursor, uuid)
        self.current_to = entries[-1].stored_at
        self._in_hand -= len(entries)
        self.lag = consumer.pending + self._in_hand
        self._is_well()
        return cursor

    def _is_well(self) -> None:
        self._failures = 0
        self.ready, self.reason = True, None

    async def _step_forward(self, consumer: Consumer, cursor: Cursor, uuid: str) -> Cursor:
        """Over what the filter leaves out, as far as it is certain that nothing else is there."""
        if consumer.quiet_at <= cursor.sequence:
            return cursor
        new = Cursor(uuid, consumer.quiet_at, await consumer.stored_at(consumer.quiet_at))
        await self._apply(self._prepare([]), cursor, new)
        return new

    async def _take(self, entries: Sequence[Entry], prepared: Any, cursor: Cursor, uuid: str) -> Cursor:
        """One transaction; on a data error by halves, down to the one entry that is refused and stepped over."""
        new = Cursor(uuid, entries[-1].sequence, entries[-1].stored_at)
        try:
            await self._apply(prepared, cursor, new)
            return new
        except Exception as error:
            if not (is_data_error(error) or isinstance(error, ValidationError)):
                raise
            # A second writer's commit can look like bad data (a unique key that is suddenly taken).
            if await self._position() != cursor:
                raise Fenced(f"{self._stream}: the cursor is no longer at {cursor.sequence}") from error
            if len(entries) == 1:
                return await self._step_over(entries[0], cursor, new, error)
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            cursor = await self._take(half, self._prepare(half), cursor, uuid)
        return cursor

    async def _step_over(self, entry: Entry, cursor: Cursor, new: Cursor, error: Exception) -> Cursor:
        _log.warning("entry refused", stream=self._stream, sequence=entry.sequence, error=type(error).__name__)
        await self._refuse(entry, error)
        await self._apply(self._prepare([]), cursor, new)
        return new


def _in_words(error: Exception) -> str:
    if is_unavailable(error) and not isinstance(error, nats.errors.Error):
        return f"the database is unavailable ({type(error).__name__})"
    return str(error) or type(error).__name__
