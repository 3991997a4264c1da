"""A body becomes its items, each as the bytes that came. It judges no item: one broken item spoils no other."""

import json
import re
from dataclasses import dataclass
from typing import TypeVar

import msgspec

MAX_ITEMS = 1_000
T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"
_ANY = msgspec.json.Decoder(msgspec.Raw)
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
# Possessive, so that no body makes it look at a byte twice; a string without an end swallows the rest.
_STRING_OR_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+\\?(?:"|\Z)|[\[\]{},]', re.DOTALL)


class NotJson(ValueError):
    """Nothing in the body could be read as JSON."""


class TooManyItems(ValueError):
    """The body holds more than MAX_ITEMS items."""


@dataclass(frozen=True, slots=True)
class Item:
    raw: bytes
    line: int | None = None  # of NDJSON, from 1


def split(body: bytes, *, lines: bool = False) -> list[Item]:
    """The items of a JSON array, of one JSON value, or of NDJSON (`lines`, else found by looking).

    Raises NotJson when no item is JSON, and TooManyItems. A single item may still be broken: intake says so.
    """
    body = body.removeprefix(_BOM)
    items = None if lines else _array(body.strip(_BLANK))
    if items is None:
        items = _lines(body)
        if not any(_is_json(item.raw) for item in items):
            raise NotJson
    return items


def _array(body: bytes) -> list[Item] | None:
    """The items of an array, or one value as the only item; None when the body is neither."""
    if not body.startswith(b"["):
        return [Item(body)] if _is_json(body) else None
    try:
        parts = [bytes(part) for part in _ARRAY.decode(body)]
    except (ValueError, RecursionError):
        parts = _cut(body)
        if not any(_is_json(part) for part in parts):
            return None
    return [Item(part) for part in _bounded(parts)]


def _cut(body: bytes) -> list[bytes]:
    """The items of an array that no reader takes whole, found by brackets alone; none when they do not match up."""
    depth, start = 0, 1
    parts: list[bytes] = []
    for match in _STRING_OR_MARK.finditer(body):
        mark = match.group()
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
        if depth == 0 or (depth == 1 and mark == b","):
            parts.append(body[start : match.start()].strip(_BLANK))
            start = match.end()
        if depth == 0:
            return [part for part in parts if part] if start == len(body) else []
    return []


def _lines(body: bytes) -> list[Item]:
    stripped = (line.strip(_BLANK) for line in body.split(b"\n"))
    return _bounded([Item(line, number) for number, line in enumerate(stripped, 1) if line])


def _bounded(items: list[T]) -> list[T]:
    if len(items) > MAX_ITEMS:
        raise TooManyItems
    return items


def _is_json(raw: bytes) -> bool:
    """True for whatever some JSON reader takes: lone surrogates and NaN too, so that intake can name what is wrong."""
    try:
        _ANY.decode(raw)
    except ValueError:
        try:
            json.loads(raw)
        except (ValueError, RecursionError):
            return False
    except RecursionError:  # JSON as far as anyone got
        return True
    return True
