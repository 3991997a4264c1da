"""Complete KPI snapshots: what metrics publishes when a day closes or a closed day changes. Alerting asks nobody.

The KPI classes are also the JSON answers of metrics, so that a number has one shape everywhere.
A null number always has a reason.
"""

from typing import Literal

from pydantic import Field

from uptake.messages.fields import Day, Instant, Message, TimeZone

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
    """adoption(D) = MAU(D) / seats(D), judged by the step of the ladder that day `n` after the anchor stands on.

    `policy_version`: the day from which the version of the policy holds that judged this day. `policy_source`: whether
    the account's own statement, its segment or the default chose the policy. `reason` also says why there is no target.
    """

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
    policy_version: Day | None = None
    policy_source: Literal["account", "segment", "default"] | None = None
    anchor: Day | None = None


class AccountKpis(Message):
    """`GET /api/v1/accounts/{account}/kpis`.

    `source_of_counts`: counted events, or the ping of `ping_day`, which alone tells `registered`; null: nobody says.
    `mau_at_most` is not null where pings of several installations bound MAU and do not tell it: `mau` is the least.
    """

    account: str
    as_of: Day
    time_zone: TimeZone
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
    telemetry: Literal["full", "pings", "none"] | None = None
    source_of_counts: Literal["events", "pings"] | None = None
    mau_at_most: int | None = None
    ping_day: Day | None = None
    registered: int | None = None


class RatioKpi(Message):
    """`num` / `den` exactly, and rounded to four decimals. A null value says why in `reason`."""

    value: float | None
    num: int | None
    den: int | None
    reason: str | None


class UseCaseKpi(Message):
    """saturation(D) = MAU of the use case / MAU(D), both in the 30 local days that end at D."""

    use_case: str
    mau: int | None
    saturation: RatioKpi


class BreadthKpi(Message):
    """How many of `of` use cases had an active user in the 30 local days, and how many an active user has on average.

    `per_user`: pairs of active user and use case / MAU.
    """

    used: int | None
    of: int
    per_user: RatioKpi


class AccountDay(Message):
    """One closed day of one account, without what it did by use case: all that an alert is about.

    One change often revises many days. They are published oldest first as parts `part` of `parts`: what is between the
    first and the last is neither the old truth nor the new one, so a reader judges at the last.
    `closed_at`: the instant at which the day closed. `features_first_used`: those that the account had never used
    before this day, by name; `more_features` counts those for which a message has no room. `import_id`: the import
    that made this revision, if one did. `facts_to`: the sequence in FACTS up to which facts were known.
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
    import_id: str | None = None
    facts_to: int | None = None
    kpis: AccountKpis
    features_first_used: list[str] = Field(default_factory=list)
    more_features: int = 0


class AccountSnapshot(AccountDay):
    """One closed day of one account. Subject: `kpi.account.v1.<token of the account>`.

    `use_cases` and `breadth` are by the taxonomy in force when the day was published.
    """

    use_cases: list[UseCaseKpi] = Field(default_factory=list)
    breadth: BreadthKpi | None = None


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


class TrialUsage(Message):
    """How many people of the account were active in environment `trial`, on its local day `as_of` and before."""

    as_of: Day
    dau: int | None
    wau: int | None
    mau: int | None
    reason: str | None


class TrialSnapshot(Message):
    """One trial whenever a fact moved it, and each day while it runs. Subject: `kpi.trial.v1.<token of opportunity>`.

    The four days say when each limit was or will be reached if the trial keeps running, so that a clock alone can
    tell; null when it will not be: while the clock stands still, and once the trial has stopped. `usage` is of the
    account's last closed day; null once the trial has stopped.
    """

    trial: Trial
    revision: int
    vendor_zone: TimeZone
    approaching_on: Day | None
    breached_on: Day | None
    overlong_on: Day | None
    policy_on: Day | None
    region: str | None
    owner: str | None
    name: str | None
    published_at: Instant
    usage: TrialUsage | None = None


class TrialsKpi(Message):
    """The trials of one complexity that stopped in the quarter, judged by their last complexity.

    `share` = `within` / `n`. The median of an even number lies halfway between the middle two; `p90_days` is by
    nearest rank: the smallest number of days that at least 90 % of the trials did not exceed. Trials that skipped
    stage 4 are in `n`, but not in these two.
    """

    n: int
    within: int
    share: float | None
    met: bool | None
    median_days: float | None
    p90_days: int | None
    reason: Literal["no_trials_stopped", "all_skipped_stage_4"] | None


class ClosureKpi(Message):
    """`num` technical wins of `den` opportunities that entered stage 4 and concluded in the quarter."""

    num: int
    den: int
    value: float | None
    target: float
    met: bool | None
    reason: Literal["none_concluded"] | None


class NewAcvKpi(Message):
    """What was won in the quarter. `cents` adds what recurs more a year, `net_cents` takes off what recurs less.

    Of a deal that an earlier quarter already told of and that was reopened since, the quarter tells the difference, so
    that quarters add up. A null says why in `reason`: amounts of several currencies are never added, and an amount that
    one deal does not tell is not taken for 0. `customers` are accounts with new business that had won nothing before
    the quarter; a product is sold once in each deal that names it.
    """

    currency: str | None
    cents: int | None
    net_cents: int | None
    customers: int
    opportunities: int
    products: int
    reason: Literal["nothing_won", "mixed_currencies", "incomplete_deals"] | None


class TeamKpis(Message):
    """`GET /api/v1/team`: by days in the vendor's zone, from the facts that are dated until the end of the quarter."""

    quarter: str
    standard: TrialsKpi
    complex: TrialsKpi
    closure: ClosureKpi
    new_acv: NewAcvKpi


class TeamSnapshot(Message):
    """The running quarter, to date, whenever a fact or the turn of the quarter moved it. Subject: `kpi.team.v1`."""

    team: TeamKpis
    revision: int
    vendor_zone: TimeZone
    published_at: Instant


class InstanceSnapshot(Message):
    """An installation that no fact maps to an account, and once more when one does. Subject: `kpi.instance.v1.<token>`.

    `account` is null until then. `since`: when the first thing came of it that waits for an account, so that a clock
    alone can tell for how long.
    """

    instance: str
    account: str | None
    since: Instant
    revision: int
    published_at: Instant
