"""Children are kept running, and are gone after a drain."""

import asyncio
import re
import sys
import time
from pathlib import Path

import psutil
import pytest

from uptake_local import supervisor as module
from uptake_local.program import Program
from uptake_local.supervisor import Child, StartFailed, Supervisor

WAIT = "import signal; signal.pause()"


@pytest.fixture
async def supervisor(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BACKOFF_BASE_S", 0.02)
    supervisor = Supervisor(tmp_path)
    yield supervisor
    supervisor.kill()
    await supervisor.drain()


def python(code: str, name: str = "child") -> Program:
    return Program(name, (sys.executable, "-c", code))


def count(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


async def until(condition, within_s: float = 10):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_child_that_ends_is_started_again_after_a_pause(supervisor, tmp_path, capsys):
    starts = tmp_path / "starts"
    code = f"import sys; open({str(starts)!r}, 'a').write('x\\n'); sys.exit(3)"
    await supervisor.start(Child(python(code), lambda: count(starts) >= 1))
    await until(lambda: count(starts) >= 4)
    assert "ended with 3; starts again in" in capsys.readouterr().out


async def test_a_child_that_is_stuck_is_started_again(supervisor, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.05)
    starts, stuck = tmp_path / "starts", tmp_path / "stuck"
    code = f"import signal; open({str(starts)!r}, 'a').write('x\\n'); signal.pause()"
    await supervisor.start(Child(python(code), lambda: count(starts) >= 1, is_stuck=stuck.exists))
    await asyncio.sleep(0.3)
    assert count(starts) == 1
    stuck.touch()
    await until(lambda: count(starts) >= 2)
    stuck.unlink()
    assert "is stuck: only a restart helps" in capsys.readouterr().out


async def test_start_returns_when_the_child_is_ready(supervisor, tmp_path):
    ready = tmp_path / "ready"
    code = f"import time; time.sleep(0.2); open({str(ready)!r}, 'w'); {WAIT}"
    await supervisor.start(Child(python(code), ready.exists))
    assert ready.exists()


async def test_a_child_that_never_gets_ready_fails_the_start_with_its_last_lines(supervisor):
    child = Child(python(f"print('no database', flush=True); {WAIT}"), lambda: False, ready_within_s=1)
    with pytest.raises(StartFailed, match=r"not ready after 1 s:\n  no database"):
        await supervisor.start(child)


async def test_a_child_that_keeps_ending_before_it_is_ready_fails_the_start(supervisor):
    with pytest.raises(StartFailed, match="bad setting"):
        await supervisor.start(Child(python("raise SystemExit('bad setting')"), lambda: False))


async def test_a_program_that_is_missing_fails_the_start(supervisor):
    with pytest.raises(StartFailed, match="cannot be started"):
        await supervisor.start(Child(Program("child", ("/no/such/program",)), lambda: False))


async def test_the_drain_stops_the_last_started_first(supervisor, tmp_path):
    ended = tmp_path / "ended"
    for name in ("first", "second", "third"):
        up = tmp_path / name
        end = f"(open({str(ended)!r}, 'a').write({name + chr(10)!r}), sys.exit(0))"
        code = f"import signal, sys; signal.signal(15, lambda *_: {end}); open({str(up)!r}, 'w'); signal.pause()"
        await supervisor.start(Child(python(code, name), up.exists))
    await supervisor.drain()
    assert ended.read_text().split() == ["third", "second", "first"]


async def test_a_child_that_ignores_the_request_is_killed(supervisor, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_STOP_S", 0.3)
    up = tmp_path / "up"
    code = f"import signal; signal.signal(15, signal.SIG_IGN); open({str(up)!r}, 'w'); signal.pause()"
    await supervisor.start(Child(python(code), up.exists))
    await supervisor.drain()
    assert "killed" in capsys.readouterr().out


async def test_a_drain_between_two_attempts_starts_nothing_more(supervisor, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BACKOFF_BASE_S", 1000)
    monkeypatch.setattr(module.random, "uniform", lambda low, high: high)  # jitter may draw no pause at all
    starts = tmp_path / "starts"
    await supervisor.start(Child(python(f"open({str(starts)!r}, 'a').write('x\\n')"), lambda: count(starts) > 0))
    await until(lambda: "starts again" in (tmp_path / "child.log").read_text())
    await supervisor.drain()
    assert count(starts) == 1


async def test_every_line_is_kept_and_the_loud_ones_are_shown(supervisor, tmp_path, capsys):
    code = f"print('quiet'); print('[ERR] loud'); print('x' * 3_000_000); print('end', flush=True); {WAIT}"
    log = tmp_path / "child.log"
    loud = re.compile("ERR")
    await supervisor.start(Child(python(code), lambda: log.read_text().endswith("end\n"), loud))
    assert capsys.readouterr().out == "    child | [ERR] loud\n"
    assert log.read_text().startswith("quiet\n[ERR] loud\nxxx")


async def test_a_job_that_fails_says_why(supervisor):
    await supervisor.run(python("print('done')"))
    with pytest.raises(StartFailed, match=r"child failed:\n  no such stream"):
        await supervisor.run(python("raise SystemExit('no such stream')"))


async def test_a_job_that_is_cut_off_leaves_no_process(supervisor, tmp_path):
    up = tmp_path / "up"
    code = f"import os, signal; open({str(up)!r}, 'w').write(str(os.getpid()) + '\\n'); signal.pause()"
    job = asyncio.create_task(supervisor.run(python(code)))
    await until(lambda: count(up))
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert not psutil.pid_exists(int(up.read_text()))
