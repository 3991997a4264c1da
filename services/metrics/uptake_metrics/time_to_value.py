"""How long an account took from its contract to production, to the first user, and to each share of its seats.

It reads no clock and keeps nothing. Source: the domain definition, "Beyond the handbook". Days are local days of the
account, and day 0 is the day from which they are counted. A share counts as reached on the first closed day of
production whose adoption is at least that much: the adoption of the day's KPIs, whoever told the people.
"""

from collections.abc import Callable, Mapping
from datetime import date
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np

from uptake.messages.fields import Day, Message
from uptake.messages.kpi import AdoptionKpi
from uptake_metrics.accounts import Account
from uptake_metrics.instances import PING_DAYS
from uptake_metrics.seats import seats
from uptake_metrics.userdays import I32, I64
from uptake_metrics.zones import DAY, local_day

TARGET_DAYS = 30
"""From the start of the contract to production."""
UNKNOWN = -1
Adoption = Callable[[date], AdoptionKpi]
"""The adoption of a closed day: that of `account_kpis`, the one definition."""
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


def time_to_value(
    account: Account, first_user: date | None, at_most: I64, adoption: Adoption, today: date
) -> TimeToValue:
    """`at_most`: of every closed day from `in_production` on, a number that its MAU is not over; see `at_most`."""
    began, live = account.contract_start, account.production_date

    def milestone(on: date | None, reason: str | None) -> Milestone:
        return Milestone(
            on=on,
            days=(on - began).days if on and began else None,
            days_from_production=(on - live).days if on and live else None,
            reason=reason if on is None else None if began else "no_contract_start",
        )

    quarter, half, most = (milestone(*one) for one in _reached(account, at_most, adoption))
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


def at_most(first: date, counted: I32, pings: Mapping[date, int]) -> I64:
    """Of each day from `first` on the most people that may be meant: those counted, or of a ping that is not too old.

    `counted`: the MAU of each day by events. `pings`: of the day that each tells of.
    """
    most = counted.astype(np.int64)
    for day, mau in pings.items():
        at = (day - first).days
        in_force = most[max(0, at) : max(0, at + PING_DAYS)]
        np.maximum(in_force, mau, out=in_force)
    return most


def _status(began: date | None, live: date | None, today: date) -> Literal["met", "not_met", "running", "unknown"]:
    if began is None:
        return "unknown"
    if ((live or today) - began).days > TARGET_DAYS:
        return "not_met"
    return "met" if live else "running"


def _reached(account: Account, at_most: I64, adoption: Adoption) -> list[tuple[date | None, str | None]]:
    """Of each share the first closed day with at least this adoption, or why there is none.

    Which day that is only `adoption` says; days on which it cannot be are not asked of.
    """
    live = in_production(account)
    if live is None or not len(at_most):
        return [(None, "not_reached" if live else "no_production_date")] * len(_SHARES)
    held, asked = _seats(account, live, live + DAY * len(at_most)), _Asked(adoption, live)
    reached = []
    for share in _SHARES:
        possible = np.flatnonzero((held > 0) & (at_most * share.denominator >= held * share.numerator))
        reached.append(next((at for at in possible.tolist() if asked.ratio(at) >= share), None))
    known = np.flatnonzero((held > 0) & (at_most != UNKNOWN)).tolist()
    why = "not_reached" if any(asked.ratio(at) >= 0 for at in reversed(known)) else asked.of(len(at_most) - 1).reason
    return [(None, why) if at is None else (live + DAY * at, None) for at in reached]


class _Asked:
    """The answers of `adoption` by the number of the day, each asked for once."""

    def __init__(self, adoption: Adoption, first: date) -> None:
        self.of = cache(lambda at: adoption(first + DAY * at))

    def ratio(self, at: int) -> Fraction:
        """-1 while it is unknown."""
        kpi = self.of(at)
        return Fraction(-1) if kpi.value is None or kpi.num is None or not kpi.den else Fraction(kpi.num, kpi.den)


def _seats(account: Account, first: date, end: date) -> I64:
    """[day]: the seats of each day of `[first, end)`; 0 where for want of them, or of telemetry, adoption is unknown.

    Between two days of which something was said they do not change.
    """
    instants = [
        instant
        for said in account.licenses
        for instant in (said.starts_at, said.expires_at, said.occurred_at)
        if instant is not None
    ]
    cuts = {local_day(instant, account.time_zone) for instant in instants}
    cuts |= {stated.since for _, statements in account.history for stated in statements}
    edges = [first, *sorted(day for day in cuts if first < day < end), end]
    held = np.zeros((end - first).days, np.int64)
    for day, following in pairwise(edges):
        if account.on(day).telemetry != "none":
            held[(day - first).days : (following - first).days] = seats(account, day).count or 0
    return held
