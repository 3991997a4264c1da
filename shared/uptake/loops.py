"""How a loop of a service goes on after an error and ends when it is cancelled. Knows nothing of what it does."""

import asyncio
from collections.abc import Awaitable, Callable

import nats.errors
import nats.js.errors
import structlog

from uptake.database import is_unavailable

BACKOFF_S = 3.0
LOOK_EVERY_S = 0.5

log = structlog.get_logger(__name__)


async def forever(name: str, step: Callable[[], Awaitable[float]]) -> None:
    """Until cancelled. `step` returns how many seconds to wait before the next one."""
    while not is_cancelled():
        try:
            wait_s = await step()
        except Exception as error:
            if is_cancelled():
                break
            log_failure(name, error)
            wait_s = BACKOFF_S
        await asyncio.sleep(wait_s)
    raise asyncio.CancelledError


async def once(waits: Callable[[], object], do: Callable[[], Awaitable[None]]) -> None:
    """Until there is nothing to wait for any more, and then for good."""
    while waits():  # noqa: ASYNC110  # a file sets no event
        await asyncio.sleep(LOOK_EVERY_S)
    await do()


def log_failure(name: str, error: Exception) -> None:
    """With a traceback only when it is none of the errors that a broker or a database may always have."""
    expected = isinstance(error, nats.errors.Error | nats.js.errors.Error) or is_unavailable(error)
    log.warning(f"{name} failed and will be tried again", error=type(error).__name__, exc_info=not expected)


def is_cancelled() -> bool:
    """Both clients turn a cancellation into an error of their own now and then; the task itself still knows."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
