"""Keeps child processes running until it drains them in reverse order. Knows nothing about what they are."""

import asyncio
import logging
import random
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

import click

from uptake_local.program import Program

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")
_BACKOFF_BASE_S, _BACKOFF_CAP_S = 0.25, 10.0
_STEADY_S = 30.0  # a child that lived this long starts its back-off anew
_ATTEMPTS_TO_START = 4  # ends before it was ever ready: its configuration is wrong, and waiting would hide it
_STOP_S = 15.0
_LOOK_EVERY_S = 5.0
_LOG_BYTES = 20 * 1024 * 1024
EVERY_LINE = re.compile("")
_NO_LINE = re.compile(r"(?!)")


class StartFailed(Exception):
    """A child ended or was not ready in time; the text holds its last lines."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program that is to run for ever."""

    program: Program
    is_ready: Callable[[], bool]  # may block for a second or two
    loud: re.Pattern[str] = EVERY_LINE  # which of its lines reach the console; the log file has them all
    ready_within_s: float = 300.0  # recovery and catching up take their time; a wrong setting ends the child at once
    is_stuck: Callable[[], bool] | None = None  # it runs and only a restart helps; may block for a second or two


class Supervisor:
    """Call from the main thread of one event loop: children are tied to the thread that started them."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._keepers: list[_Keeper] = []

    async def start(self, child: Child) -> None:
        """Returns when the child is ready. Raises StartFailed."""
        output = _Output(child.program.name, self._logs, child.loud, _COLOURS[len(self._keepers) % len(_COLOURS)])
        keeper = _Keeper(child, output)
        self._keepers.append(keeper)
        await keeper.until_ready()

    async def run(self, program: Program) -> None:
        """Runs a program once, to its end; its lines go to its log. Raises StartFailed with the last of them."""
        output = _Output(program.name, self._logs, _NO_LINE, "white")
        try:
            await self._to_its_end(program, output)
        finally:
            output.close()

    @staticmethod
    async def _to_its_end(program: Program, output: "_Output") -> None:
        process = await _spawn(program)  # cancelled in here, the transport kills what it has started
        try:
            await output.follow(process)
            if await process.wait() != 0:
                raise StartFailed(f"{program.name} failed:\n{output.tail()}")
        finally:
            if process.returncode is None:  # cancelled: a second wait belongs to nobody
                process.kill()
                await process.wait()

    async def drain(self) -> None:
        """Stops the children one by one, the last started first."""
        for keeper in reversed(self._keepers):
            await keeper.stop()

    def kill(self) -> None:
        """For the impatient: what still runs ends now, and `drain` has nothing left to wait for."""
        for keeper in self._keepers:
            keeper.kill()


class _Keeper:
    """Keeps one child running."""

    def __init__(self, child: Child, output: "_Output") -> None:
        self._child, self._output = child, output
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._ready = False
        self._task = asyncio.create_task(self._keep_running())
        self._watch = asyncio.create_task(self._look()) if child.is_stuck else None

    async def until_ready(self) -> None:
        name, deadline = self._child.program.name, time.monotonic() + self._child.ready_within_s
        while not await asyncio.to_thread(self._child.is_ready):
            if self._task.done():
                raise StartFailed(f"{name} does not start:\n{self._output.tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{name} is not ready after {self._child.ready_within_s:.0f} s:\n{self._output.tail()}"
                )
            await asyncio.sleep(0.05)
        self._ready = True

    async def _look(self) -> None:
        """Ends a child that is stuck; `_keep_running` starts it again."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            process = self._process
            is_stuck = self._ready and self._child.is_stuck and await asyncio.to_thread(self._child.is_stuck)
            if is_stuck and process is not None and process is self._process:
                self._output.say("is stuck: only a restart helps")
                self._signal(self._child.program.stop_signal)

    async def stop(self) -> None:
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
        if self._process is None:  # between two attempts
            self._task.cancel()
        else:
            self._signal(self._child.program.stop_signal)
        done, _ = await asyncio.wait({self._task}, timeout=_STOP_S)
        if not done:
            self._output.say(f"does not stop within {_STOP_S:.0f} s: killed")
            self.kill()
            await asyncio.wait({self._task})
        self._output.close()

    def kill(self) -> None:
        self._stopping = True
        self._signal(9)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _keep_running(self) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            code = await self._run_once()
            if self._stopping:
                return
            failures = 1 if time.monotonic() - started > _STEADY_S else failures + 1
            if not self._ready and failures >= _ATTEMPTS_TO_START:
                return
            delay_s = random.uniform(0, min(_BACKOFF_CAP_S, _BACKOFF_BASE_S * 2**failures))  # noqa: S311 - jitter
            self._output.say(f"ended with {code}; starts again in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)

    async def _run_once(self) -> int:
        try:
            self._process = process = await _spawn(self._child.program)
        except OSError as error:
            self._output.say(f"cannot be started: {error}")
            return 127  # what a shell answers
        if self._stopping:
            self._signal(self._child.program.stop_signal)
        # The pipe closes when the last grandchild has ended too, so a new server never meets an old one's workers.
        await self._output.follow(process)
        code = await process.wait()
        self._process = None
        return code


class _Output:
    """The lines of one process: all into its log file, the loud ones onto the console behind its name."""

    def __init__(self, name: str, logs: Path, loud: re.Pattern[str], colour: str) -> None:
        self._prefix = click.style(f"{name:>9} | ", fg=colour)
        self._loud = loud
        self._last: deque[str] = deque(maxlen=15)
        file = logs / f"{name}.log"
        self._file = RotatingFileHandler(file, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
        if file.stat().st_size:
            self._file.doRollover()  # one start, one file

    async def follow(self, process: asyncio.subprocess.Process) -> None:
        """Until the process and whatever it started have closed their end. A line of any length is survived."""
        assert process.stdout is not None  # noqa: S101 - for the type checker: `_spawn` asks for the pipe
        rest = b""
        while chunk := await process.stdout.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.say(line.decode(errors="replace").rstrip())
            if len(rest) > _LOG_BYTES:
                rest = b""
        if rest:
            self.say(rest.decode(errors="replace").rstrip())

    def say(self, line: str) -> None:
        self._last.append(line)
        self._file.emit(logging.makeLogRecord({"msg": line}))
        if self._loud.search(line):
            try:
                click.echo(self._prefix + line)
            except OSError:  # the terminal is gone; the log file is not
                pass

    def tail(self) -> str:
        return "\n".join(f"  {line}" for line in self._last) or "  (it said nothing)"

    def close(self) -> None:
        self._file.close()


async def _spawn(program: Program) -> asyncio.subprocess.Process:
    pipe, together = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    return await asyncio.create_subprocess_exec(*program.argv, stdout=pipe, stderr=together, **program.options())
