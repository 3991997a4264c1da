"""What one snapshot says about one rule: breach, band, clear, nodata or gone, with the reason. Pure.

Source: the domain definition, "Shipped alert rules", and the design of alerting, "Condition: a pure fold".
"""

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from uptake.messages.alerts import Severity
from uptake.messages.kpi import AccountDay, AdoptionKpi, TeamSnapshot
from uptake_alerting.conditions import SubjectKind, Unknown
from uptake_alerting.rules import AppliesTo, Rule
from uptake_alerting.wall import start_of

VerdictKind = Literal["breach", "band", "clear", "nodata", "gone"]


class Verdict(NamedTuple):
    """What one sample says. `nodata` freezes the alert, `gone` means that the rule no longer applies to the subject.

    `severity`: how bad a breach is.
    """

    kind: VerdictKind
    reason: str
    severity: Severity | None = None


def judge(rule: Rule, snapshot: AccountDay) -> Verdict:
    """One closed day of an account."""
    return _out_of_scope(rule.applies_to, snapshot) or _by_condition(rule, snapshot, "account")


def judge_team(rule: Rule, snapshot: TeamSnapshot) -> Verdict:
    return _by_condition(rule, snapshot, "team")


def has_churned(churned_at: datetime | None, snapshot: AccountDay) -> bool:
    """By the end of the day. Compared in UTC: the year 9999, for "never", has no local time east of it."""
    if churned_at is None:
        return False
    return churned_at < start_of(snapshot.kpis.as_of + timedelta(days=1), snapshot.kpis.time_zone)


def _out_of_scope(applies_to: AppliesTo, snapshot: AccountDay) -> Verdict | None:
    kpis, day = snapshot.kpis, snapshot.kpis.as_of
    if snapshot.churned_at is not None and has_churned(snapshot.churned_at, snapshot):
        return Verdict("gone", "churned")
    if not _is_meant(applies_to, snapshot):
        return Verdict("gone", "out_of_scope")
    if kpis.partial:
        return Verdict("nodata", "partial")
    if applies_to.fresh and kpis.data_health != "fresh":
        return Verdict("nodata", "stale" if kpis.data_health == "stale" else "no_telemetry")
    if applies_to.from_day is not None and _is_before(applies_to.from_day, kpis.adoption):
        return Verdict("gone", "date_corrected")  # the day on the ladder only ever rises: here its anchor was moved
    grace = snapshot.seat_grace_until
    if applies_to.outside_seat_grace and grace is not None and day <= grace:
        return Verdict("nodata", "seat_grace")
    return None


def _is_before(from_day: int, adoption: AdoptionKpi) -> bool:
    return adoption.status in ("not_started", "ramping") or (adoption.n is not None and adoption.n < from_day)


def _is_meant(applies_to: AppliesTo, snapshot: AccountDay) -> bool:
    return (
        (not applies_to.segments or snapshot.segment in applies_to.segments)
        and (not applies_to.regions or snapshot.region in applies_to.regions)
        and (not applies_to.plans or snapshot.plan in applies_to.plans)
    )


def _by_condition(rule: Rule, snapshot: AccountDay | TeamSnapshot, kind: SubjectKind) -> Verdict:
    assert rule.when is not None  # noqa: S101  # built-in rules are never judged
    fires = rule.when.test(snapshot, kind)
    if isinstance(fires, Unknown):
        return Verdict("nodata", fires.reason)
    if fires:
        return Verdict("breach", rule.when.is_ or "firing", _severity(rule, snapshot, kind))
    if rule.clear is None:
        return Verdict("clear", "cleared")
    clears = rule.clear.test(snapshot, kind)
    if isinstance(clears, Unknown):
        return Verdict("nodata", clears.reason)
    return Verdict("clear", rule.clear.is_ or "cleared") if clears else Verdict("band", "between")


def _severity(rule: Rule, snapshot: AccountDay | TeamSnapshot, kind: SubjectKind) -> Severity:
    return next((step.severity for step in rule.severity_when if step.when.test(snapshot, kind) is True), rule.severity)
