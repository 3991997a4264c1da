"""Complete KPI snapshots: what metrics publishes when a day closes or a closed day changes. Alerting asks nobody.

The KPI classes are also the JSON answers of metrics, so that a number has one shape everywhere.
A null number always has a reason.
"""

from typing import Literal

from uptake.messages.fields import Day, Instant, Message

DataHealth = Literal["fresh", "stale", "none"]


class UsageKpi(Message):
    """usage(D) = mean DAU over the last 28 days / MAU(D). `num` = user-days, `den` = days x MAU."""

    value: float | None
    num: int | None
    den: int | None
    status: Literal["healthy", "concerning", "poor", "unknown"]
    provisional: bool
    reason: str | None
    dau_mau_point: float | None
    usage_30_30: float | None


class AdoptionKpi(Message):
    """adoption(D) = MAU(D) / seats(D), judged by the step of the ladder that day `n` after the anchor stands on."""

    value: float | None
    num: int | None
    den: int | None
    basis: Literal["purchased", "addressable", "none"]
    target: float | None
    on_target: bool | None
    status: Literal["on_target", "off_target", "ramping", "not_started", "unknown"]
    n: int | None
    policy: str
    pace: float | None
    reason: str | None
    next_target: float | None = None
    band_end: int | None = None


class AccountKpis(Message):
    """`GET /api/v1/accounts/{account}/kpis`."""

    account: str
    as_of: Day
    time_zone: str
    partial: bool
    revision: int
    data_health: DataHealth
    last_contact: Day | None
    dau: int | None
    wau: int | None
    mau: int | None
    reason: str | None
    usage: UsageKpi
    adoption: AdoptionKpi


class AccountSnapshot(Message):
    """One closed day of one account. Subject: `kpi.account.v1.<token of the account>`.

    One change often revises many days. They are published oldest first as parts `part` of `parts`: what is between the
    first and the last is neither the old truth nor the new one, so a reader judges at the last.
    `closed_at`: the instant at which the day closed.
    """

    account: str
    name: str | None
    region: str | None
    segment: str | None
    plan: str | None
    owner: str | None
    deputy: str | None
    executive: str | None
    manager: str | None
    churned_at: Instant | None
    production_date: Day | None
    contract_start: Day | None
    seats_changed_on: Day | None
    seats_before: int | None
    seat_grace_until: Day | None
    published_at: Instant
    closed_at: Instant | None = None
    part: int = 1
    parts: int = 1
    kpis: AccountKpis


class Trial(Message):
    """`GET /api/v1/trials`: one trial on its clock. Days are days in the vendor's zone; the start day is day 0.

    A running trial that went back to stage 3 or before carries the flag `paused`.
    """

    opportunity: str
    account: str
    complexity: Literal["standard", "complex"]
    engineer: str | None
    executive: str | None = None
    state: Literal["running", "stopped"]
    started: Day
    stopped: Day | None
    outcome: Literal["win", "loss", "abandoned"] | None
    cycle_days: int
    wall_days: int
    target_days: int
    within: bool
    flags: list[str]


class TrialSnapshot(Message):
    """One trial whenever a fact moved it. Subject: `kpi.trial.v1.<token of the opportunity>`.

    The four days say when each limit was or will be reached if the trial keeps running, so that a clock alone can
    tell; null when it will not be: while the clock stands still, and once the trial has stopped.
    """

    trial: Trial
    revision: int
    vendor_zone: str
    approaching_on: Day | None
    breached_on: Day | None
    overlong_on: Day | None
    policy_on: Day | None
    region: str | None
    owner: str | None
    name: str | None
    published_at: Instant
