"""A small disk for the broker's store that a test can fill: a tmpfs in a mount namespace of its own, without root."""

import errno
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from uptake_local.program import Program

_BLOCK = b"\0" * 4096


@dataclass(slots=True)
class SmallDisk:
    """Mounted at `place` for those programs only that are wrapped by `seen_by`; gone when this process is."""

    place: Path
    size_mib: int
    _holder: subprocess.Popen[bytes] | None = None

    def mount(self) -> None:
        self.place.mkdir(parents=True)
        script = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && echo mounted && exec cat'  # cat ends when we do
        argv = ["unshare", "-Urm", "sh", "-c", script, "sh", str(self.size_mib), str(self.place)]
        self._holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"mounted\n":
            _, said = self._holder.communicate()
            raise OSError(f"this machine lets nobody mount a tmpfs in a namespace of its own: {said.decode()}")

    def seen_by(self, program: Program) -> Program:
        enter = ("nsenter", "--preserve-credentials", "-U", "-m", "-t", str(self._pid), "--")
        return replace(program, argv=(*enter, *program.argv))

    def fill(self) -> None:
        descriptor = os.open(self._inside / "filler", os.O_CREAT | os.O_WRONLY)
        try:
            while True:
                os.write(descriptor, _BLOCK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.close(descriptor)

    def free(self) -> None:
        (self._inside / "filler").unlink()

    def unmount(self) -> None:
        if self._holder is not None:
            self._holder.communicate()

    @property
    def _pid(self) -> int:
        assert self._holder is not None
        return self._holder.pid

    @property
    def _inside(self) -> Path:
        return Path(f"/proc/{self._pid}/root{self.place}")
