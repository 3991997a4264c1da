"""Runs one ASGI app until SIGTERM or SIGINT and ends with code 0 within ten seconds. Starts no task of its own."""

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from uptake.broker import Watchdog
from uptake.settings import HttpSettings

_log = structlog.get_logger()

_MAX_HEAD_BYTES = 64 * 1024
_DRAIN_S = 6  # for requests that are under way
_END_S = 9  # then the process ends, whatever still hangs


async def serve(app: ASGIApp, settings: HttpSettings) -> None:
    """Serve until a signal; the app's lifespan starts and stops what else the service runs."""
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        http=_Protocol,
        log_config=None,  # telemetry has set logging up
        access_log=False,
        server_header=False,
        lifespan="on",  # an error while starting must end the process, not pass as "no lifespan"
        timeout_graceful_shutdown=_DRAIN_S,
    )
    with Watchdog():
        await _Server(config).serve()


class _Protocol(HttpToolsProtocol):
    """uvicorn's, except that the head of a request is bounded: no key is asked for before it is complete."""

    _head_bytes = 0
    _in_body = False
    _head_ended = False  # within the piece that came last

    def data_received(self, data: bytes) -> None:
        self._head_ended = False
        in_body = self._in_body
        super().data_received(data)
        if not (in_body or self._head_ended):  # nothing in it but a part of a head
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.transport.close()

    def on_headers_complete(self) -> None:
        self._head_ended, self._in_body, self._head_bytes = True, True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()


class _Server(uvicorn.Server):
    """uvicorn, except that a signal ends it with code 0, soon, and also while the app is still starting."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            _log.info("serving", address=f"http://{self.config.host}:{self.config.port}")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises the signal again when it is done, which would be the exit code."""
        loop, serving = asyncio.get_running_loop(), asyncio.current_task()

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.should_exit = True
            _end_in_time()
            if not self.started and serving is not None:
                loop.call_soon_threadsafe(serving.cancel)

        # Handlers of Python, not of the loop: they are heard also when the loop stands still.
        previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except asyncio.CancelledError:
            if not self.should_exit:
                raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _end_in_time() -> None:
    """Whatever still hangs then must not matter: state is safe in the broker and the database at every moment."""
    timer = threading.Timer(_END_S, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    faulthandler.dump_traceback(all_threads=True)
    sys.stdout.flush()
    os._exit(0)
