"""One pull consumer of a reader: hands out what comes next after a cursor or raises, never skips in silence."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy

from uptake.streams import stream_uuid

_IDLE_S = 2.0  # a longer fetch can hang across a restart of the broker
_INACTIVE_S = 30  # the broker forgets a consumer that nobody asks any more

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the stream; `stored_at` is when the broker took it, in UTC."""

    sequence: int
    subject: str
    data: bytes
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last message that took effect; `Cursor(None, 0)` when none ever did."""

    stream_uuid: str | None
    sequence: int


class StreamMismatch(Exception):
    """The stream is not the one the cursor speaks of, or has lost messages: going on would skip them in silence."""


class Hole(Exception):
    """A message was sent and did not arrive."""


class Consumer:
    """Ephemeral, without acknowledgements; dropped and made again after any error."""

    def __init__(
        self, js: JetStreamContext, info: ConsumerInfo, subscription: JetStreamContext.PullSubscription
    ) -> None:
        self._subscription = subscription
        self._js, self._stream, self._name = js, info.stream_name, info.name
        self._received = 0  # the consumer's own sequence: 1, 2, 3, whatever the filter leaves out
        self._delivered = 0  # how far the broker had sent at the last look
        self.pending = info.num_pending or 0  # messages that this consumer has not handed out yet

    @classmethod
    async def create(cls, js: JetStreamContext, stream: str, subjects: Sequence[str], after: int) -> Self:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=AckPolicy.NONE,
            filter_subjects=list(subjects),
            mem_storage=True,
            inactive_threshold=_INACTIVE_S,
        )
        info = await js.add_consumer(stream, config)
        return cls(js, info, await js.pull_subscribe_bind(info.name, stream))

    async def verify(self, cursor: Cursor, *, may_be_trimmed: bool = False) -> str:
        """The stream's UUID, or StreamMismatch. Asked after the consumer was made, so that it speaks of its stream.

        A cursor that never read starts at whatever the stream still holds. `may_be_trimmed`: see `Reader`.
        """
        info = await self._js.stream_info(self._stream)
        uuid, first, last = stream_uuid(info), info.state.first_seq, info.state.last_seq
        here = f"cursor at {cursor.sequence} of {cursor.stream_uuid}, stream {uuid} holds {first} to {last}"
        if uuid is None:
            raise StreamMismatch(f"the stream has no UUID: run uptake-provision ({here})")
        if cursor.stream_uuid is None:
            return uuid
        if cursor.stream_uuid != uuid:
            raise StreamMismatch(f"the stream was wiped and made again ({here})")
        if last < cursor.sequence:
            raise StreamMismatch(f"the stream was rolled back ({here})")
        if first > cursor.sequence + 1 and not may_be_trimmed:
            raise StreamMismatch(f"the stream was trimmed past the cursor ({here})")
        if may_be_trimmed:
            await self._tell_what_is_gone(last - cursor.sequence, here)
        return uuid

    async def fetch(self, max_messages: int, max_wait_s: float) -> list[Entry]:
        """The next entries: those that are there, or come within `max_wait_s` of the first; none when it is quiet."""
        messages = await self._fetch(1, _IDLE_S)
        if not messages:
            await self._look()
        elif max_messages > 1:
            messages += await self._fetch(max_messages - 1, max_wait_s)
        return [self._entry(message) for message in messages]

    async def drop(self) -> None:
        """Best effort: what is left over, the broker forgets after half a minute."""
        try:
            async with asyncio.timeout(1):
                await self._subscription.unsubscribe()
                await self._js.delete_consumer(self._stream, self._name)
        except (nats.errors.Error, TimeoutError):
            pass

    async def _fetch(self, count: int, wait_s: float) -> list[Msg]:
        try:
            return await self._subscription.fetch(count, timeout=wait_s)
        except TimeoutError:
            return []

    async def _tell_what_is_gone(self, stored: int, here: str) -> None:
        """Asked after the stream, so that what arrives in between is not taken for gone."""
        info = await self._js.consumer_info(self._stream, self._name)
        gone = stored - (info.num_pending or 0)
        if gone > 0:
            _log.warning("messages left the stream unread", stream=self._stream, gone=gone, positions=here)

    async def _look(self) -> None:
        """Quiet, or cut off? A deleted consumer, a deleted stream and a lost last message all look like quiet."""
        info = await self._js.consumer_info(self._stream, self._name)
        if self._received < self._delivered:
            raise Hole(f"{self._delivered} messages were sent, {self._received} arrived")
        self._delivered = info.delivered.consumer_seq if info.delivered else 0
        self.pending = info.num_pending or 0

    def _entry(self, message: Msg) -> Entry:
        meta = message.metadata
        self._received += 1
        if meta.sequence.consumer != self._received:
            raise Hole(f"message {self._received} did not arrive, {meta.sequence.consumer} did")
        self.pending = meta.num_pending
        return Entry(meta.sequence.stream, message.subject, message.data, meta.timestamp)
