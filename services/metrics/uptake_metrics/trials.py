"""The clock of a pre-sales trial: days in stage 4 against a target. It reads no clock of its own and alerts nobody.

Source: the domain definition, "Trials (pre-sales)". All days are calendar days in the vendor's zone; the start day is
day 0.
"""

import calendar
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal, NamedTuple

from uptake.messages.events import OpportunityClosed, OpportunityReopened, OpportunityStageChanged, TrialDecided
from uptake.messages.facts import Fact, FactEvent
from uptake.messages.kpi import Trial
from uptake_metrics.accounts import in_order
from uptake_metrics.past import Dated
from uptake_metrics.zones import DAY, local_day

Complexity = Literal["standard", "complex"]
Reached = Literal["approaching", "breached", "overlong", "policy"]

TARGET_DAYS: dict[Complexity, int] = {"standard": 21, "complex": 30}
APPROACHING_DAYS = 5
OVERLONG_DAYS = 30
POLICY_MONTHS = 3
TRIAL_STAGE = 4


@dataclass(frozen=True, slots=True)
class TrialClock(Dated):
    """What the facts of one opportunity say of its trial."""

    opportunity: str
    account: str = ""
    engineer: str | None = None
    executive: str | None = None
    stage: int = 0
    complexity: Complexity = "standard"
    outcome: Literal["win", "loss", "abandoned"] | None = None
    closed: bool = False
    targets: tuple[tuple[date, Complexity], ...] = ()
    """The complexity in force from each day on; the first of them is the start of the clock."""
    spans: tuple[tuple[date, date | None], ...] = ()
    """The days in stage 4, from and to; an open end while the clock ticks."""
    stopped: date | None = None
    entered: bool = False
    """It was in stage 4 itself, not only beyond."""
    stage_skipped: bool = False


class Limits(NamedTuple):
    """The first day on which each limit is reached, if the trial goes on as it is; null when it will not be."""

    approaching_on: date | None
    breached_on: date | None
    overlong_on: date | None
    policy_on: date | None


def fold(opportunity: str, facts: Iterable[Fact], vendor_zone: str) -> TrialClock | None:
    """The clock after the facts of `opportunity`, in any order and any number of times; null before stage 4."""
    return TrialClock.newest(clock for clock in _states(opportunity, facts, vendor_zone) if clock.targets)


def _states(opportunity: str, facts: Iterable[Fact], vendor_zone: str) -> Iterator[TrialClock]:
    clock = TrialClock(opportunity)
    for fact in in_order(facts):
        day = local_day(fact.occurred_at, vendor_zone)
        clock = replace(_ticked(_heard(clock, fact.event), day), since=day)
        yield clock


def trial(clock: TrialClock, day: date) -> Trial:
    """The trial as it stands on `day`, which is not before its last fact."""
    started, target_days = clock.targets[0][0], TARGET_DAYS[clock.targets[-1][1]]
    cycle_days = sum(max((to or day) - since, timedelta()).days for since, to in clock.spans)
    flags = {
        "paused": clock.stopped is None and clock.stage < TRIAL_STAGE,
        "reclassified": len(clock.targets) > 1,
        "stage_skipped": clock.stage_skipped,
    }
    return Trial(
        opportunity=clock.opportunity,
        account=clock.account,
        complexity=clock.targets[-1][1],
        engineer=clock.engineer,
        executive=clock.executive,
        state="stopped" if clock.stopped else "running",
        started=started,
        stopped=clock.stopped,
        outcome=clock.outcome,
        cycle_days=cycle_days,
        wall_days=max((clock.stopped or day) - started, timedelta()).days,
        target_days=target_days,
        within=cycle_days <= target_days,
        flags=[flag for flag, holds in flags.items() if holds],
    )


def limits(clock: TrialClock) -> Limits:
    """When each limit is or was reached. A stopped trial reaches none; a paused one keeps those it reached before.

    A new target counts from the day it was set, so no limit is reached on an earlier day because of it.
    """
    if clock.stopped:
        return Limits(None, None, None, None)
    target_since, complexity = clock.targets[-1]
    target_days = TARGET_DAYS[complexity]

    def reached(days: int) -> date | None:
        on = _day_of_cycle(clock, days)
        return on and max(on, target_since)

    return Limits(
        approaching_on=reached(target_days - APPROACHING_DAYS),
        breached_on=reached(target_days + 1),
        overlong_on=reached(OVERLONG_DAYS + 1) if complexity == "standard" else None,
        policy_on=_months_after(clock.targets[0][0], POLICY_MONTHS) + DAY,
    )


def reached(clock: TrialClock, day: date) -> list[Reached]:
    """The limits that the running trial has reached by `day`, in the order in which a standard trial reaches them."""
    on = limits(clock)
    names: dict[Reached, date | None] = {
        "approaching": on.approaching_on,
        "breached": on.breached_on,
        "overlong": on.overlong_on,
        "policy": on.policy_on,
    }
    return [name for name, first in names.items() if first is not None and first <= day]


def _heard(clock: TrialClock, event: FactEvent) -> TrialClock:
    """What the event says, before it moves the clock. The newest statement of each attribute holds."""
    match event:
        case OpportunityStageChanged():
            return replace(
                clock,
                account=event.account,
                stage=event.stage,
                complexity=event.complexity or clock.complexity,
                engineer=event.engineer or clock.engineer,
                executive=event.executive or clock.executive,
            )
        case TrialDecided():
            return replace(clock, outcome=event.outcome)
        case OpportunityClosed():
            return replace(clock, closed=True)
        case OpportunityReopened():
            return replace(clock, closed=False)
    return clock


def _ticked(clock: TrialClock, day: date) -> TrialClock:
    """Starts, pauses, resumes or stops the clock on `day`.

    A decision stops it for good; leaving stage 4 forward or closing only until the opportunity comes back.
    """
    if not clock.targets and clock.stage < TRIAL_STAGE:
        return clock
    over = clock.outcome is not None or clock.closed or clock.stage > TRIAL_STAGE
    if over and clock.stopped:
        return clock
    targets = clock.targets
    if not targets or targets[-1][1] != clock.complexity:
        targets += ((day, clock.complexity),)
    entered = clock.entered or clock.stage == TRIAL_STAGE
    return replace(
        clock,
        targets=targets,
        spans=_spans(clock, day, ticking=clock.stage == TRIAL_STAGE and not over),
        stopped=day if over else None,
        entered=entered,
        stage_skipped=over and not entered and clock.outcome is None,
    )


def _spans(clock: TrialClock, day: date, *, ticking: bool) -> tuple[tuple[date, date | None], ...]:
    was_ticking = bool(clock.spans) and clock.spans[-1][1] is None
    if ticking and not was_ticking:
        return (*clock.spans, (day, None))
    if was_ticking and not ticking:
        return (*clock.spans[:-1], (clock.spans[-1][0], day))
    return clock.spans


def _day_of_cycle(clock: TrialClock, days: int) -> date | None:
    """The day on which the clock first shows `days`, at least 1."""
    for since, to in clock.spans:
        on = since + timedelta(days=days)
        if to is None or on <= to:
            return on
        days -= (to - since).days
    return None


def _months_after(day: date, months: int) -> date:
    """The same day of the month `months` later, or the last one of that month."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return day.replace(year=year, month=month, day=min(day.day, calendar.monthrange(year, month)[1]))
