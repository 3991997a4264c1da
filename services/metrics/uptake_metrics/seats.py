"""How many seats an account has on a day, and when they last rose. It reads no clock and judges no adoption.

Source: the domain definition, "Seats and adoption", and for the pause after a rise, "The ladder".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from uptake.messages.events import LicenseIssued, LicenseRevoked
from uptake_metrics.accounts import Account
from uptake_metrics.zones import DAY, day_start, local_day

GRACE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Seats:
    """A count of seats, or null with the reason. It is never 0."""

    count: int | None
    basis: Literal["purchased", "addressable", "none"]
    reason: Literal["no_seats"] | None


@dataclass(frozen=True, slots=True)
class SeatChange:
    """Seats rose by more than 20 % on the local day `on`; adoption alerts pause up to and including `grace_until`."""

    on: date
    before: int
    grace_until: date


def seats(account: Account, day: date) -> Seats:
    """Seats on production licences in force at the end of the account's local `day`.

    A licence that is unlimited has no number of its own, so it counts only on the basis `addressable`; there the
    developers in reach are the seats while any production licence is in force, or when none was ever recorded.
    """
    account = account.on(day)
    held = in_force(account, day)
    count = None
    if account.seats_basis == "addressable":
        if held or not any(_is_production(said) for said in account.licenses):
            count = account.addressable
    elif account.seats_basis == "purchased":
        numbers = [said.seats for said in held if said.seats != "unlimited"]
        count = sum(numbers) if len(numbers) == len(held) else None
    return Seats(count or None, account.seats_basis, None if count else "no_seats")


def rises(account: Account, first: date, last: date) -> list[SeatChange]:
    """Every rise by more than 20 % on a day of `first..last`, against the last number known before; oldest first.

    A first licence is no rise: there was no number before. However long the gap between two terms was, the number
    before it is what counts. Seats change only on days of which something was said, so no other is looked at.
    """
    found = list[SeatChange]()
    changes = _changes(account)
    before = _last_known(account, first, changes)
    for on in (day for day in changes if first <= day <= last):
        count = seats(account, on).count
        if before and count and 5 * count > 6 * before:
            found.append(SeatChange(on, before, on + timedelta(days=GRACE_DAYS)))
        before = count or before
    return found


def last_rise(found: Sequence[SeatChange], day: date) -> SeatChange | None:
    """The last of some rises on a day in `[day - 30, day]`; `found` has all of these days."""
    return next((one for one in reversed(found) if one.on <= day <= one.grace_until), None)


def _changes(account: Account) -> list[date]:
    """The days on which the seats may be others than the day before, ascending."""
    days = {local_day(instant, account.time_zone) for said in account.licenses for instant in _instants(said)}
    days |= {stated.since for _, statements in account.history for stated in statements}
    return sorted(days)


def _last_known(account: Account, first: date, changes: Sequence[date]) -> int | None:
    """The newest number of seats before the day `first`; null when there was none, or when it never changed."""
    before = reversed([day for day in changes if day < first])
    return next((count for on in before if (count := seats(account, on).count)), None)


def _instants(statement: LicenseIssued | LicenseRevoked) -> list[datetime]:
    ends = statement.expires_at if isinstance(statement, LicenseIssued) else None
    return [_starts_at(statement)] if ends is None else [_starts_at(statement), ends]


def in_force(account: Account, day: date) -> list[LicenseIssued]:
    """The production licences in force at the end of the account's local `day`.

    Once one has expired or was revoked, older statements about it do not come back.
    """
    end = day_start(day + DAY, account.time_zone)
    return [
        issued
        for issued in statements(account, day).values()
        if isinstance(issued, LicenseIssued)
        and _is_production(issued)
        and (issued.expires_at is None or issued.expires_at >= end)
    ]


def statements(account: Account, day: date) -> dict[str, LicenseIssued | LicenseRevoked]:
    """What is said of each licence at the last instant of the account's local `day`.

    A newer statement replaces the older ones from its own start on: with the same start it is a correction, with a
    later one a change from then on.
    """
    end = day_start(day + DAY, account.time_zone)
    return {said.license: said for said in account.licenses if _starts_at(said) < end}


def _starts_at(statement: LicenseIssued | LicenseRevoked) -> datetime:
    if isinstance(statement, LicenseRevoked):
        return statement.occurred_at
    return statement.starts_at or statement.occurred_at


def _is_production(statement: LicenseIssued | LicenseRevoked) -> bool:
    return isinstance(statement, LicenseIssued) and statement.environment == "production"
