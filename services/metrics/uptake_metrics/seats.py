"""How many seats an account has on a day, and when they last rose. It reads no clock and judges no adoption.

Source: the domain definition, "Seats and adoption", and for the pause after a rise, "The ladder".
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from uptake.messages.events import LicenseIssued, LicenseRevoked
from uptake_metrics.accounts import Account
from uptake_metrics.zones import DAY, day_start

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
    in_force = _in_force(account, day_start(day + DAY, account.time_zone))
    count = None
    if account.seats_basis == "addressable":
        if in_force or not any(_is_production(said) for said in account.licenses):
            count = account.addressable
    elif account.seats_basis == "purchased":
        numbers = [said.seats for said in in_force if said.seats != "unlimited"]
        count = sum(numbers) if len(numbers) == len(in_force) else None
    return Seats(count or None, account.seats_basis, None if count else "no_seats")


def change(account: Account, day: date) -> SeatChange | None:
    """The last rise by more than 20 % on a day in `[day - 30, day]`, against the last number known before that day.

    A first licence is no rise: there was no number before.
    """
    found = None
    before = seats(account, day - timedelta(days=GRACE_DAYS + 1)).count
    for back in range(GRACE_DAYS, -1, -1):
        on = day - timedelta(days=back)
        count = seats(account, on).count
        if before and count and 5 * count > 6 * before:
            found = SeatChange(on, before, on + timedelta(days=GRACE_DAYS))
        before = count or before
    return found


def _in_force(account: Account, end: datetime) -> list[LicenseIssued]:
    """What is said of each production licence at the last instant before `end`.

    A newer statement replaces the older ones from its own start on: with the same start it is a correction, with a
    later one a change from then on. Once it has expired or was revoked, older statements do not come back.
    """
    said: dict[str, LicenseIssued | LicenseRevoked] = {}
    for statement in account.licenses:
        if _starts_at(statement) < end:
            said[statement.license] = statement
    return [
        issued
        for issued in said.values()
        if isinstance(issued, LicenseIssued)
        and _is_production(issued)
        and (issued.expires_at is None or issued.expires_at >= end)
    ]


def _starts_at(statement: LicenseIssued | LicenseRevoked) -> datetime:
    if isinstance(statement, LicenseRevoked):
        return statement.occurred_at
    return statement.starts_at or statement.occurred_at


def _is_production(statement: LicenseIssued | LicenseRevoked) -> bool:
    return isinstance(statement, LicenseIssued) and statement.environment == "production"
