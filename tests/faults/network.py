"""A TCP link between a service and a server that a test can cut in either direction or reset. Changes no byte."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: close sends RST


@dataclass(slots=True)
class Link:
    """Listens on a port of its own and carries every connection to `target`."""

    target: int
    port: int = 0
    to_server: asyncio.Event = field(default_factory=asyncio.Event)  # set: bytes pass in this direction
    to_client: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _carrying: set[asyncio.Task[None]] = field(default_factory=set)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self.heal()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Silence, as of a pulled cable: nothing is closed, nothing answers."""
        if to_server:
            self.to_server.clear()
        if to_client:
            self.to_client.clear()

    def heal(self) -> None:
        self.to_server.set()
        self.to_client.set()

    def reset(self) -> None:
        """Every connection ends at once, on both sides, with RST."""
        for writer in list(self._open):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._carrying):
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # an ended connection is what this module is for; cancelled is closed
        finally:
            self._carrying.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.to_server.wait()  # a handshake does not pass a cut either
        upstream = await asyncio.open_connection("127.0.0.1", self.target, limit=_CHUNK)
        self._open |= {writer, upstream[1]}
        try:
            up = asyncio.create_task(_pump(reader, upstream[1], self.to_server))
            down = asyncio.create_task(_pump(upstream[0], writer, self.to_client))
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        finally:
            self._open -= {writer, upstream[1]}
            upstream[1].transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, passes: asyncio.Event) -> None:
    while chunk := await source.read(_CHUNK):
        await passes.wait()
        sink.write(chunk)
        await sink.drain()
