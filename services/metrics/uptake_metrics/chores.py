"""Work that a process does again and again beside reading, and whether it gets done. Knows no chore."""

import time
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any

import structlog

from uptake.loops import forever
from uptake.reader import Fenced

#: A chore that has failed for so long is told to whoever asks for readiness.
PATIENCE_S = 15.0

#: The longest that a chore which can wait is put off.
PUT_OFF_S = 20.0

Chore = Callable[[], Coroutine[Any, Any, Any]]

_log = structlog.get_logger()


def unhurried(do: Chore, is_busy: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic) -> Chore:
    """The same chore, put off while the process is busy with what cannot wait, though not for ever."""
    last = monotonic()

    @wraps(do)
    async def sometimes() -> None:
        nonlocal last
        if not is_busy() or monotonic() - last >= PUT_OFF_S:
            await do()
            last = monotonic()

    return sometimes


class Chores:
    """Runs chores once `ready` says so; remembers since when one of them fails."""

    def __init__(self, ready: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ready = ready
        self._monotonic = monotonic
        self._failing: dict[str, tuple[float, str]] = {}  # by chore: since when, and with what

    async def run(self, do: Chore, every_s: float) -> None:
        """Until cancelled."""
        await forever(do.__name__, partial(self.once, do, every_s))

    async def once(self, do: Chore, every_s: float) -> float:
        if self._ready():
            try:
                await do()
            except Fenced as error:  # the readers find out where the other process is, and load from there
                _log.info("another process was here", reason=str(error))
            except Exception as error:
                since, _ = self._failing.get(do.__name__, (self._monotonic(), ""))
                self._failing[do.__name__] = since, type(error).__name__
                raise
            self._failing.pop(do.__name__, None)
        return every_s

    def problem(self) -> str | None:
        """The chore that has been failing for too long, if there is one."""
        now = self._monotonic()
        late = [(name, error) for name, (since, error) in self._failing.items() if now - since > PATIENCE_S]
        return ", ".join(f"{name} fails with {error}" for name, error in sorted(late)) or None
