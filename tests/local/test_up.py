"""One machine's Uptake, with the real broker and database: starts, survives, refuses, and leaves nothing behind.

Everything runs as we are and, when we are root, as an ordinary user too. The folder's name has a blank in it.
"""

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nats
import psutil
import pytest

SCRIPT = Path(__file__).with_name("run_servers.py")
_LIBC = ctypes.CDLL(None, use_errno=True)
_KEEP_CAPABILITIES, _AMBIENT, _RAISE = 8, 47, 2
_WALK_ANYWHERE = 1  # CAP_DAC_OVERRIDE


def become_ordinary(user: str) -> None:
    """Root's Python and checkout may be closed to others (/root is), so the user may still walk down to them."""
    account = pwd.getpwnam(user)
    _LIBC.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    only = 1 << _WALK_ANYWHERE
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    assert _LIBC.capset(header, (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)) == 0
    assert _LIBC.prctl(_AMBIENT, _RAISE, _WALK_ANYWHERE, 0, 0) == 0


class Instance:
    def __init__(self, folder: Path, port: int, user: str | None) -> None:
        self.folder, self.port = folder, port
        self._identity = {"preexec_fn": lambda: become_ordinary(user)} if user else {}
        self._started: list[subprocess.Popen[str]] = []
        self.children: list[psutil.Process] = []

    def spawn(self, port: int | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, SCRIPT, "--data", self.folder, "--port", str(port or self.port)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(command, **pipes, **self._identity, cwd="/")
        self._started.append(process)
        return process

    def start(self) -> subprocess.Popen[str]:
        process = self.spawn()
        said = []
        while "is running" not in "".join(said[-1:]):
            said.append(process.stdout.readline())
            assert said[-1], f"it ended: {''.join(said)}"
        self.children = psutil.Process(process.pid).children(recursive=True)
        assert {"nats-server", "postgres"} <= {child.name() for child in self.children}
        return process

    def child(self, name: str) -> psutil.Process:
        parent = self._started[-1].pid
        return next(child for child in psutil.Process(parent).children() if child.name() == name)

    def left(self, within_s: float) -> list[psutil.Process]:
        return psutil.wait_procs(self.children, timeout=within_s)[1]

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(params=[None, "nobody"] if os.geteuid() == 0 else [None], ids=lambda user: user or "ourselves")
def instance(request, free_port):
    parent = Path(tempfile.mkdtemp(prefix="uptake-test-"))
    if request.param:
        shutil.chown(parent, request.param)
    instance = Instance(parent / "a folder", free_port(), request.param)
    yield instance
    instance.end()
    survivors = instance.left(5)
    for survivor in survivors:
        survivor.kill()
    shutil.rmtree(parent)
    assert survivors == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_leaves_nothing_behind(instance, number):
    process = instance.start()
    assert json.loads((instance.folder / "instance.json").read_text())["pid"] == process.pid
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert instance.left(0) == []
    assert not (instance.folder / "instance.json").exists()


def test_after_a_kill_of_the_parent_no_child_is_left_and_the_next_start_works(instance):
    process = instance.start()
    process.kill()
    process.wait()
    assert instance.start().poll() is None  # at once: it waits for the last servers by itself


def test_a_kill_of_the_parent_ends_every_child_within_five_seconds(instance):
    instance.start().kill()
    assert instance.left(5) == []


def test_a_second_start_on_the_folder_is_refused_and_the_first_goes_on(instance, free_port):
    first = instance.start()
    second = instance.spawn(free_port())
    said, _ = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"already runs on {instance.folder} (pid {first.pid})" in said
    assert first.poll() is None


@pytest.mark.parametrize("name", ["nats-server", "postgres"])
def test_a_server_holds_the_lock_of_the_folder(instance, name):
    instance.start()
    descriptors = Path(f"/proc/{instance.child(name).pid}/fd").iterdir()
    assert str(instance.folder / "lock") in [os.readlink(descriptor) for descriptor in descriptors]


def test_a_port_in_use_is_named(instance):
    with socket.create_server(("127.0.0.1", instance.port + 4)):
        process = instance.spawn()
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert f"Port {instance.port + 4} (nats) is not free" in said


@pytest.mark.parametrize("name", ["nats-server", "postgres"])
def test_a_killed_server_is_started_again(instance, name):
    instance.start()
    old = instance.child(name)
    old.kill()
    deadline = time.monotonic() + 20
    while not any(c.name() == name and c.pid != old.pid for c in psutil.Process(instance._started[-1].pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_secrets_are_for_their_owner_only(instance):
    instance.start()
    folders = [instance.folder, instance.folder / "secrets"]
    files = [instance.folder / "producer.key", instance.folder / "nats" / "nats.json", *folders[1].iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


async def test_the_producer_key_opens_the_broker(instance):
    instance.start()
    key = (instance.folder / "producer.key").read_text().strip()
    client = await nats.connect(f"nats://127.0.0.1:{instance.port + 4}", user="producer", password=key)
    await client.close()
