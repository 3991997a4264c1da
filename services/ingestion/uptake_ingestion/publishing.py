"""One message into one stream, confirmed by the broker. Knows how the broker says no; never what a message means."""

import asyncio
import time
from collections import defaultdict

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from uptake.streams import STREAMS
from uptake_ingestion.meters import PUBLISH_SECONDS

_STORE_FAILED = 10077  # the subject has its one message, or the stream is full
_ONE_PER_SUBJECT = frozenset(stream.name for stream in STREAMS if stream.max_msgs_per_subject == 1)
_NEWS_S = 12.0  # a failure longer ago says nothing about now: nobody may have tried since
_AT_ONCE = 128  # publishes on their way, per stream: a flood of refusals must not hold up usage


class NotStored(Exception):
    """The broker did not confirm the message. Trying again helps."""


class SubjectTaken(Exception):
    """The stream keeps one message per subject and has one, or it is full."""


class Publisher:
    def __init__(self, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._jetstream: JetStreamContext | None = None
        self._slots: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))
        self._silent: dict[str, float] = {}  # streams whose last message was not confirmed, and since when

    def attach(self, client: Client) -> None:
        """From now on publish through this connection; before, everything is NotStored."""
        self._jetstream = client.jetstream()

    def problem(self) -> str | None:
        """Which stream takes no messages though the broker is there: its disk is full, for one. For `/readyz`."""
        now = time.monotonic()
        silent = sorted(stream for stream, at in self._silent.items() if now - at < _NEWS_S)
        return f"the broker does not confirm what it is given for {', '.join(silent)}" if silent else None

    async def publish(
        self, stream: str, subject: str, payload: bytes, message_id: str | None = None, keep_h: int | None = None
    ) -> int:
        """The message's sequence in the stream. Raises NotStored; SubjectTaken in streams of one message a subject.

        `keep_h`: hours until the broker forgets it, where that is sooner than the stream says.
        """
        headers = {"Nats-Msg-Id": message_id} if message_id else {}
        if keep_h is not None:
            headers["Nats-TTL"] = f"{keep_h}h"
        async with self._slots[stream]:
            started = time.perf_counter()
            try:
                ack = await self._broker().publish(
                    subject, payload, timeout=self._timeout_s, stream=stream, headers=headers or None
                )
            except APIError as error:
                if error.err_code == _STORE_FAILED and stream in _ONE_PER_SUBJECT:
                    raise SubjectTaken(subject) from error
                raise NotStored(f"{stream}: {error}") from error
            except (nats.errors.Error, TimeoutError, OSError) as error:
                if isinstance(error, TimeoutError):
                    self._silent[stream] = time.monotonic()
                raise NotStored(f"{stream}: {error!r}") from error
            self._silent.pop(stream, None)
            PUBLISH_SECONDS.labels(stream).observe(time.perf_counter() - started)
            return ack.seq

    async def last(self, stream: str, subject: str) -> bytes | None:
        """The stored message of a subject, if there is one. Raises NotStored when the broker does not answer."""
        try:
            message = await self._broker().get_last_msg(stream, subject, direct=True)
        except NotFoundError:
            return None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise NotStored(f"{stream}: {error!r}") from error
        return message.data

    def _broker(self) -> JetStreamContext:
        if self._jetstream is None:
            raise NotStored("not connected to the broker yet")
        return self._jetstream
