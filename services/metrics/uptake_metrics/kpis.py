"""Every KPI of one account on one day: adoption, usage, data health. It counts nobody, stores nothing, reads no clock.

Source: the domain definition, sections "Time", "Usage", "Seats and adoption", "The ladder" and "Telemetry tiers and
silence". All comparisons are between exact fractions; rounding is for the reader only.
"""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Literal

from uptake.messages.kpi import AccountKpis, AdoptionKpi, UsageKpi
from uptake_metrics.accounts import Account
from uptake_metrics.freshness import Heard, data_health, events_are_fresh, judged_at
from uptake_metrics.instances import Told
from uptake_metrics.ladder import NO_STEP, anchor_day, judge, ladder_day
from uptake_metrics.policies import InForce, Policies
from uptake_metrics.seats import Seats, seats
from uptake_metrics.zones import DAY, closes_at, day_start, last_closed_day, local_day

USAGE_DAYS = 28
"""Four whole weeks, so that a weekly rhythm does not make the number flap."""

HEALTHY_ABOVE = Fraction("0.30")
CONCERNING_ABOVE = Fraction("0.20")
RAMPING_DAYS = 30
"""As long as the MAU window still holds days before production."""

AdoptionStatus = Literal["on_target", "off_target", "ramping", "not_started", "unknown"]
_ANCHORS = {"production": "production_date", "contract": "contract_start"}

NOTHING_TOLD = Told()
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Counts:
    """Active users: `dau_30` of the 30 local days that end at as-of, oldest first; `wau` and `mau` at as-of."""

    dau_30: tuple[int, ...]
    wau: int
    mau: int

    def user_days(self, days: int) -> int:
        """The sum of DAU over the last `days`."""
        return sum(self.dau_30[-days:])


NOBODY = Counts((0,) * 30, 0, 0)


@dataclass(frozen=True, slots=True)
class Active:
    """The active people that a day is judged by, and who says so; `reason`: why a count is null.

    `mau_at_most` is not null where several installations sent pings, whose people may be the same or not. `heard` is
    false on the days before the first contact: nobody was counted, and nothing can be concluded from it.
    """

    dau: int | None = None
    wau: int | None = None
    mau: int | None = None
    source: Literal["events", "pings"] | None = None
    reason: str | None = None
    mau_at_most: int | None = None
    registered: int | None = None
    ping_day: date | None = None
    heard: bool = True


def account_kpis(
    account: Account,
    as_of: date,
    counts: Counts | None,
    last_contact: date | None,
    now: datetime,
    revision: int,
    policies: Policies,
    told: Told = NOTHING_TOLD,
) -> AccountKpis:
    """All numbers of the account's local day `as_of`, each null one with its reason.

    `counts` is null when the account never sent an event. `last_contact` is the last local day up to `as_of` on which
    an event of it came, and `told` what its installations and pings said besides.
    """
    account = account.on(as_of)
    partial = now < closes_at(as_of, account.time_zone)
    heard, judged = heard_of(account, last_contact, told), judged_at(as_of, account.time_zone, now)
    active = _active(account, counts, heard, told, judged)
    return AccountKpis(
        account=account.account,
        as_of=as_of,
        time_zone=account.time_zone,
        partial=partial,
        revision=revision,
        data_health=data_health(heard, judged),
        last_contact=heard.newest and local_day(heard.newest, account.time_zone),
        dau=active.dau,
        wau=active.wau,
        mau=active.mau,
        reason=active.reason,
        telemetry=account.telemetry,
        source_of_counts=active.source,
        mau_at_most=active.mau_at_most,
        ping_day=active.ping_day,
        registered=active.registered,
        usage=_usage(account, as_of, counts, active, now),
        adoption=_adoption(account, as_of, active, policies),
    )


def adoption_kpi(
    account: Account,
    as_of: date,
    counts: Counts | None,
    last_contact: date | None,
    now: datetime,
    policies: Policies,
    told: Told = NOTHING_TOLD,
) -> AdoptionKpi:
    """The adoption of `account_kpis` alone, for whoever asks of many days."""
    account = account.on(as_of)
    heard, judged = heard_of(account, last_contact, told), judged_at(as_of, account.time_zone, now)
    return _adoption(account, as_of, _active(account, counts, heard, told, judged), policies)


def rounded(value: Fraction | None) -> float | None:
    """Four decimals, half up, of a ratio that is not negative: the one place where a ratio becomes a float."""
    return None if value is None else math.floor(value * 10_000 + Fraction(1, 2)) / 10_000


def heard_of(account: Account, last_contact: date | None, told: Told) -> Heard:
    """When it was last heard of the account, by each kind of message."""
    event = day_start(last_contact + DAY, account.time_zone) - _INSTANT if last_contact else None
    return Heard(event, told.heartbeat, told.pinged)


