"""The only place that asks the machine what time it is. Decisions take the time as an argument instead."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
