"""Keeps a hostile message and a broker that is away from stopping nats-py 2.16. Never changes what is sent.

A producer chooses subject, headers and body, and the broker hands all three on unchecked. Three places in the client
take them for something else; each is replaced here, for every connection of the process. So is `fetch`, whose errors
FastStream does not take, and which is slow. Remove a replacement when its test passes without it.
"""

import asyncio
import contextlib
import math
import re
from weakref import WeakKeyDictionary

import nats.errors
import nats.protocol.parser
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError

from uptake.pull import STORED, Pull

_AWAY_S = 0.5  # as long as the client waits between two tries to connect
# The client's own patterns end a subject at any white space; the broker, at these four only.
_MSG = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([0-9]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?([0-9]+)\r\n")
_HMSG = re.compile(rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([0-9]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?([0-9]+)[ \t]+([0-9]+)\r\n")

_log = structlog.get_logger()
_process_headers = Client._process_headers
_unsubscribe = JetStreamContext.PullSubscription.unsubscribe
_pulls: WeakKeyDictionary[JetStreamContext.PullSubscription, Pull] = WeakKeyDictionary()


def install() -> None:
    """Put the guard in place. Again is harmless."""
    nats.protocol.parser.MSG_RE = _MSG
    nats.protocol.parser.HMSG_RE = _HMSG
    Client._process_headers = _guarded_headers  # type: ignore[method-assign]  # the point of this module
    Client._build_message = _guarded_message  # type: ignore[method-assign]  # the point of this module
    JetStreamContext.PullSubscription.fetch = _guarded_fetch  # type: ignore[method-assign]  # the point of this module
    JetStreamContext.PullSubscription.unsubscribe = _end  # type: ignore[method-assign]  # the point of this module


async def _guarded_headers(self: Client, headers: bytes) -> dict[str, str] | None:
    """A header block that cannot be read is no header: the error would end the read loop for good."""
    try:
        return await _process_headers(self, headers)
    except Exception as error:
        _log.warning("a message with an unreadable header block", error=repr(error), header_bytes=len(headers))
        return None


def _guarded_message(
    self: Client, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
) -> Msg:
    """What comes out of a stream is data, never a status: the client would drop it, or take it for an error."""
    reply_to = reply.decode(errors="backslashreplace")
    if headers and reply_to.startswith(STORED):
        for name in (Header.STATUS, Header.DESCRIPTION):
            headers.pop(name.value, None)
    return self.msg_class(
        subject=subject.decode(errors="backslashreplace"),
        reply=reply_to,
        data=data,
        headers=headers or None,
        _client=self,
        _sid=sid,
    )


async def _guarded_fetch(
    self: JetStreamContext.PullSubscription,
    batch: int = 1,
    timeout: float | None = 5,  # noqa: ASYNC109  # as the client has it
    heartbeat: float | None = None,
) -> list[Msg]:
    """Asks ahead; what came is handed out when it is a batch, or `timeout` after its first message.

    nats-py raises either time-out error; of the one that is not nats' own, FastStream dies with half a batch. While
    the broker or the consumer is away it raises at once, and FastStream asks again at once, on all of the CPU.
    """
    if self not in _pulls:
        _pulls[self] = await Pull.start(self._nc, self._nms)
    wait_s = math.inf if timeout is None else timeout
    try:
        messages = await _pulls[self].take(batch, wait_s, wait_s)
    except (nats.errors.OutboundBufferLimitError, APIError):
        await asyncio.sleep(_AWAY_S)
        raise nats.errors.TimeoutError from None
    if not messages:
        raise nats.errors.TimeoutError
    return messages


async def _end(self: JetStreamContext.PullSubscription) -> None:
    """Gives back what was asked for ahead, so that nobody waits for it until its time to be acknowledged is over."""
    if pull := _pulls.pop(self, None):
        left = await pull.stop()
        with contextlib.suppress(nats.errors.Error):  # the broker is away: then it takes until that time is over
            for message in left:
                await message.nak()
    await _unsubscribe(self)
