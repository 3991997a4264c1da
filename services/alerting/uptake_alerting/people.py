"""The people of `roster.yml`, their regions and their times, as the file gives them. Decides nothing; pure."""

import re
from datetime import date, datetime, time
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from uptake.messages.fields import Day, Label, Slug, TimeZone
from uptake.section import Section
from uptake_alerting import wall

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # as `date.weekday()` counts

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_WALL = re.compile(r"(\d{4}-\d\d-\d\d)[T ](([01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_LAST_YEAR = 9000  # what reckons with days after it has room


def _clock(value: Any) -> time:
    if isinstance(value, time):
        return value
    if type(value) is int and 0 <= value < 24 * 60:  # without quotes, YAML reads 10:00 as 600, and 09:00 as text
        return time(*divmod(value, 60))
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a time of day such as "09:00"')
    return time(int(found[1]), int(found[2]))


def _wall(value: Any) -> date | datetime:
    if isinstance(value, date):  # a datetime is one too
        return value
    found = _WALL.fullmatch(value) if isinstance(value, str) else None
    try:
        stated = datetime.fromisoformat(f"{found[1]}T{found[2]}") if found else date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a day such as 2026-05-10, or a local time such as 2026-05-10T09:00") from None
    if not 1970 <= stated.year <= _LAST_YEAR:
        raise ValueError(f"must lie in the years 1970 to {_LAST_YEAR}")
    return stated


def _mailbox(text: str) -> str:
    """One address and nothing else: no display name, no second header, nothing beyond ASCII."""
    local, at, domain = text.partition("@")
    plain = text.isascii() and text.isprintable() and not set(text) & set(' ,;:<>()[]"\\')
    if not (at and local and domain and plain and "@" not in domain):
        raise ValueError("must be one plain e-mail address")
    return text


Clock = Annotated[time, BeforeValidator(_clock)]
#: A day, or a time on the clock of a zone that the place in the file implies.
WallTime = Annotated[date | datetime, BeforeValidator(_wall)]
Mailbox = Annotated[str, Field(max_length=254), AfterValidator(_mailbox)]
SlackUser = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,20}$")]


class _FromTo(Section):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)


class Absence(_FromTo):
    """Leave, on the person's own clock: a day as `to` is the last day away."""

    start: WallTime = Field(alias="from")
    end: WallTime = Field(alias="to")

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        require_order(self.start, self.end)
        return self


class Hours(_FromTo):
    """Some hours of some days of the week; up to a time that is not after `from`, they end on the next day."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS[:5]
    start: Clock = Field(default=time(9), alias="from")
    end: Clock = Field(default=time(17), alias="to")


class Person(Section):
    """`name` is what events call them. Without a time zone, that of their region, else UTC."""

    name: Label
    email: Mailbox | None = None
    slack: SlackUser | None = None
    region: Slug | None = None
    time_zone: TimeZone | None = None
    working_hours: Hours = Hours()
    away: tuple[Absence, ...] = ()
    manager: Label | None = None
    active: bool = True


class Region(Section):
    """`accounts`: what else the region is called by the facts of accounts. `holidays` and `rotation` go by name."""

    time_zone: TimeZone
    accounts: tuple[Label, ...] = ()
    holidays: Slug | None = None
    rotation: Slug | None = None


Holidays = dict[Day, Label]


def require_order(start: date | datetime, end: date | datetime) -> None:
    """Raises ValueError unless it lasts."""
    begin, finish = wall.stated(start, end)
    if begin >= finish:
        raise ValueError("must end after it starts")
