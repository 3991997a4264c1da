"""The adoption policies as data: ladders with their versions, and who is judged by which on which day. Judges nobody.

Source: the domain definition, "The ladder (adoption target)": versioned, effective-dated, selectable per segment; a
past day is judged by the policy in force that day. Targets are exact fractions of the seats.
"""

import re
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from uptake.messages.fields import Day, Label, Slug
from uptake.section import Section, refused
from uptake_metrics.accounts import Account

HIGHEST_TARGET = 2
_EVER = date(1970, 1, 1)
_SHARE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(%?)", re.ASCII)


def _exact(value: Any) -> Fraction:
    """What the file says, to the digit: a float is read by its shortest text, since 0.8 is no binary fraction."""
    found = None if isinstance(value, bool) else _SHARE.fullmatch(str(value))
    target = Fraction(found[1]) / (100 if found[2] else 1) if found else None
    if target is None or not 0 < target <= HIGHEST_TARGET:
        raise ValueError(f"must be a share of the seats over 0 and up to {HIGHEST_TARGET}, such as 0.25 or 25 %")
    return target


class Band(Section):
    """The target from day `day` of the ladder on, up to the day before the next band."""

    day: Annotated[int, Field(strict=True, ge=0, le=36_500)]
    target: Annotated[Fraction, BeforeValidator(_exact)]


class _Dated(Section):
    """Holds from the local day `since` on, until the next one of its kind takes its place."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    since: Day = Field(alias="from")


DatedT = TypeVar("DatedT", bound=_Dated)


class Ladder(_Dated):
    """One version of a policy. Day 0 is the day of the anchor; before the first step nothing is due."""

    anchor: Literal["production", "contract"]
    steps: Annotated[tuple[Band, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        days = [step.day for step in self.steps]
        if (place := _first_out_of_order(days)) is not None:
            raise refused("must be after the step before it", "steps", place, "day")
        return self


class Default(_Dated):
    """The policy of those that have none of their own."""

    policy: Slug


def _defaults(value: Any) -> Any:
    """One name stands for all days."""
    return [{"from": _EVER, "policy": value}] if isinstance(value, str) else value


class Assignment(_Dated):
    """The policy of a segment; null gives the segment back to the default."""

    segment: Label
    policy: Slug | None


class InForce(NamedTuple):
    """What an account is judged by on one day: `source` says who chose it. No ladder: nobody knows that policy."""

    policy: str
    source: Literal["account", "segment", "default"]
    ladder: Ladder | None


class Policies(Section):
    """`policies.yml`: every policy by its name, and its versions by the day from which they hold."""

    default: Annotated[tuple[Default, ...], BeforeValidator(_defaults), Field(min_length=1)]
    policies: dict[Slug, Annotated[tuple[Ladder, ...], Field(min_length=1)]]
    segments: tuple[Assignment, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for name, versions in self.policies.items():
            self._require_order([one.since for one in versions], "policies", name)
        self._require_order([one.since for one in self.default], "default")
        for segment in dict.fromkeys(one.segment for one in self.segments):
            places = [place for place, one in enumerate(self.segments) if one.segment == segment]
            wrong = _first_out_of_order([self.segments[place].since for place in places])
            if wrong is not None:
                raise refused("must be after the segment's assignment before it", "segments", places[wrong], "from")
        self._require_known()
        return self

    def _require_order(self, days: list[date], *where: str) -> None:
        if (place := _first_out_of_order(days)) is not None:
            raise refused("must be after the version before it", *where, place, "from")

    def _require_known(self) -> None:
        named = [("default", place, one.policy) for place, one in enumerate(self.default)]
        named += [("segments", place, one.policy) for place, one in enumerate(self.segments) if one.policy]
        for where, place, policy in named:
            if policy not in self.policies:
                raise refused("names a policy that this file does not have", where, place, "policy")

    def in_force(self, account: Account, day: date) -> InForce:
        """By what the account is judged on `day`: its own policy, else its segment's, else the default."""
        stated = account.on(day)
        if stated.policy is not None:
            return InForce(stated.policy, "account", self.ladder(stated.policy, day))
        of_segment = [one for one in self.segments if one.segment == stated.segment and one.since <= day]
        if of_segment and of_segment[-1].policy is not None:
            return InForce(of_segment[-1].policy, "segment", self.ladder(of_segment[-1].policy, day))
        name = _on(self.default, day).policy
        return InForce(name, "default", self.ladder(name, day))

    def dated(self) -> set[tuple[date, str]]:
        """Everything that holds from a day on, with that day."""
        versions = {(one.since, f"{name} {one!r}") for name, found in self.policies.items() for one in found}
        return versions | {(one.since, repr(one)) for one in (*self.default, *self.segments)}

    def ladder(self, policy: str, day: date) -> Ladder | None:
        """The version in force on `day`; null of an unknown policy."""
        versions = self.policies.get(policy)
        return _on(versions, day) if versions else None


def _on(versions: tuple[DatedT, ...], day: date) -> DatedT:
    """The newest that holds on `day`. The first reaches back: nothing that was ever said contradicts it."""
    return next((one for one in reversed(versions) if one.since <= day), versions[0])


def _first_out_of_order(values: Sequence[Any]) -> int | None:
    return next((place for place in range(1, len(values)) if values[place] <= values[place - 1]), None)
