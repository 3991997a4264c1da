"""How a process meets the broker, and what it does when that fails for good: it ends, loudly. No subjects here."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import structlog
from faststream.nats import NatsBroker
from faststream.nats.security import NatsUserPassword
from nats.aio.client import Client
from nats.errors import ConnectionReconnectingError

from uptake import guard
from uptake.settings import BrokerSettings

EXIT_BROKEN = 70  # EX_SOFTWARE: the supervisor starts us again
WATCHDOG_S = 20

_log = structlog.get_logger()


class _Connection(Client):
    """A client that knows whether it was closed on purpose."""

    closed_on_purpose = False

    async def close(self) -> None:
        self.closed_on_purpose = True
        await super().close()

    async def drain(self) -> None:
        self.closed_on_purpose = True
        await super().drain()


class _Broker(NatsBroker):
    """A FastStream broker that knows whether it was stopped on purpose."""

    stopped_on_purpose = False

    async def stop(self, *args: Any, **kwargs: Any) -> None:
        self.stopped_on_purpose = True
        with contextlib.suppress(ConnectionReconnectingError):  # the broker is away, and with it what could be drained
            await super().stop(*args, **kwargs)


async def connect(
    settings: BrokerSettings, name: str, *, on_closed: Callable[[], Awaitable[None]] | None = None
) -> Client:
    """A connection that is for ever made again; waits until the broker is there.

    Nothing is buffered: publishing while disconnected raises at once. When the client gives up for good, which only
    an error from the broker brings about, or the broker refuses our password, `on_closed` runs (default: the process
    ends with 70, and its next start reads the password anew).
    """
    guard.install()
    client = _Connection()
    password = settings.nats_password.get_secret_value() if settings.nats_password else None
    await client.connect(
        **_options(settings, name, lambda: client.closed_on_purpose, on_closed or _end_process),
        user=settings.nats_user,
        password=password,
    )
    return client


def faststream_broker(settings: BrokerSettings, name: str) -> NatsBroker:
    """The same connection for FastStream. Subscribers use `JStream(NAME, declare=False)` and `no_reply=True`."""
    guard.install()
    security = None
    if settings.nats_user and settings.nats_password:
        security = NatsUserPassword(settings.nats_user, settings.nats_password.get_secret_value())
    broker = _Broker(
        **_options(settings, name, lambda: broker.stopped_on_purpose, _end_process),
        security=security,
        log_level=logging.DEBUG,  # FastStream's two lines a message
        logger=logging.getLogger("faststream"),  # with None, FastStream swallows exceptions
    )
    return broker


def _options(
    settings: BrokerSettings, name: str, ended: Callable[[], bool], give_up: Callable[[], Awaitable[None]]
) -> dict[str, Any]:
    said = ""

    async def on_disconnected() -> None:
        if not ended():
            _log.warning("broker disconnected")

    async def on_closed() -> None:
        if not ended():
            await give_up()

    async def on_reconnected() -> None:
        nonlocal said
        said = ""
        _log.info("broker reconnected")

    async def on_error(error: Exception) -> None:
        nonlocal said
        if said != (said := str(error) or repr(error)):  # one line an outage, not two a second
            _log.warning("broker connection", error=said)
        if _is_refused(error) and not ended():
            await give_up()

    return {
        "servers": [settings.nats_url],
        "name": name,
        "max_reconnect_attempts": -1,  # a client that gave up stays closed for ever
        "reconnect_time_wait": 0.5,
        "connect_timeout": 5,
        "ping_interval": 5,  # a frozen broker is noticed after 10-15 s, not after 6 minutes
        "max_outstanding_pings": 2,
        "pending_size": 0,  # else a publish that raised is sent later all the same
        "error_cb": on_error,
        "closed_cb": on_closed,
        "disconnected_cb": on_disconnected,
        "reconnected_cb": on_reconnected,
    }


def _is_refused(error: Exception) -> bool:
    """Whether the broker wants another user or password: the client would offer the same one for ever."""
    said = str(error).lower()
    return "authorization violation" in said or "authentication" in said


async def _end_process() -> None:
    """A closed connection freezes FastStream at 100 % CPU, deaf to SIGTERM: end before it comes to that."""
    _log.critical("the broker closed or refuses the connection for good: ending the process", exit_code=EXIT_BROKEN)
    _exit()


def _exit() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_BROKEN)


class Watchdog:
    """A thread that ends the process when its event loop has stood still for 20 s. Entered inside the loop.

    It counts its own looks, not time: a process that was paused and goes on is not to blame.
    """

    def __init__(self, patience_s: int = WATCHDOG_S, look_every_s: float = 1) -> None:
        self._looks = max(1, round(patience_s / look_every_s))
        self._look_every_s = look_every_s
        self._stopped = threading.Event()
        self._beats = 0

    def __enter__(self) -> Self:
        self._heart = asyncio.get_running_loop().create_task(self._beat())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._heart.cancel()

    async def _beat(self) -> None:
        while True:
            self._beats += 1
            await asyncio.sleep(self._look_every_s / 2)

    def _watch(self) -> None:
        last, missed = -1, 0
        while not self._stopped.wait(self._look_every_s):
            beats = self._beats
            missed = missed + 1 if beats == last else 0
            last = beats
            if missed >= self._looks:
                faulthandler.dump_traceback(all_threads=True)
                _exit()
