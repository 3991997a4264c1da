"""The field types that every message shares. They keep out what breaks stores downstream, nothing else."""

import re
import unicodedata
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

#: How an erased person, and a person who is not to be named, is shown. No producer may call anybody so.
ERASED_PERSON, UNNAMED_PERSON = "erased:", "unnamed:"

MAX_INTEGER = 2**53  # the largest integer that every JSON reader keeps exact, and far inside PostgreSQL's bigint

#: Names that mean something else on another machine, or nothing at all.
_NO_ZONES = {"Factory", "localtime"}

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_BREAKING = {"Cc", "Cs", "Cn", "Zl", "Zp"}  # control, half a surrogate pair, unassigned, line and paragraph ends
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    return text


def _one_line(text: str) -> str:
    """Names come from CRMs, with no-break spaces and joiners; only what breaks a line or a store is kept out."""
    if any(unicodedata.category(c) in _BREAKING for c in text):
        raise ValueError("must be one line without control characters")
    return text


def _no_control(text: str) -> str:
    if any(not c.isprintable() and c not in "\n\t" for c in text):
        raise ValueError("must not hold control characters")
    return text


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 time with offset, such as 2026-05-10T09:30:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _ISO_DAY.fullmatch(value):
        raise ValueError("must be an ISO day, such as 2026-05-10")
    return date.fromisoformat(value)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NO_ZONES)


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("is not an IANA time zone, such as Europe/Berlin")
    return name


Id = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
SLUG = r"[a-z0-9][a-z0-9_-]{0,62}"
Slug = Annotated[str, Field(pattern=f"^{SLUG}$")]
FreeText = Annotated[str, Field(max_length=8000), AfterValidator(_no_control)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Day = Annotated[date, BeforeValidator(_day)]
TimeZone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_zone)]
Cents = Annotated[int, Field(strict=True, ge=-MAX_INTEGER, le=MAX_INTEGER)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]


class Message(BaseModel):
    """A frozen message: unknown fields are dropped, so that an older reader survives a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore")
