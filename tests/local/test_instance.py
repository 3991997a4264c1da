"""One folder belongs to one parent and its servers at a time."""

import subprocess
import sys
import time

import pytest

from uptake_local import instance as module
from uptake_local.instance import CannotStart, locked


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
