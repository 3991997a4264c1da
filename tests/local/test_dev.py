"""The script of the checkout, before it has anything installed."""

import subprocess
import sys
from pathlib import Path

import pytest

DEV = Path(__file__).parents[2] / "dev"


def dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    # -S: without site-packages, since a new checkout has none
    return subprocess.run([sys.executable, "-S", DEV, *arguments], capture_output=True, text=True, cwd="/")


@pytest.mark.parametrize("arguments", [(), ("help",), ("--help",)])
def test_it_says_what_it_can_do(arguments):
    done = dev(*arguments)
    assert done.returncode == 0
    assert all(f"./dev {command}" in done.stdout for command in ("up", "uptake", "test", "check", "bench", "lock"))


def test_a_command_that_does_not_exist_is_wrong_usage():
    assert dev("tset").returncode == 2
