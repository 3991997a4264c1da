"""How a service ends: by a signal, with code 0, in time. Each one is a real process."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

SERVICE = """
import asyncio, sys, time
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from uptake import telemetry
from uptake.serve import serve
from uptake.settings import HttpSettings

async def work():
    try:
        print("working", flush=True)
        await asyncio.sleep(3600)
    finally:
        print("work ended", flush=True)

@asynccontextmanager
async def lifespan(app):
    {starting}
    task = asyncio.create_task(work())
    yield
    task.cancel()
    {stopping}

telemetry.configure_logging("test", "console")
app = Starlette(lifespan=lifespan, routes=telemetry.routes(telemetry.Health()))
asyncio.run(serve(app, HttpSettings(http_port=int(sys.argv[1]))))
"""


@asynccontextmanager
async def service(port: int, starting: str = "pass", stopping: str = "pass") -> AsyncIterator[Any]:
    script = SERVICE.format(starting=starting, stopping=stopping)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(port), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def said(process: Any, word: str) -> None:
    async with asyncio.timeout(20):
        while word not in (await process.stdout.readline()).decode():
            pass


def get(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_code_0_after_its_tasks(free_port: Callable[[], int], number: int) -> None:
    port = free_port()
    async with service(port) as process:
        await said(process, "serving")
        assert await asyncio.to_thread(get, port) == "ok\n"
        process.send_signal(number)
        await said(process, "work ended")
        assert await asyncio.wait_for(process.wait(), 5) == 0


@pytest.mark.parametrize(
    ("trouble", "word", "limit_s"),
    [
        ({"starting": "print('waiting', flush=True); await asyncio.sleep(3600)"}, "waiting", 3),
        ({"stopping": "await asyncio.sleep(3600)"}, "serving", 10),
        ({"stopping": "time.sleep(15)"}, "serving", 10),
    ],
)
async def test_it_ends_in_ten_seconds_also_in_trouble(
    free_port: Callable[[], int], trouble: dict[str, str], word: str, limit_s: int
) -> None:
    async with service(free_port(), **trouble) as process:
        await said(process, word)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
        assert time.monotonic() - started < limit_s


async def test_it_does_not_start_when_the_app_cannot(free_port: Callable[[], int]) -> None:
    async with service(free_port(), starting="raise RuntimeError('no')") as process:
        assert await asyncio.wait_for(process.wait(), 20) == 3


async def test_a_head_without_end_is_cut_off_and_others_are_served(free_port: Callable[[], int]) -> None:
    port = free_port()
    async with service(port) as process:
        await said(process, "serving")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                writer.write(b"a" * 16_384)
                await writer.drain()
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert await asyncio.to_thread(get, port) == "ok\n"


@pytest.mark.parametrize("size", [0, 70_000, 130_000, 500_000])
async def test_a_body_may_be_longer_than_a_head(free_port: Callable[[], int], size: int) -> None:
    port = free_port()
    async with service(port) as process:
        await said(process, "serving")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"x" * size
        for _ in range(3):  # the second request begins with a head of its own
            writer.write(b"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)).startswith(b"HTTP/1.1 405")
            await reader.readuntil(b"Method Not Allowed")
        writer.close()
