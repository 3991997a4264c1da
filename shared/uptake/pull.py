"""Messages of a pull consumer, asked for ahead: while the caller works on some, the next are already on their way.

nats-py's own `fetch` costs a task and a wait for each message; here one request is answered into a buffer. Knows the
broker's words about a request; never what a message means, nor whether one is missing.
"""

import asyncio
import contextlib
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header, StatusCode
from nats.js.errors import APIError

from uptake.clock import utc_now

STORED = "$JS.ACK."  # the broker puts this reply on every message that comes out of a stream
_EXPIRES_S = 2.0  # a longer request can hang across a restart of the broker
_LAST_S = 0.2  # for what is on its way when nobody asks any more
_LOST_S = 3.0  # when the broker has not even said that there is nothing
_MAX_BYTES = 8 * 2**20  # of one request; a message has at most 1 MiB
_ANSWERED = ("batch completed", "message size exceeds maxbytes")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = (StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT)


class Pull:
    """One request at a time, and the next as soon as less than a batch is in hand: two batches wait here at most."""

    def __init__(self, client: Client, next_subject: str, inbox: str) -> None:
        self._client, self._next, self._inbox = client, next_subject, inbox
        self._subscription: Subscription | None = None
        self._arrived = deque[Msg]()
        self._requests, self._open, self._empty = 0, 0, True  # how many messages the last request may still bring
        self._asked_at, self._lost_at = utc_now(), 0.0
        self._wanted, self._wake = 1, asyncio.Event()
        self._error: APIError | None = None
        self.received = 0
        #: When the last request was sent that ended without a message: all that was stored before has been taken.
        self.quiet_since: datetime | None = None

    @classmethod
    async def start(cls, client: Client, next_subject: str) -> Self:
        """`next_subject` is the consumer's `$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`."""
        pull = cls(client, next_subject, client.new_inbox())
        # No limits: over them the client would drop messages; what can arrive is bounded by what is asked for.
        pull._subscription = await client.subscribe(
            f"{pull._inbox}.*", cb=pull._take_in, pending_msgs_limit=0, pending_bytes_limit=0
        )
        return pull

    async def take(self, count: int, first_s: float, more_s: float) -> list[Msg]:
        """Up to `count` messages: those that are there, or come within `more_s` of the first.

        None when a request ended without any, the broker said nothing to one, or `first_s` is over. Raises the error
        of the broker or of the connection.
        """
        if not self._arrived:
            await self._wait(1, count, first_s)
        if self._arrived and len(self._arrived) < count:
            await self._wait(count, count, more_s)
        taken = [self._arrived.popleft() for _ in range(min(count, len(self._arrived)))]
        if taken:
            await self._ask(count)
        return taken

    async def stop(self) -> list[Msg]:
        """Asks no more; returns what nobody took, with what the last request still brings within a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):  # what the broker has sent to nobody, it holds back for half a minute
                while self._open > 0:
                    self._wake.clear()
                    await self._wake.wait()
        if self._subscription:
            await self._subscription.unsubscribe()
        left = list(self._arrived)
        self._arrived.clear()
        return left

    async def _wait(self, wanted: int, count: int, longest_s: float) -> None:
        loop, quiet = asyncio.get_running_loop(), self.quiet_since
        end = loop.time() + longest_s
        while len(self._arrived) < wanted:
            self._wanted = wanted
            self._wake.clear()
            await self._ask(count)  # may already be answered when this returns
            try:
                async with asyncio.timeout_at(min(end, self._lost_at)):
                    await self._wake.wait()
            except TimeoutError:
                if loop.time() >= self._lost_at:
                    self._give_up()
                return
            if self._error:
                error, self._error = self._error, None
                raise error
            if self.quiet_since != quiet and wanted == 1:
                return

    async def _ask(self, count: int) -> None:
        now = asyncio.get_running_loop().time()
        if len(self._arrived) >= count or (self._open > 0 and now < self._lost_at):
            return
        self._requests += 1
        self._open, self._empty, self._lost_at, self._asked_at = count, True, now + _LOST_S, utc_now()
        request = {"batch": count, "expires": int(_EXPIRES_S * 1e9), "max_bytes": _MAX_BYTES}
        await self._client.publish(self._next, json.dumps(request).encode(), f"{self._inbox}.{self._requests}")

    def _give_up(self) -> None:
        """What the broker still says to the request is not listened to; its messages are."""
        self._requests, self._open = self._requests + 1, 0

    async def _take_in(self, message: Msg) -> None:
        if message.reply.startswith(STORED):
            self._arrived.append(message)
            self.received += 1
            self._open, self._empty = self._open - 1, False
        elif message.subject == f"{self._inbox}.{self._requests}":  # else the word on a request that was given up
            self._end(message.headers or {})
        if self._open <= 0 or self._error or len(self._arrived) >= self._wanted:
            self._wake.set()

    def _end(self, headers: dict[str, str]) -> None:
        status, said = headers.get(Header.STATUS, ""), headers.get(Header.DESCRIPTION, "")
        if status not in _NOTHING and said.lower() not in _ANSWERED:  # the consumer is gone, or nobody listens
            self._error = APIError(code=int(status) if status.isdecimal() else None, description=said)
        elif self._empty:
            self.quiet_since = self._asked_at
        self._open = 0


def numbers(reply: str) -> tuple[int, int, int, int]:
    """Stream sequence, consumer sequence, time in nanoseconds and how many follow, as the broker writes them.

    `$JS.ACK.<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>`, or the same with a domain and
    an account before the stream and more behind.
    """
    tokens = reply.split(".")
    at = 5 if len(tokens) == 9 else 7
    stream_sequence, consumer_sequence, stored_ns, pending = tokens[at : at + 4]
    return int(stream_sequence), int(consumer_sequence), int(stored_ns), int(pending)


def instant(stored_ns: int) -> datetime:
    """To the microsecond, which is all that a datetime holds."""
    return _EPOCH + timedelta(microseconds=stored_ns // 1000)
