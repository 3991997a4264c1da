"""The file of a backup: a tar of parts and, last, a manifest with the sha256 of each. Knows no server and no table.

Parts are small, so that neither side ever holds much of a stream in memory. What they hold is compressed already.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

FORMAT = 1
PART_BYTES = 8 * 2**20
_MANIFEST, _SEAL = "manifest.json", "manifest.sha256"


class BrokenBackup(Exception):
    """The file is no whole backup that this version understands; the text says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """`streams` by name, as they were described; `members`: the sha256 of every part, in the order of the file."""

    format: int
    made_at: str
    versions: dict[str, str]
    streams: dict[str, dict[str, Any]]
    members: dict[str, str]


class Writer:
    """Writes parts one after the other; nothing is a backup before `seal`."""

    def __init__(self, out: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115  # `seal` closes it
        self._members: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        self._members[name] = hashlib.sha256(data).hexdigest()
        self._write(name, data)

    def stream(self, name: str) -> "Parts":
        """Takes bytes of any length, and keeps them as parts of `name`."""
        return Parts(self, name)

    def seal(self, made_at: str, versions: dict[str, str], streams: dict[str, dict[str, Any]]) -> None:
        manifest = json.dumps(asdict(Manifest(FORMAT, made_at, versions, streams, self._members)), indent=1).encode()
        self._write(_MANIFEST, manifest)
        self._write(_SEAL, hashlib.sha256(manifest).hexdigest().encode())
        self._tar.close()

    def _write(self, name: str, data: bytes) -> None:
        about = tarfile.TarInfo(name)
        about.size, about.mode = len(data), 0o600
        self._tar.addfile(about, io.BytesIO(data))


class Parts:
    """Bytes on their way into the parts of one name."""

    def __init__(self, writer: Writer, name: str) -> None:
        self._writer, self._name = writer, name
        self._held = bytearray()
        self._number = 0
        self.total = 0

    def write(self, data: bytes) -> None:
        self._held += data
        self.total += len(data)
        while len(self._held) >= PART_BYTES:
            self._add(PART_BYTES)

    def end(self) -> None:
        self._add(len(self._held))

    def _add(self, size: int) -> None:
        self._number += 1
        self._writer.add(f"{self._name}/{self._number:06}", bytes(self._held[:size]))
        del self._held[:size]


def verify(file: Path, advance: Callable[[int], None] = lambda _: None) -> Manifest:
    """Reads all of it; BrokenBackup unless every part is there and as it was written. `advance` hears of bytes read."""
    found, said = dict[str, str](), dict[str, bytes]()
    for name, data in _members(file):
        if name in (_MANIFEST, _SEAL):
            said[name] = data
        else:
            found[name] = hashlib.sha256(data).hexdigest()
        advance(len(data))
    if len(said) < 2:
        raise BrokenBackup(f"{file} ends too early: it is cut off, or no backup of Uptake.")
    if hashlib.sha256(said[_MANIFEST]).hexdigest().encode() != said[_SEAL]:
        raise BrokenBackup(f"{file} is damaged: its manifest is not what was written.")
    manifest = _parsed(file, said[_MANIFEST])
    wrong = [name for name in {**manifest.members, **found} if found.get(name) != manifest.members.get(name)]
    if wrong:
        raise BrokenBackup(f"{file} is damaged: {wrong[0]} is not what was written.")
    return manifest


def parts(file: Path, name: str) -> Iterator[bytes]:
    """What was kept under `name`, in order, of a file that `verify` found whole."""
    return (data for member, data in _members(file, only=f"{name}/"))


def members(file: Path, name: str) -> Iterator[tuple[str, bytes]]:
    """Everything below `name`, by the rest of its name."""
    prefix = f"{name}/"
    return ((member.removeprefix(prefix), data) for member, data in _members(file, only=prefix))


def _parsed(file: Path, data: bytes) -> Manifest:
    try:
        content = json.loads(data)
        if content["format"] != FORMAT:
            raise BrokenBackup(f"{file} has format {content['format']}; this version reads format {FORMAT}.")
        manifest = Manifest(**content)
        named = all(isinstance(one, dict) for one in (*manifest.streams.values(), manifest.members))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenBackup(f"{file} is no backup of Uptake: its manifest cannot be read ({error!r}).") from None
    if not named:
        raise BrokenBackup(f"{file} is no backup of Uptake: its manifest cannot be read.")
    return manifest


def _members(file: Path, only: str = "") -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(file, "r:") as tar:
            for about in tar:
                content = tar.extractfile(about) if about.isreg() and about.name.startswith(only) else None
                if content is not None:
                    yield about.name, content.read()
    except (tarfile.TarError, EOFError) as error:
        raise BrokenBackup(f"{file} is damaged, or no backup of Uptake ({error}).") from None
