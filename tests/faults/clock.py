"""A clock in a file for one process, through libfaketime: whoever writes the file makes that process's time jump."""

from importlib.util import find_spec
from pathlib import Path

_OF_THE_SYSTEM = Path("/usr/lib")


def faked(clock: Path) -> dict[str, str]:
    """The environment of a process that lives by `clock`. Time-outs and sleeps go on by the monotonic clock."""
    return {
        "LD_PRELOAD": str(_library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",  # look at the file every time
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # as older versions call it
    }


def _library() -> Path:
    found = find_spec("libfaketime")
    packaged = Path(str(found.origin)).parent.rglob("libfaketime.so.1") if found else ()
    for library in (*packaged, *_OF_THE_SYSTEM.glob("*/faketime/libfaketimeMT.so.1")):
        return library
    raise FileNotFoundError("no libfaketime: it comes with the development dependencies (libfaketime) or the system")
