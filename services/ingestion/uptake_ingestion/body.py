"""Reads the body of a request within its limits, gzip or plain. Does not look at what it says."""

import asyncio
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from uptake_ingestion.meters import IN_FLIGHT_BYTES
from uptake_ingestion.rejections import Rejected

MAX_BODY_BYTES = 1024 * 1024  # after gunzip
_MAX_COMPRESSED_BYTES = MAX_BODY_BYTES + 64 * 1024  # gzip makes what cannot be compressed a little larger
_READ_S = 15.0  # a stalled upload holds its share of the budget no longer
_GZIP_MAGIC = b"\x1f\x8b"
_TOO_LARGE = f"a request may have {MAX_BODY_BYTES} bytes, counted after gunzip; send it in parts"


class Budget:
    """How many requests, and bytes of them, may be worked on at once; over it, senders are told to come back.

    A thousand of a hundred events each are a second of work: more would wait without being sooner done.
    """

    def __init__(self, limit_bytes: int = 64 * 1024 * 1024, limit_requests: int = 1_000) -> None:
        self._limit, self._used = limit_bytes, 0
        self._limit_requests, self._requests = limit_requests, 0

    @contextmanager
    def hold(self) -> Iterator["Hold"]:
        if self._requests >= self._limit_requests:
            raise _overloaded()
        hold = Hold(self)
        self._requests += 1
        try:
            yield hold
        finally:
            self._requests -= 1
            self.move(-hold.size)

    def move(self, size: int) -> None:
        if size > 0 and self._used + size > self._limit:
            raise _overloaded()
        self._used += size
        IN_FLIGHT_BYTES.set(self._used)


def _overloaded() -> Rejected:
    return Rejected(429, "overloaded", "too much is under way; send it again", retry_after_s=1)


class Hold:
    def __init__(self, budget: Budget) -> None:
        self._budget, self.size = budget, 0

    def more(self, size: int) -> None:
        self._budget.move(size)
        self.size += size


async def read(request: Request, hold: Hold, timeout_s: float = _READ_S) -> bytes:
    """The body, unzipped. Raises Rejected: 400, 408, 413, 415, 429."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise Rejected(415, "unsupported_encoding", "content-encoding is gzip or none")
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                hold.more(len(chunk))
                body += chunk
                if len(body) > _MAX_COMPRESSED_BYTES:
                    raise Rejected(413, "too_large", _TOO_LARGE)
    except TimeoutError:
        raise Rejected(408, "too_slow", f"the body did not arrive within {timeout_s:g} s; send it again") from None
    except ClientDisconnect:
        raise Rejected(400, "incomplete", "the connection ended before the body did") from None
    plain = gunzip(bytes(body)) if body.startswith(_GZIP_MAGIC) or encoding != "identity" else bytes(body)
    if len(plain) > MAX_BODY_BYTES:
        raise Rejected(413, "too_large", _TOO_LARGE)
    hold.more(len(plain) - len(body) if len(plain) > len(body) else 0)
    return plain


def gunzip(data: bytes) -> bytes:
    """At most one byte more than a body may have, whatever the data would swell to. Raises Rejected."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as unzipped:
            return unzipped.read(MAX_BODY_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Rejected(400, "bad_gzip", f"the body is not whole gzip data: {error}") from error
