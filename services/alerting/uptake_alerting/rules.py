"""The shipped rules as data, and what one snapshot says about each. Pure: time is an argument, nothing is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from uptake.messages.alerts import Severity
from uptake.messages.kpi import AccountSnapshot, TrialSnapshot

VerdictKind = Literal["breach", "band", "clear", "nodata", "gone"]
Role = Literal["owner", "deputy", "engineer", "executive", "manager", "director", "operators", "ce_ops"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one sample says. `nodata` freezes the alert, `gone` means that the rule no longer applies to the subject."""

    kind: VerdictKind
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`hold` breaching samples in a row fire, `keep` clear samples in a row resolve; unknown days count for neither.

    `to`: whom it is for. `inhibits`: rules that it explains away for the same account.
    """

    name: str
    subject_kind: Literal["account", "trial", "rule", "episode"]
    severity: Severity
    hold: int
    keep: int
    to: tuple[Role, ...] = ("owner",)
    delivery: Literal["at_once", "working_hours", "digest"] = "working_hours"
    bypass_quiet_hours: bool = False
    inhibits: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


ADOPTION_BELOW_TARGET = Rule("adoption-below-target", "account", "warning", hold=3, keep=3)
TRIAL_BREACHED = Rule("trial-breached", "trial", "warning", hold=1, keep=1, to=("engineer",))
RULES = {rule.name: rule for rule in (ADOPTION_BELOW_TARGET, TRIAL_BREACHED)}


def _meta(name: str, subject_kind: Literal["rule", "episode"]) -> Rule:
    return Rule(
        name,
        subject_kind,
        "critical",
        hold=1,
        keep=1,
        to=("operators",),
        delivery="at_once",
        bypass_quiet_hours=True,
    )


#: About alerting itself, for those who operate it; in no file, so that no edit can lose them.
META_RULES: Mapping[str, Rule] = {
    "mass-breach": _meta("mass-breach", "rule"),
    "alert-undelivered": _meta("alert-undelivered", "episode"),
    "pipeline-down": _meta("pipeline-down", "rule"),
}


def judge_adoption(snapshot: AccountSnapshot) -> Verdict:
    """One closed day against the adoption target. `on_target` is metrics' exact comparison; it is not repeated here."""
    kpis, adoption = snapshot.kpis, snapshot.kpis.adoption
    if _churned(snapshot):
        return Verdict("gone", "churned")
    if kpis.partial:
        return Verdict("nodata", "partial")
    if kpis.data_health != "fresh":
        return Verdict("nodata", "stale" if kpis.data_health == "stale" else "no_telemetry")
    if adoption.status in ("not_started", "ramping"):
        return Verdict("gone", "date_corrected")  # the day of production only ever recedes: here it was moved
    if adoption.status == "unknown" or adoption.on_target is None:
        return Verdict("nodata", adoption.reason or "unknown")
    if snapshot.seat_grace_until is not None and kpis.as_of <= snapshot.seat_grace_until:
        return Verdict("nodata", "seat_grace")
    return Verdict("clear", "on_target") if adoption.on_target else Verdict("breach", "off_target")


def judge_trial(snapshot: TrialSnapshot, now: datetime) -> Verdict:
    """A trial against its limit at `now`: only the clock moves, so no message announces the breach."""
    limit = trial_limit(snapshot)
    if snapshot.trial.state == "stopped":
        return Verdict("clear", "trial_stopped")
    if limit is None:
        return Verdict("nodata", "paused")
    return Verdict("breach", "over_target") if now >= limit else Verdict("gone", "within_target")


def trial_limit(snapshot: TrialSnapshot) -> datetime | None:
    """The instant at which the trial is over its target: the start of that day in the vendor's zone."""
    if snapshot.trial.state == "stopped" or snapshot.breached_on is None:
        return None
    return start_of(snapshot.breached_on, snapshot.vendor_zone)


def start_of(day: date, zone: str) -> datetime:
    """The first instant of a local day, in UTC; where midnight does not exist, the instant after the gap."""
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)


def _churned(snapshot: AccountSnapshot) -> bool:
    """By the end of the day. Compared in UTC: the year 9999, for "never", has no local time east of it."""
    end = start_of(snapshot.kpis.as_of + timedelta(days=1), snapshot.kpis.time_zone)
    return snapshot.churned_at is not None and snapshot.churned_at < end