def _active(account: Account, counts: Counts | None, heard: Heard, told: Told, judged: datetime) -> Active:
    """Who says how many people were active: counted events, or the ping that tells of the day.

    Source: the domain definition, "Telemetry tiers and silence": events win over pings for the same day. In tier
    `full` they tell of the day as long as one of its window was counted, and win while they are fresh; in tier `pings`
    they tell of it only if one of the day itself was counted. That there was none is a number, 0, only where events
    would have come: in tier `full`, and when something else than a ping was heard.
    """
    tier, ping = account.telemetry, told.ping if account.telemetry != "none" else None
    told_by_events = counts is not None and (counts.mau if tier != "pings" else counts.dau_30[-1])
    if ping is not None and not (told_by_events and events_are_fresh(heard, judged)):
        several = ping.mau_at_most if ping.mau_at_most > ping.mau else None
        return Active(ping.dau, None, ping.mau, "pings", "no_daily_counts", several, ping.registered, ping_day=ping.day)
    if counts and told_by_events:
        return Active(counts.dau_30[-1], counts.wau, counts.mau, "events")
    if tier != "none" and counts and heard.newest is None:
        return Active(0, 0, 0, "events", heard=False)
    if heard.newest is None or tier == "none":
        return Active(reason="no_telemetry")
    if tier == "pings" or not (heard.event or heard.heartbeat):
        return Active(reason="no_recent_ping")
    return Active(0, 0, 0, "events")


def usage_days(account: Account, as_of: date) -> tuple[int, bool]:
    """Over how many days usage is a mean, and whether these are all the days since production."""
    n = (as_of - account.production_date).days if account.production_date else -1
    return (n + 1, True) if 0 <= n < USAGE_DAYS else (USAGE_DAYS, False)


def _usage(account: Account, as_of: date, counts: Counts | None, active: Active, now: datetime) -> UsageKpi:
    """Mean DAU of 28 days, or of the days since production when those are fewer, divided by MAU."""
    days, young = usage_days(account, as_of)
    counts = (counts or NOBODY) if active.source == "events" else None
    num = counts and counts.user_days(days)
    den = counts and days * counts.mau
    closed_days = (min(as_of, last_closed_day(now, account.time_zone)) - as_of).days + days  # of those in the mean
    value = point = flat = None
    reason = None
    if account.telemetry == "none" or active.mau is None or not active.heard:
        reason = active.reason or "no_telemetry"
    elif counts is None or account.telemetry == "pings":
        reason = "no_daily_counts"
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
        provisional=young and closed_days < USAGE_DAYS,
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


def _adoption(account: Account, as_of: date, active: Active, policies: Policies) -> AdoptionKpi:
    """MAU / seats, which may exceed 1, against the step of the ladder that was in force on the day."""
    held, chosen = seats(account, as_of), policies.in_force(account, as_of)
    n = ladder_day(chosen.ladder, account, as_of) if chosen.ladder else None
    step = judge(chosen.ladder, n) if chosen.ladder else NO_STEP
    value, unknown = _ratio(account, as_of, active, held, chosen, step.target)
    on_target = value >= step.target if value is not None and step.target is not None else None
    status, no_step = _standing(chosen, n, value, step.target)
    return AdoptionKpi(
        value=rounded(value),
        num=active.mau,
        den=held.count,
        basis=held.basis,
        target=rounded(step.target),
        on_target=on_target,
        status=status,
        n=n,
        policy=chosen.policy,
        policy_version=chosen.ladder and chosen.ladder.since,
        policy_source=chosen.source,
        anchor=chosen.ladder and anchor_day(chosen.ladder, account),
        pace=rounded(step.pace),
        reason=unknown or no_step,
        next_target=rounded(step.next_target),
        band_end=step.band_end,
    )


def _ratio(
    account: Account, as_of: date, active: Active, held: Seats, chosen: InForce, target: Fraction | None
) -> tuple[Fraction | None, str | None]:
    """Adoption, or why there is none."""
    if chosen.ladder is None:
        return None, "unknown_policy"
    if account.production_date is None or as_of < account.production_date:
        return None, "no_production_date"
    if held.count is None:
        return None, held.reason
    if active.mau is None or account.telemetry == "none" or not active.heard:
        return None, active.reason or "no_telemetry"
    if active.mau_at_most and target and active.mau < target * held.count <= active.mau_at_most:
        return None, "several_installations"  # on target or not, as many of them are the same people
    return Fraction(active.mau, held.count), None


def _standing(
    chosen: InForce, n: int | None, value: Fraction | None, target: Fraction | None
) -> tuple[AdoptionStatus, str | None]:
    """How the account stands on its ladder, and why nothing is due yet."""
    if chosen.ladder and (n is None or n < 0):
        return "not_started", f"no_{_ANCHORS[chosen.ladder.anchor]}"
    no_step = "no_step_yet" if target is None else None
    if value is None:
        return "unknown", None
    if n is None or n < RAMPING_DAYS:
        return "ramping", no_step
    if target is None:
        return "not_started", no_step
    return "on_target" if value >= target else "off_target", None
