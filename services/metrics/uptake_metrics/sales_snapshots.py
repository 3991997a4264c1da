"""What is published of a trial and of the team's quarter: puts the messages together. Stores and sends none."""

from datetime import date, datetime

from uptake.messages.kpi import TeamKpis, TeamSnapshot, TrialSnapshot, TrialUsage
from uptake_metrics import trials, worklist
from uptake_metrics.accounts import Account
from uptake_metrics.snapshots import Snapshot
from uptake_metrics.tally import Tallied
from uptake_metrics.team import days_of
from uptake_metrics.trials import TrialClock


def of_trial(
    clock: TrialClock, today: date, account: Account, usage: TrialUsage, revision: int, vendor_zone: str, now: datetime
) -> Snapshot:
    """One revision of a trial, kept under the day of its start."""
    told = trials.trial(clock, today)
    message = TrialSnapshot(
        trial=told,
        revision=revision,
        vendor_zone=vendor_zone,
        **trials.limits(clock)._asdict(),
        region=account.region,
        owner=account.owner,
        name=account.name,
        published_at=now,
        usage=usage if told.state == "running" else None,
    )
    return Snapshot(worklist.trial(clock.opportunity), told.started, revision, message.model_dump(mode="json"))


def of_team(kpis: TeamKpis, revision: int, vendor_zone: str, now: datetime) -> Snapshot:
    """One revision of a quarter, kept under its first day."""
    message = TeamSnapshot(team=kpis, revision=revision, vendor_zone=vendor_zone, published_at=now)
    return Snapshot(worklist.TEAM, days_of(kpis.quarter).first, revision, message.model_dump(mode="json"))


def usage_of(tallied: Tallied) -> TrialUsage:
    """What was counted of environment `trial`; an account that never sent anything has no number."""
    counts = tallied.counts
    return TrialUsage(
        as_of=tallied.day,
        dau=counts and counts.dau_30[-1],
        wau=counts and counts.wau,
        mau=counts and counts.mau,
        reason=None if counts else "no_telemetry",
    )
