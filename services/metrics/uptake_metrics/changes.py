"""What changed between two days of an account, and what moved it. It counts nobody and judges nothing.

Source: the definitions of the numbers that it compares. Of people it says who entered and who left the 30-day window:
mau(to) = mau(from) + entered - left, for these are the differences of the two windows as sets.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from uptake.messages.events import LicenseIssued
from uptake.messages.fields import Message
from uptake.messages.kpi import AccountKpis, AdoptionKpi, UsageKpi
from uptake_metrics.differences import Difference, differences
from uptake_metrics.evidence import Correction, Evidence


class People(Message):
    """Who is counted in the MAU of the one day and not of the other. The lists are null where they are not given."""

    entered: int
    left: int
    entered_users: list[str] | None
    left_users: list[str] | None


class LicenseChange(Message):
    """A production licence that was in force on one of the two days, and not so on the other. `fact` said the newer."""

    license: str
    before: int | Literal["unlimited"] | None
    after: int | Literal["unlimited"] | None
    fact: Evidence | None


class Changes(Message):
    """`GET /api/v1/accounts/{account}/changes`.

    `people` is null where the numbers do not come from counted people. `moved`: every field of the numbers that is
    different. `corrections`: dates that facts moved after the first day was published and before the second was.
    """

    account: str
    lines: list[str]
    people: People | None
    licenses: list[LicenseChange]
    corrections: list[Correction]
    moved: list[Difference]
    before: AccountKpis
    after: AccountKpis


_NOT_THE_DAYS = {"as_of", "revision"}


def changes(
    before: AccountKpis,
    after: AccountKpis,
    people: People | None,
    licenses: list[LicenseChange],
    corrections: list[Correction],
) -> Changes:
    """All that is different, and a sentence for each part of it."""
    moved = [
        one
        for one in differences(before.model_dump(mode="json"), after.model_dump(mode="json"))
        if one.field not in _NOT_THE_DAYS
    ]
    lines = [*_lines(before, after, people), *map(_of_license, licenses), *map(_of_correction, corrections)]
    return Changes(
        account=after.account,
        lines=lines or ["nothing changed"],
        people=people,
        licenses=licenses,
        corrections=corrections,
        moved=moved,
        before=before,
        after=after,
    )


def license_changes(
    before: Iterable[LicenseIssued], after: Iterable[LicenseIssued]
) -> list[tuple[str, LicenseIssued | None, LicenseIssued | None]]:
    """Licences by name whose seats on the two days are not the same."""
    was, now = {one.license: one for one in before}, {one.license: one for one in after}
    pairs = ((name, was.get(name), now.get(name)) for name in sorted({**was, **now}))
    return [(name, old, new) for name, old, new in pairs if (old and old.seats) != (new and new.seats)]


def _lines(before: AccountKpis, after: AccountKpis, people: People | None) -> Iterator[str]:
    if people is not None and (people.entered or people.left):
        yield f"{_number(people.entered, 'user')} entered, {people.left} left: MAU {_mau(before)} -> {_mau(after)}"
    elif before.mau != after.mau:
        yield f"MAU {_mau(before)} -> {_mau(after)}"
    yield from _of_adoption(before.adoption, after.adoption)
    yield from _of_usage(before.usage, after.usage)
    if before.data_health != after.data_health:
        yield f"data {before.data_health} -> {after.data_health}, last contact {after.last_contact or 'never'}"
    if before.time_zone != after.time_zone:
        yield f"time zone {before.time_zone} -> {after.time_zone}"


def _of_adoption(before: AdoptionKpi, after: AdoptionKpi) -> Iterator[str]:
    if before.den != after.den:
        yield f"seats {_or_why(before.den, 'no_seats')} -> {_or_why(after.den, 'no_seats')}"
    if before.basis != after.basis:
        yield f"seats are counted as {after.basis}, before as {before.basis}"
    if before.policy != after.policy:
        yield f"policy {before.policy} -> {after.policy}"
    if before.target != after.target:
        on = "" if after.n is None else f" on day {after.n}"
        yield f"target {_target(before)} -> {_target(after)}{on} of {after.policy}"
    if before.status != after.status:
        yield f"adoption {_ratio(before)} -> {_ratio(after)}"


def _of_usage(before: UsageKpi, after: UsageKpi) -> Iterator[str]:
    if (before.num, before.den, before.status) != (after.num, after.den, after.status):
        yield f"usage {_ratio(before)} -> {_ratio(after)}"


def _mau(kpis: AccountKpis) -> str:
    return _or_why(kpis.mau, kpis.reason)


def _target(adoption: AdoptionKpi) -> str:
    return "none" if adoption.target is None else str(adoption.target)


def _ratio(kpi: UsageKpi | AdoptionKpi) -> str:
    exact = kpi.reason or "unknown" if kpi.value is None else f"{kpi.num}/{kpi.den}"
    return f"{exact} ({kpi.status})"


def _of_license(change: LicenseChange) -> str:
    said = f", said by {_by(change.fact)}" if change.fact else ""
    return f"licence {change.license}: {_shown(change.before)} -> {_shown(change.after)} seats{said}"


def _of_correction(one: Correction) -> str:
    return f"{one.field} {_shown(one.before)} -> {_shown(one.after)}, said by {_by(one.fact)}"


def _by(fact: Evidence) -> str:
    return f"{fact.id} of {fact.source} ({fact.occurred_at:%Y-%m-%d})"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _or_why(value: int | None, reason: str | None) -> str:
    return f"unknown ({reason})" if value is None else str(value)


def _shown(value: object) -> str:
    """Of a licence or a date: there is none."""
    return "none" if value is None else str(value)
