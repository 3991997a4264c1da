"""The programs of the services that are installed beside this command: run as processes, never imported."""

import subprocess
import sysconfig
from pathlib import Path
from typing import IO, Any

from uptake_cli.problems import Refused


def run(service: str, *words: str | Path, given: str | IO[bytes] = "") -> subprocess.CompletedProcess[str]:
    """`uptake-<service>` with these words and `given` on its standard input. Raises Refused where it is missing."""
    script = Path(sysconfig.get_path("scripts")) / f"uptake-{service}"
    if not script.exists():
        raise Refused(f"{script.name} is not installed beside this command, which needs it for that.")
    source: dict[str, Any] = {"input": given} if isinstance(given, str) else {"stdin": given}
    return subprocess.run([script, *words], capture_output=True, text=True, check=False, **source)  # noqa: S603  # our own


def problems(service: str, place: Path) -> list[str]:
    """What the service finds wrong with its files in a folder, or in one file: each with file and line."""
    done = run(service, "check", place)
    if done.returncode and not done.stderr.strip():
        raise Refused(f"uptake-{service} ended with {done.returncode} and said nothing.")
    return done.stderr.splitlines() if done.returncode else []
