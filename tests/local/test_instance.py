"""One folder belongs to one parent and its servers at a time."""

import json
import socket
import subprocess
import sys
import time

import pytest

from uptake_local import instance as module
from uptake_local.instance import CannotStart, Instance, NotRunning, free_block, locked, running


def test_a_folder_is_locked_by_one_at_a_time(tmp_path):
    with locked(tmp_path), pytest.raises(CannotStart, match="already runs"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def kill_a_parent_of_a_server(folder, server_lives_s: float) -> None:
    """A parent that dies without a word, while a server that inherited the lock goes on for a while."""
    code = f"""
import os, subprocess, sys
from pathlib import Path
from uptake_local.instance import locked
with locked(Path({str(folder)!r})) as lock:
    subprocess.Popen(["sleep", "{server_lives_s}"], pass_fds=[lock])
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9


def test_a_start_after_a_kill_waits_for_the_last_server(tmp_path):
    kill_a_parent_of_a_server(tmp_path, 1.5)
    began = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - began > 0.5


def test_a_server_that_does_not_end_is_never_doubled(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LAST_SERVERS_S", 0.3)
    kill_a_parent_of_a_server(tmp_path, 4)
    with pytest.raises(CannotStart, match="still ending"), locked(tmp_path):
        pass


def test_a_block_of_ports_is_free_where_its_servers_ports_are(tmp_path, free_port):
    first = free_port()
    with socket.create_server(("127.0.0.1", Instance(tmp_path, first).ports["postgres"])):
        found = free_block(first)
    assert found > first
    assert (found - first) % 10 == 0
    assert free_block(first) == first


def test_the_running_instance_describes_itself(tmp_path):
    with pytest.raises(NotRunning, match="Nothing runs on"):
        running(tmp_path)
    Instance(tmp_path, 9000).describe()
    assert running(tmp_path) == Instance(tmp_path, 9000)


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"ports": {"console": "x"}})])
def test_a_broken_description_is_no_traceback(tmp_path, content):
    (tmp_path / "instance.json").write_text(content)
    with pytest.raises(NotRunning, match="does not describe a running instance"):
        running(tmp_path)
