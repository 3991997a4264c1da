"""The senders of `http` and `latency`: keeps connections busy with prepared requests and counts what was accepted.

`python -m ... PORT BODIES KEY CONNECTIONS SECONDS [REQUESTS_S]`: a body of 100 events a line. Prints the events a
second that were answered 202, after a moment of warming up. Any other answer ends it: the figure would mean nothing.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_EVENTS = 100
_WARM_S = 0.8


class Sender(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last is complete and `turn` says so."""

    def __init__(self, requests: Iterator[bytes], answered: list[float], failed: "asyncio.Future[None]") -> None:
        self._requests, self._answered, self._failed = requests, answered, failed
        self._buffer = b""
        self.idle = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self) -> None:
        self.idle = False
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 202"):
            self._fail(self._buffer[:500])
            return
        self._buffer = b""
        self._answered.append(time.perf_counter())
        self.idle = True
        self.after()

    def after(self) -> None:
        """Without a pace the next request leaves at once."""
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(b"the connection was lost")

    def _fail(self, said: bytes) -> None:
        if not self._failed.done():
            self._failed.set_exception(RuntimeError(said.decode(errors="replace")))


class PacedSender(Sender):
    def after(self) -> None:
        """Its turn comes."""


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def load(port: int, requests: list[bytes], connections: int, seconds: float, requests_s: float) -> float:
    loop = asyncio.get_running_loop()
    failed = loop.create_future()
    answered: list[float] = []
    forever = itertools.cycle(requests)
    kind = PacedSender if requests_s else Sender
    senders = [
        (await loop.create_connection(lambda: kind(forever, answered, failed), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    began = time.perf_counter()
    sending = loop.create_task(_paced(senders, requests_s) if requests_s else _at_once(senders))
    await asyncio.wait({failed, sending}, timeout=_WARM_S + seconds, return_when=asyncio.FIRST_EXCEPTION)
    sending.cancel()
    if failed.done():
        failed.result()
    counted = [at for at in answered if began + _WARM_S <= at < began + _WARM_S + seconds]
    return len(counted) * _EVENTS / seconds


async def _at_once(senders: list[Sender]) -> None:
    for sender in senders:
        sender.send()
    await asyncio.Event().wait()


async def _paced(senders: list[Sender], requests_s: float) -> None:
    """By the clock, not by the answers: a slow server is sent no less, until all connections wait."""
    began, sent, turns = time.perf_counter(), 0, itertools.cycle(senders)  # none idles until the server closes it
    while True:
        due = int((time.perf_counter() - began) * requests_s)
        for sender in itertools.islice(turns, min(due - sent, len(senders))):
            if sender.idle:
                sender.send()
                sent += 1
        await asyncio.sleep(0.002)


def request(body: bytes, key: str) -> bytes:
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    port, file, key, connections, seconds, *pace = sys.argv[1:]
    prepared = [request(body, key) for body in Path(file).read_bytes().splitlines()]
    figure = load(int(port), prepared, int(connections), float(seconds), float(pace[0] if pace else 0))
    sys.stdout.write(f"{asyncio.run(figure)}\n")
