"""A loop survives errors and ends when it is cancelled, even if a client swallows the cancellation."""

import asyncio

import pytest
import structlog

from uptake import loops
from uptake.loops import forever


async def test_it_goes_on_after_an_error(monkeypatch):
    monkeypatch.setattr(loops, "BACKOFF_S", 0)
    steps = []

    async def step():
        steps.append(1)
        if len(steps) == 3:
            raise asyncio.CancelledError
        raise ConnectionError

    with structlog.testing.capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await forever("a loop", step)
    assert [(line["error"], line["exc_info"]) for line in logs] == [("ConnectionError", False)] * 2


async def test_a_programming_error_is_logged_with_its_traceback():
    with structlog.testing.capture_logs() as logs:
        loops.log_failure("a loop", KeyError("x"))
    assert logs[0]["exc_info"] is True


@pytest.mark.parametrize("comes_out_as", [TimeoutError, None])
async def test_it_ends_when_a_client_hides_the_cancellation(comes_out_as):
    entered = asyncio.Event()

    async def step():
        entered.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if comes_out_as is not None:
                raise comes_out_as from None
        return 0.0

    running = asyncio.create_task(forever("a loop", step))
    await entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
