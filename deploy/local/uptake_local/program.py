"""What one child process is, and how it starts so that it cannot outlive its parent. Decides nothing about restarts."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
# Loaded here and not after the fork, where an import could meet a lock that nobody is left to release.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Program:
    """A child process: everything `Popen` needs, and the two signals that end it."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # on top of the parent's
    folder: Path | None = None  # entered before privileges are dropped: its parents may be closed to `user`
    user: str | None = None  # drop to this user; None stays who we are
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL  # what the kernel sends when the parent is gone
    keep: tuple[int, ...] = ()  # descriptors the child inherits, such as the lock of the data folder

    def options(self) -> dict[str, Any]:
        """Keyword arguments for `subprocess.Popen`, to be called on a thread that lives as long as the child may.

        The kernel ties a child to the *thread* that forked it, so in practice that is the main thread.
        """
        identity = {"user": self.user, "group": _group_of(self.user), "extra_groups": []} if self.user else {}
        return {
            "env": {**os.environ, **self.env},
            "cwd": self.folder,
            "stdin": subprocess.DEVNULL,
            "pass_fds": self.keep,
            "start_new_session": True,  # a terminal's Ctrl-C is for the supervisor alone, which drains in order
            "preexec_fn": _die_with_parent(os.getpid(), self.death_signal),  # runs after the change of user
            **identity,
        }


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _die_with_parent(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    libc = _LIBC
    if libc is None:
        return None  # only Linux can tie a child to its parent

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above: nobody would ever signal us
            os._exit(1)

    return tie
