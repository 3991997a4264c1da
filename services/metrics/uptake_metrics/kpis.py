"""Every KPI of one account on one day: adoption, usage, data health. It counts nobody, stores nothing, reads no clock.

Source: the domain definition, sections "Time", "Usage", "Seats and adoption", "The ladder" and "Telemetry tiers and
silence". All comparisons are between exact fractions; rounding is for the reader only.
"""

import math
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Literal

from uptake.messages.kpi import AccountKpis, AdoptionKpi, DataHealth, UsageKpi
from uptake_metrics.accounts import Account
from uptake_metrics.ladder import NO_STEP, POLICIES, judge, ladder_day
from uptake_metrics.seats import seats
from uptake_metrics.zones import DAY, closes_at, last_closed_day

USAGE_DAYS = 28
"""Four whole weeks, so that a weekly rhythm does not make the number flap."""

HEALTHY_ABOVE = Fraction("0.30")
CONCERNING_ABOVE = Fraction("0.20")
RAMPING_DAYS = 30
"""As long as the MAU window still holds days before production."""

STALE_AFTER_DAYS = 5
"""For accounts that send user events only: a work tool is quiet every weekend."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Active users: `dau_30` of the 30 local days that end at as-of, oldest first; `wau` and `mau` at as-of."""

    dau_30: tuple[int, ...]
    wau: int
    mau: int

    def user_days(self, days: int) -> int:
        """The sum of DAU over the last `days`."""
        return sum(self.dau_30[-days:])


def account_kpis(
    account: Account, as_of: date, counts: Counts | None, last_contact: date | None, now: datetime, revision: int
) -> AccountKpis:
    """All numbers of the account's local day `as_of`, each null one with its reason.

    `counts` is null when the account never sent anything. `last_contact` is the last local day up to `as_of` on which
    anything was heard of it.
    """
    partial = now < closes_at(as_of, account.time_zone)
    heard = counts is not None and (counts.mau > 0 or last_contact is not None)
    return AccountKpis(
        account=account.account,
        as_of=as_of,
        time_zone=account.time_zone,
        partial=partial,
        revision=revision,
        data_health=_data_health(as_of, last_contact, partial),
        last_contact=last_contact,
        dau=counts and counts.dau_30[-1],
        wau=counts and counts.wau,
        mau=counts and counts.mau,
        reason=None if counts else "no_telemetry",
        usage=_usage(account, as_of, counts, heard, now),
        adoption=_adoption(account, as_of, counts, heard),
    )


def rounded(value: Fraction | None) -> float | None:
    """Four decimals, half up, of a ratio that is not negative: the one place where a ratio becomes a float."""
    return None if value is None else math.floor(value * 10_000 + Fraction(1, 2)) / 10_000


def _data_health(as_of: date, last_contact: date | None, partial: bool) -> DataHealth:
    """Stale: more than five times 24 hours had passed at the end of the last whole day.

    Days are exact here: a contact on day c is more than five days before the end of day D just when D - c >= 5.
    """
    if last_contact is None:
        return "none"
    whole = as_of - DAY if partial else as_of
    return "stale" if (whole - last_contact).days >= STALE_AFTER_DAYS else "fresh"


def _usage(account: Account, as_of: date, counts: Counts | None, heard: bool, now: datetime) -> UsageKpi:
    """Mean DAU of 28 days, or of the days since production when those are fewer, divided by MAU."""
    n = (as_of - account.production_date).days if account.production_date else -1
    days = n + 1 if 0 <= n < USAGE_DAYS else USAGE_DAYS
    num = counts and counts.user_days(days)
    den = counts and days * counts.mau
    closed_days = (min(as_of, last_closed_day(now, account.time_zone)) - as_of).days + days  # of those in the mean
    value = point = flat = None
    reason = None
    if not counts or not heard or account.telemetry != "full":
        reason = "no_telemetry"
    elif closed_days <= 0:
        reason = "no_closed_day"
    elif not counts.mau:
        reason = "no_active_users"
    else:
        value = Fraction(counts.user_days(days), days * counts.mau)
        point = Fraction(counts.dau_30[-1], counts.mau)
        flat = Fraction(counts.user_days(30), 30 * counts.mau)
    return UsageKpi(
        value=rounded(value),
        num=num,
        den=den,
        status=_habit(value),
        provisional=0 <= n < USAGE_DAYS and closed_days < USAGE_DAYS,
        reason=reason,
        dau_mau_point=rounded(point),
        usage_30_30=rounded(flat),
    )


def _habit(usage: Fraction | None) -> Literal["healthy", "concerning", "poor", "unknown"]:
    if usage is None:
        return "unknown"
    if usage > HEALTHY_ABOVE:
        return "healthy"
    return "concerning" if usage > CONCERNING_ABOVE else "poor"


def _adoption(account: Account, as_of: date, counts: Counts | None, heard: bool) -> AdoptionKpi:
    """MAU / seats, which may exceed 1, against the step of the account's ladder."""
    held = seats(account, as_of)
    policy = POLICIES.get(account.policy)
    n = ladder_day(policy, account, as_of) if policy else None
    step = judge(policy, n) if policy else NO_STEP
    value = on_target = reason = None
    status: Literal["on_target", "off_target", "ramping", "not_started", "unknown"] = "unknown"
    if policy is None:
        reason = "unknown_policy"
    elif n is None or step.target is None:
        status, reason = "not_started", "no_production_date"
    elif held.count is None:
        reason = held.reason
    elif not counts or not heard or account.telemetry == "none":
        reason = "no_telemetry"
    else:
        value = Fraction(counts.mau, held.count)
        on_target = value >= step.target
        status = "ramping" if n < RAMPING_DAYS else "on_target" if on_target else "off_target"
    return AdoptionKpi(
        value=rounded(value),
        num=counts and counts.mau,
        den=held.count,
        basis=held.basis,
        target=rounded(step.target),
        on_target=on_target,
        status=status,
        n=n,
        policy=account.policy,
        pace=rounded(step.pace),
        reason=reason,
        next_target=rounded(step.next_target),
        band_end=step.band_end,
    )
