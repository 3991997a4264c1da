"""A real HTTP server for a fake of a channel: speaks the protocol, and misbehaves when it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.alerting.fakes.connections import listening


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpFake:
    """`faults` are used up one a request, then it behaves. A number is a status; `hang` accepts and never answers,
    `lost` does what it is asked and never says so, `drop` closes, `huge` and `slow` answer without an end, a text goes
    out as it stands."""

    faults: list[int | str] = field(default_factory=list)
    fault_headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        """What a well-behaved server says."""
        raise NotImplementedError

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
        async with listening(self._talk, tls) as self.port:
            self.scheme = "https" if tls else "http"
            yield self

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        asked = Asked(head[0].split()[1], headers, body)
        self.asked.append(asked)
        await self._respond(asked, reader, writer)
        await writer.drain()

    async def _respond(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.faults.pop(0) if self.faults else None
        if fault in ("hang", "lost"):
            if fault == "lost":
                self.answer(asked)
            await reader.read()  # until the other side gives up
        elif isinstance(fault, int):
            writer.write(_form(fault, self.fault_headers, b"{}"))
        elif fault in ("huge", "slow"):
            await _endless(writer, slow=fault == "slow")
        elif fault is None:
            writer.write(_form(*self.answer(asked)))
        elif fault != "drop":
            writer.write(fault.encode())


def _form(status: int, headers: dict[str, str], body: bytes) -> bytes:
    extra = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _endless(writer: asyncio.StreamWriter, *, slow: bool) -> None:
    """Drained piece by piece, so it is written only as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        writer.write(b" " if slow else b" " * 65536)
        await writer.drain()
        await asyncio.sleep(0.02 if slow else 0)
