"""Instants that people ask about or name: far from both ends of the calendar, where reckoning and storing break."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator

from uptake.messages.fields import Instant

_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def _in_range(at: datetime) -> datetime:
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError(f"must lie in the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return at


AskedInstant = Annotated[Instant, AfterValidator(_in_range)]
