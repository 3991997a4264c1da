"""Plain usage, many events at once: takes only what `intake.judge` would accept, and leaves all else to it. Pure.

A typed decoder and one look at each column do for a hundred events what `judge` does for five.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import compress

import msgspec
from pydantic import TypeAdapter, ValidationError

from uptake.messages.events import Event, Usage
from uptake.messages.fields import Slug
from uptake_ingestion.batches import Row
from uptake_ingestion.intake import MAX_EVENT_BYTES, RESERVED, Refused, Window, judge, window_of
from uptake_ingestion.items import MAX_ITEMS

# What `judge` takes in its usual spelling; both read it with the same parser.
_TIMES = re.compile(
    r"(?:[0-9]{4}-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9](?:\.[0-9]{1,9})?"
    r"(?:Z|[+-][0-9][0-9]:[0-9][0-9])\n)*+"
)
_SMALLEST = len('{"id":"","type":"usage","occurred_at":"2026-05-10T09:30:00Z","user":"","feature":""}')
_SLUG: TypeAdapter[str] = TypeAdapter(Slug)
_ARRAY = msgspec.json.Decoder(list[Row])
_ROW = msgspec.json.Decoder(Row)


def array(body: bytes, now: datetime, *, live: bool) -> list[Row] | None:
    """The events of a JSON array of nothing but good plain usage; null when it has to be looked at item by item."""
    try:
        rows = _ARRAY.decode(body)
    except (ValueError, RecursionError):
        return None
    if len(rows) > MAX_ITEMS or len(body) - _SMALLEST * (len(rows) - 1) > MAX_EVENT_BYTES:  # one may be too large
        return None
    return rows if _are_good(rows, window_of(now, live=live)) else None


def judge_all(items: Sequence[bytes], now: datetime, *, live: bool) -> Iterator[Row | Event | Refused]:
    """What `judge` says of each item, with usage as rows."""
    for item, row in zip(items, find(items, window_of(now, live=live)), strict=True):
        if row is not None:
            yield row
            continue
        verdict = judge(item, now, live=live)
        if isinstance(verdict, Refused):
            yield verdict
        else:
            yield Row.of(verdict.event) if isinstance(verdict.event, Usage) else verdict.event


def find(items: Sequence[bytes], window: Window) -> list[Row | None]:
    """For each item the plain usage that it is, if it is good."""
    rows = [_row(item) for item in items]
    known = [row for row in rows if row is not None]
    good = iter(_which_are_good(known, window))
    return [row if row is not None and next(good) else None for row in rows]


def _row(item: bytes) -> Row | None:
    if len(item) > MAX_EVENT_BYTES:
        return None
    try:
        return _ROW.decode(item)
    except (ValueError, RecursionError):
        return None


def _which_are_good(rows: Sequence[Row], window: Window) -> list[bool]:
    """By halves, so that few bad ones among many cost little."""
    if _are_good(rows, window):
        return [True] * len(rows)
    if len(rows) == 1:
        return [False]
    middle = len(rows) // 2
    return _which_are_good(rows[:middle], window) + _which_are_good(rows[middle:], window)


def _are_good(rows: Sequence[Row], window: Window) -> bool:
    if not rows:
        return True
    accounts, instances = [row.account for row in rows], [row.instance for row in rows]
    named = (
        [row.id for row in rows],
        [row.user for row in rows],
        [row.feature for row in rows],
        compress(accounts, accounts),
        compress(instances, instances),
    )
    return (
        all("".join(names).isprintable() for names in named)  # type: ignore[arg-type]  # compress leaves no null
        and (None not in accounts or all(a or i for a, i in zip(accounts, instances, strict=True)))
        and not _is_reserved(named[1])
        and all(map(is_slug, {row.environment for row in rows}))
        and _are_timely([row.occurred_at for row in rows], window)
    )


def _is_reserved(users: Sequence[str]) -> bool:
    """Whether one of them, which hold no line ends, begins as nobody may be called."""
    lines = "\n" + "\n".join(users)
    return any(f"\n{beginning}" in lines for beginning in RESERVED)


def _are_timely(times: Sequence[str], window: Window) -> bool:
    if not _TIMES.fullmatch("\n".join(times) + "\n"):
        return False
    try:
        instants = [datetime.fromisoformat(time) for time in times]
    except ValueError:
        return False
    return window.earliest <= min(instants) and max(instants) <= window.latest


@lru_cache(maxsize=4096)
def is_slug(text: str) -> bool:
    """Whether a text may name a producer or an environment."""
    try:
        _SLUG.validate_python(text)
    except ValidationError:
        return False
    return True
