"""How long an account took from its contract to production, to the first user, and to each share of its seats.

It reads no clock and keeps nothing. Source: the domain definition, "Beyond the handbook". Days are local days of the
account, and day 0 is the day from which they are counted. An adoption counts as reached on the first closed day of
production on which MAU / seats is at least the share, both as they are told for that day.
"""

from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Literal

import numpy as np

from uptake.messages.fields import Day, Message
from uptake_metrics.accounts import Account
from uptake_metrics.seats import seats
from uptake_metrics.userdays import I32
from uptake_metrics.zones import DAY, local_day

TARGET_DAYS = 30
"""From the start of the contract to production."""
UNKNOWN = -1
_FIRST_DAY = date(1970, 3, 1)  # of which the whole window is counted
_SHARES = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))


class Milestone(Message):
    """The day of it, and how many days that is after the contract began and after production; negative when before.

    `reason`: why it has no day, else why it has no `days`.
    """

    on: Day | None
    days: int | None
    days_from_production: int | None
    reason: str | None


class TimeToValue(Message):
    """`GET /api/v1/accounts/{account}/time-to-value`, on the account's own today.

    `status` judges production: within `target_days` of the contract `met`, later or still missing then `not_met`.
    """

    account: str
    as_of: Day
    contract_start: Day | None
    target_days: int
    status: Literal["met", "not_met", "running", "unknown"]
    production: Milestone
    first_user: Milestone
    adoption_25: Milestone
    adoption_50: Milestone
    adoption_75: Milestone


def time_to_value(account: Account, first_user: date | None, mau: I32, today: date) -> TimeToValue:
    """`mau`: of every closed day from `in_production` on, `UNKNOWN` where nobody tells it."""
    began, live = account.contract_start, account.production_date

    def milestone(on: date | None, reason: str | None) -> Milestone:
        return Milestone(
            on=on,
            days=(on - began).days if on and began else None,
            days_from_production=(on - live).days if on and live else None,
            reason=reason if on is None else None if began else "no_contract_start",
        )

    quarter, half, most = (milestone(*_reached(account, mau, share)) for share in _SHARES)
    return TimeToValue(
        account=account.account,
        as_of=today,
        contract_start=began,
        target_days=TARGET_DAYS,
        status=_status(began, live, today),
        production=milestone(live, "no_production_date"),
        first_user=milestone(first_user, "no_active_user"),
        adoption_25=quarter,
        adoption_50=half,
        adoption_75=most,
    )


def in_production(account: Account) -> date | None:
    """The first day that can reach anything: adoption is told from production on."""
    return max(account.production_date, _FIRST_DAY) if account.production_date else None


def _status(began: date | None, live: date | None, today: date) -> Literal["met", "not_met", "running", "unknown"]:
    if began is None:
        return "unknown"
    if ((live or today) - began).days > TARGET_DAYS:
        return "not_met"
    return "met" if live else "running"


def _reached(account: Account, mau: I32, share: Fraction) -> tuple[date | None, str | None]:
    """The first closed day with at least this adoption, or why there is none."""
    live = in_production(account)
    if live is None:
        return None, "no_production_date"
    reason = "no_seats"
    for first, end, count in _seats(account, live, live + DAY * len(mau)):
        days = mau[(first - live).days : (end - live).days]
        if count is None:
            continue
        if account.on(first).telemetry == "none" or not (days != UNKNOWN).any():
            reason = "no_telemetry" if reason == "no_seats" else reason
            continue
        reason = "not_reached"
        there = np.flatnonzero(days * share.denominator >= count * share.numerator)
        if len(there):
            return first + DAY * int(there[0]), None
    return None, reason if len(mau) else "not_reached"


def _seats(account: Account, first: date, end: date) -> Iterator[tuple[date, date, int | None]]:
    """Spans `[from, to)` of days with one number of seats each: no statement begins or ends anything within."""
    instants = [
        instant
        for said in account.licenses
        for instant in (said.starts_at, said.expires_at, said.occurred_at)
        if instant is not None
    ]
    cuts = {local_day(instant, account.time_zone) for instant in instants}
    cuts |= {stated.since for _, statements in account.history for stated in statements}
    edges = [first, *sorted(day for day in cuts if first < day < end), end]
    for day, following in pairwise(edges):
        yield day, following, seats(account, day).count
