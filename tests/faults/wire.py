"""NATS by hand, for what no client library would send. Publishes and waits for the answer; nothing else."""

import asyncio
import json
from dataclasses import dataclass
from typing import Self

_ANSWER_S = 3.0
_INBOX = "_INBOX.wire"


@dataclass(slots=True)
class Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _published: int = 0

    @classmethod
    async def open(cls, port: int, user: str, password: str) -> Self:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        await reader.readline()  # INFO
        hello = {"user": user, "pass": password, "headers": True, "verbose": False, "pedantic": False, "protocol": 1}
        writer.write(b"CONNECT %b\r\nSUB %b.* 1\r\nPING\r\n" % (json.dumps(hello).encode(), _INBOX.encode()))
        answer = await reader.readline()
        while not answer.startswith((b"PONG", b"-ERR")):
            answer = await reader.readline()
        assert answer.startswith(b"PONG"), answer
        return cls(reader, writer)

    async def publish(self, subject: bytes, headers: bytes, body: bytes) -> bool:
        """Whether the broker confirmed that it stored the message."""
        self._published += 1
        inbox = f"{_INBOX}.{self._published}".encode()
        if headers:
            sizes = b"%d %d" % (len(headers), len(headers) + len(body))
            self.writer.write(b"HPUB %b %b %b\r\n%b%b\r\n" % (subject, inbox, sizes, headers, body))
        else:
            self.writer.write(b"PUB %b %b %d\r\n%b\r\n" % (subject, inbox, len(body), body))
        await self.writer.drain()
        return await self._answer(inbox)

    async def close(self) -> None:
        self.writer.close()

    async def _answer(self, inbox: bytes) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_S):
                while True:
                    line = await self.reader.readline()
                    if not line or line.startswith(b"-ERR"):
                        return False
                    if line.startswith(b"PING"):
                        self.writer.write(b"PONG\r\n")
                    elif line.startswith((b"MSG", b"HMSG")):
                        answer = await self.reader.readexactly(int(line.split()[-1]) + 2)
                        if line.split()[1] == inbox:
                            return b'"error"' not in answer
        except TimeoutError:
            return False
