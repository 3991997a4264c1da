"""Reads events from a file or a pipe, as they stand there, in pieces that one request can carry. Sends nothing.

NDJSON or one JSON array, gzip or not. A line without `type` that has a user and a feature is a `usage` event, so that
plain activity logs need no conversion; every other line goes out byte for byte, and the service judges it.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

import msgspec

from uptake_cli.problems import Refused

MAX_EVENTS = 1000  # of one request, as ingestion counts them
MAX_BYTES = 1024 * 1024 - 1
_USAGE = b'{"type":"usage",'
_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 20
_BROKEN_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Line:
    """One event; `number` counts from 1, as editors do. `problem` is a reason to refuse it, known before it is sent.

    An empty `body` cannot be sent at all.
    """

    number: int
    body: bytes
    problem: str | None = None


def opened(file: BinaryIO) -> io.BufferedReader:
    """The content of `file`, unpacked when it is gzip (known by its first bytes, not by its name)."""
    # One more buffer around what has one would close it when it goes, and the caller reads it again.
    buffered = cast(io.BufferedReader, file)
    if not isinstance(file, io.BufferedReader | io.BufferedRandom):
        buffered = io.BufferedReader(cast(io.RawIOBase, file))
    if buffered.peek(2)[:2] == b"\x1f\x8b":
        return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=buffered)))
    return buffered


def lines(content: io.BufferedReader) -> Iterator[Line]:
    """The events of unpacked content, one by one."""
    try:
        head = content.peek(256).removeprefix(_BOM).lstrip()[:1]
        yield from _of_array(content) if head == b"[" else _of_lines(content)
    except _BROKEN_GZIP as error:
        raise Refused(f"The file is not a whole gzip file: {error}") from None


def requests(found: Iterable[Line]) -> Iterator[list[Line]]:
    """Groups within the limits of one request."""
    group: list[Line] = []
    size = 0
    for line in found:
        if group and (len(group) == MAX_EVENTS or size + len(line.body) + 1 > MAX_BYTES):
            yield group
            group, size = [], 0
        group.append(line)
        size += len(line.body) + 1
    if group:
        yield group


def survey(content: io.BufferedReader) -> tuple[str, int]:
    """A name for the content, whatever its packing, and how many line ends it has (the scale of a progress bar)."""
    digest, ends = hashlib.sha256(), 0
    try:
        while block := content.read(_BLOCK):
            digest.update(block)
            ends += block.count(b"\n")
    except _BROKEN_GZIP as error:
        raise Refused(f"The file is not a whole gzip file: {error}") from None
    return digest.hexdigest()[:32], ends


def _of_lines(content: io.BufferedReader) -> Iterator[Line]:
    for number, raw in enumerate(content, start=1):
        if body := (raw.removeprefix(_BOM) if number == 1 else raw).strip():
            yield line(number, body)


def _of_array(content: io.BufferedReader) -> Iterator[Line]:
    try:
        events = msgspec.json.decode(content.read().removeprefix(_BOM), type=list[msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise Refused(f"The file starts as a JSON array, but is not one: {error}") from None
    for number, event in enumerate(events, start=1):
        yield line(number, bytes(event))


def line(number: int, body: bytes) -> Line:
    if len(body) >= MAX_BYTES:
        return Line(number, b"", "too_large")
    try:
        event = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return Line(number, body, "not_json")
    if isinstance(event, dict) and "type" not in event and "user" in event and "feature" in event:
        return Line(number, _USAGE + body[1:].lstrip())
    return Line(number, body)
