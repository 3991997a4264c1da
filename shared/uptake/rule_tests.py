"""The file of a rule test: histories as one value a day, and what must come of them. Pure; computes no number.

Read by metrics, which turns the histories into snapshots, and by alerting, which judges them; neither reads the other.
"""

from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from uptake.messages.fields import Count, Day, Id, Instant, Label, Slug, TimeZone
from uptake.section import Section

MAX_DAYS = 4_000
_FIRST_YEAR, _LAST_YEAR = 1990, 2200  # there is room for reckoning on both sides
MEAN_DAYS = 28  # of `userdays28`: the user-days that usage is the mean of
_NOTHING = "_"

State = Literal["ok", "pending", "firing", "recovering", "resolved", "closed"]
Kind = Literal["trigger", "update", "reminder", "escalation", "terminal", "digest"]
Series = tuple[int | None, ...]


def expanded(text: Any) -> Series:
    """`24 24x3 _` is 24, 24, 24, 24, nothing. Raises ValueError."""
    if isinstance(text, tuple):
        return text
    values: list[int | None] = []
    for word in str(text).split():
        value, times, number = word.partition("x")
        many = int(number) if number.isdecimal() and len(number) <= len(str(MAX_DAYS)) else 0
        known = value == _NOTHING or (value.isdecimal() and len(value) <= 9)
        if not known or (times and not many):
            raise ValueError(
                f"{word[:40]} is neither a number, `_` (no data that day), nor one of them with x and how often"
            )
        values += [None if value == _NOTHING else int(value)] * (many or 1)
        if len(values) > MAX_DAYS:
            raise ValueError(f"has more than {MAX_DAYS} days")
    if not values:
        raise ValueError("has no day")
    return tuple(values)


Values = Annotated[Any, BeforeValidator(expanded)]


class AccountSeries(Section):
    """One value a closed day. `mau` decides how many days there are and which have no data."""

    mau: Values
    wau: Values | None = None
    dau: Values | None = None
    userdays28: Values | None = None

    @model_validator(mode="after")
    def _are_as_long(self) -> "AccountSeries":
        for name in ("wau", "dau", "userdays28"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.mau):
                raise ValueError(f"{name} has {len(values)} days and mau {len(self.mau)}")
        return self

    @model_validator(mode="after")
    def _can_be(self) -> "AccountSeries":
        """More people in a week than in 30 days would be a history of nobody."""
        for number, mau in enumerate(self.mau):
            most = {"dau": mau, "wau": mau, "userdays28": None if mau is None else mau * MEAN_DAYS}
            for name, limit in most.items():
                value = (getattr(self, name) or {number: None})[number]
                if value is not None and limit is not None and value > limit:
                    raise ValueError(f"{name} of day {number + 1} is {value}: with mau {mau} at most {limit}")
        return self


class AccountUnderTest(Section):
    """The account as facts told of it before the first day."""

    account: Id
    name: Label | None = None
    time_zone: TimeZone = "UTC"
    production_date: Day | None = None
    contract_start: Day | None = None
    churned_at: Instant | None = None
    owner: Label | None = None
    deputy: Label | None = None
    executive: Label | None = None
    manager: Label | None = None
    region: Label | None = None
    segment: Label | None = None
    plan: Label | None = None
    policy: Label | None = None
    telemetry: Literal["full", "pings", "none"] | None = None
    seats: Count | Literal["unlimited"] | None = None
    seats_basis: Literal["purchased", "addressable", "none"] | None = None
    addressable: Count | None = None


class TrialUnderTest(Section):
    """A trial that entered stage 4 on a day in the vendor's zone."""

    opportunity: Id
    account: Id
    stage_4: Day
    complexity: Literal["standard", "complex"] = "standard"
    engineer: Label | None = None
    executive: Label | None = None
    owner: Label | None = None
    region: Label | None = None
    vendor_zone: TimeZone = "UTC"


class Expected(Section):
    """How a rule stands once the day is closed; of a trial, at the end of the day."""

    day: Day
    rule: Slug
    state: State
    since: Day | None = None
    severity: Literal["info", "warning", "critical"] | None = None


class ExpectedNotice(Section):
    """`day` is the day whose close brought it; of a trial, the day in the vendor's zone."""

    day: Day
    rule: Slug
    kind: Kind
    to: Label


class Case(Section):
    """`facts`: events such as producers send, for what changes on the way. `first_used`: features, by day."""

    name: Label
    account: AccountUnderTest | None = None
    trial: TrialUnderTest | None = None
    start: Day
    series: AccountSeries | None = None
    days: int | None = Field(default=None, ge=1, le=MAX_DAYS)
    facts: tuple[dict[str, Any], ...] = ()
    first_used: dict[Day, tuple[Label, ...]] = Field(default_factory=dict)
    expect: tuple[Expected, ...] = ()
    notices: tuple[ExpectedNotice, ...] | None = None

    @property
    def length(self) -> int:
        return len(self.series.mau) if self.series else self.days or 0

    @property
    def last(self) -> date:
        """The last day that is looked at."""
        return self.start + timedelta(days=self.length - 1)

    @model_validator(mode="after")
    def _is_of_our_time(self) -> "Case":
        if not _FIRST_YEAR <= self.start.year <= _LAST_YEAR:
            raise ValueError(f"start must lie between {_FIRST_YEAR} and {_LAST_YEAR}")
        return self

    @model_validator(mode="after")
    def _is_about_one_thing(self) -> "Case":
        if (self.account is None) == (self.trial is None):
            raise ValueError("needs either an account or a trial")
        if self.account is not None and self.series is None:
            raise ValueError("an account needs series: one value a closed day")
        if self.account is not None and self.days is not None:
            raise ValueError("days is for trials: of an account, series.mau says how many there are")
        if self.trial is not None and (self.series is not None or self.days is None):
            raise ValueError("a trial has no series: days says how long the clock runs")
        if not self.expect and self.notices is None:
            raise ValueError("expects nothing: give expect or notices")
        for day in (*(one.day for one in self.expect), *(one.day for one in self.notices or ())):
            if not self.start <= day <= self.last:
                raise ValueError(f"{day} lies outside of {self.start} to {self.last}")
        return self


class RuleTests(Section):
    """`rules`: `shipped`, or a path from the file's own folder; the others are paths likewise."""

    rules: str
    policies: str | None = None
    roster: str | None = None
    tests: tuple[Case, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> "RuleTests":
        names = [case.name for case in self.tests]
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise ValueError(f"two tests are called {double}")
        return self
