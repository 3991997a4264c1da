"""Keeps one real process running, as a supervisor would, and lets a test kill, freeze, stop and hold it down."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from uptake_local.program import Program

_AGAIN_AFTER_S = 0.5
_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended; `asked` when the harness brought it about."""

    code: int
    asked: bool


@dataclass(slots=True)
class Kept:
    """Call from the main thread: the kernel ties children to the thread that started them."""

    program: Program
    log: Path
    problem: Callable[[], Awaitable[str | None]]  # why it is not ready; null when it is
    ends: list[End] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)  # on top of the program's; a test may change it between two lives
    _process: subprocess.Popen[bytes] | None = None
    _keeping: asyncio.Task[None] | None = None
    _down: bool = False
    _asked: bool = False

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Runs from now on, whatever happens to it, until `hold_down` or `close`."""
        self._down = False
        if self._keeping is None:
            self._spawn()
            self._keeping = asyncio.create_task(self._keep())

    async def until_ready(self, within_s: float = _READY_S) -> float:
        """How many seconds it took."""
        began = time.monotonic()
        while problem := await self.problem():
            waited_s = time.monotonic() - began
            assert waited_s < within_s, f"{self.name} is not ready after {waited_s:.0f} s: {problem}\n{self.tail()}"
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    def kill(self) -> None:
        """It starts again soon."""
        if self.is_alive:
            self._asked = True
            os.kill(self.pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def freeze(self) -> None:
        for process in self.family():
            _send(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self.family():
            _send(process, signal.SIGCONT)

    def hold_down(self) -> None:
        """Killed, and away until `start`."""
        self._down = True
        self.kill()

    async def terminate(self, within_s: float = 10) -> None:
        """SIGTERM (or what stops this program): ends with 0 within ten seconds, and stays away until `start`."""
        self._down = self._asked = True
        if not self.is_alive:
            return
        await self._hears()
        process, began = self._process, time.monotonic()
        assert process is not None
        process.send_signal(self.program.stop_signal)
        while process.poll() is None:
            assert time.monotonic() - began < within_s, f"{self.name} is deaf to SIGTERM:\n{self.tail()}"
            await asyncio.sleep(0.02)
        assert process.returncode == 0, f"{self.name} ended with {process.returncode}:\n{self.tail()}"

    async def close(self) -> None:
        """Whatever state it is in."""
        self._down = self._asked = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        for process in self.family():
            _send(process, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(20)

    def family(self) -> list[psutil.Process]:
        """The process and what it started."""
        if not self.is_alive:
            return []
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def tail(self, lines: int = 25) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    async def _hears(self) -> None:
        """Until it handles SIGTERM: before, while Python loads its modules, the signal just ends it."""
        while not (self.is_alive and _handled(self.pid) >> (signal.SIGTERM - 1) & 1):  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.05)

    def _spawn(self) -> None:
        self._asked = False
        program = replace(self.program, env={**self.program.env, **self.env})
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(program.argv, stdout=log, stderr=log, **program.options())

    async def _keep(self) -> None:
        while True:
            while self.is_alive or (self._down and self._process is None):  # noqa: ASYNC110  # a process tells nobody
                await asyncio.sleep(0.05)
            if self._process is not None:
                self.ends.append(End(self._process.returncode, self._asked))
                self._process = None
            await asyncio.sleep(_AGAIN_AFTER_S)
            if not self._down:
                self._spawn()


def _handled(pid: int) -> int:
    """The signals that the process catches, as bits; none of one that has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.split("SigCgt:")[1].split()[0], 16)


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
