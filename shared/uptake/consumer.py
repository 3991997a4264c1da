"""One pull consumer of a reader: hands out what comes next after a cursor or raises, never skips in silence."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Self

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import NotFoundError

from uptake.pull import Pull, instant, numbers
from uptake.streams import stream_uuid

_INACTIVE_S = 30  # the broker forgets a consumer that nobody asks any more
_SAME_TIME = timedelta(milliseconds=1)  # the broker has nanoseconds, a database less

_log = structlog.get_logger()


class Entry(NamedTuple):
    """One message of the stream; `stored_at` is when the broker took it, in UTC."""

    sequence: int
    subject: str
    data: bytes
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last message that took effect; `Cursor(None, 0)` when none ever did.

    `stored_at`, when the broker took that message, tells it from another one under the same number.
    """

    stream_uuid: str | None
    sequence: int
    stored_at: datetime | None = field(default=None, compare=False)


class StreamMismatch(Exception):
    """The stream is not the one the cursor speaks of, or has lost messages: going on would skip them in silence."""


class Hole(Exception):
    """A message was sent and did not arrive."""


class Consumer:
    """Ephemeral, without acknowledgements; dropped and made again after any error."""

    def __init__(self, js: JetStreamContext, info: ConsumerInfo, pull: Pull) -> None:
        self._js, self._stream, self._name = js, info.stream_name, info.name
        self._pull = pull
        self._handed_out = 0  # the consumer's own sequence: 1, 2, 3, whatever the filter leaves out
        self._delivered = 0  # how far the broker had sent at the last look
        self._last = 0  # the stream's last sequence at the last look
        self.pending = info.num_pending or 0  # messages that this consumer has not handed out yet
        #: The sequence and the instant up to which everything has been handed out: at least so far, told when quiet.
        self.quiet_at: int = 0
        self.quiet_since: datetime | None = None

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
        # The context keeps its connection to itself.
        return cls(js, info, await Pull.start(js._nc, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{info.name}"))

    async def verify(self, cursor: Cursor, *, may_be_trimmed: bool = False) -> str:
        """The stream's UUID, or StreamMismatch. Asked after the consumer was made, so that it speaks of its stream.

        A cursor that never read starts at whatever the stream still holds. `may_be_trimmed`: see `Reader`.
        """
        info = await self._js.stream_info(self._stream)
        uuid, first, last = stream_uuid(info), info.state.first_seq, info.state.last_seq
        self._last = last
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
        await self._compare_times(cursor, here)
        if may_be_trimmed:
            await self._tell_what_is_gone(last - cursor.sequence, here)
        return uuid

    async def stored_at(self, sequence: int) -> datetime | None:
        """When the broker took this message; null when it is gone."""
        try:
            return (await self._js.get_msg(self._stream, sequence)).time
        except NotFoundError:
            return None

    async def fetch(self, max_messages: int, max_wait_s: float) -> list[Entry]:
        """The next entries: those that are there, or come within `max_wait_s` of the first; none when it is quiet."""
        messages = await self._pull.take(max_messages, math.inf, max_wait_s)
        if not messages:
            await self._look()
        return [self._entry(message) for message in messages]

    async def drop(self) -> None:
        """Best effort: what is left over, the broker forgets after half a minute."""
        try:
            async with asyncio.timeout(1):
                await self._pull.stop()
                await self._js.delete_consumer(self._stream, self._name)
        except (nats.errors.Error, TimeoutError):
            pass

    async def _compare_times(self, cursor: Cursor, here: str) -> None:
        """A stream that was rolled back and grew again holds another message under the cursor's number."""
        if cursor.stored_at is None or not cursor.sequence:
            return
        found = await self.stored_at(cursor.sequence)
        if found and abs(found - cursor.stored_at) > _SAME_TIME:
            here += f", number {cursor.sequence} of {cursor.stored_at.isoformat()} is now of {found.isoformat()}"
            raise StreamMismatch(f"the stream was rolled back and grew again ({here})")

    async def _tell_what_is_gone(self, stored: int, here: str) -> None:
        """Asked after the stream, so that what arrives in between is not taken for gone."""
        info = await self._js.consumer_info(self._stream, self._name)
        gone = stored - (info.num_pending or 0)
        if gone > 0:
            _log.warning("messages left the stream unread", stream=self._stream, gone=gone, positions=here)

    async def _look(self) -> None:
        """Quiet, or cut off? A deleted consumer, a deleted stream and a lost last message all look like quiet."""
        quiet_since, received, last = self._pull.quiet_since, self._pull.received, self._last
        self._last = (await self._js.stream_info(self._stream)).state.last_seq
        info = await self._js.consumer_info(self._stream, self._name)
        if received < self._delivered:
            raise Hole(f"{self._delivered} messages were sent, {received} arrived")
        self._delivered = info.delivered.consumer_seq if info.delivered else 0
        # What a request that was given up still brings is sent, and not handed out.
        self.pending = (info.num_pending or 0) + self._delivered - self._handed_out
        if quiet_since != self.quiet_since and received == self._delivered:
            # That request was sent after the last look, and nothing is missing.
            self.quiet_since, self.quiet_at = quiet_since, last

    def _entry(self, message: Msg) -> Entry:
        sequence, number, stored_ns, self.pending = numbers(message.reply)
        self._handed_out += 1
        if number != self._handed_out:
            raise Hole(f"message {self._handed_out} did not arrive, {number} did")
        return Entry(sequence, message.subject, message.data, instant(stored_ns))
