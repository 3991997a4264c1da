"""The numbers of the team in one quarter: trials against their targets, technical closure, New ACV. No clock, no I/O.

Source: the domain definition, "Trials (pre-sales)". A quarter is named as in `2026Q3`, by days in the vendor's zone.
All comparisons are between exact fractions; rounding is for the reader only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Literal

from uptake.messages.fields import Message
from uptake.messages.kpi import Trial
from uptake_metrics.deals import Deal, annual_change_cents
from uptake_metrics.kpis import rounded
from uptake_metrics.trials import TrialClock, trial

MAJORITY = Fraction(1, 2)
"""The share of standard trials within their target has to be above it; of complex ones it has to be all."""

CLOSURE_TARGET = Fraction("0.80")


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

    A null says why in `reason`: amounts of several currencies are never added, and an amount that one won deal does
    not tell is not taken for 0. `customers` are accounts with new business that had won nothing before the quarter;
    a product is sold once in each deal that names it.
    """

    currency: str | None
    cents: int | None
    net_cents: int | None
    customers: int
    opportunities: int
    products: int
    reason: Literal["nothing_won", "mixed_currencies", "incomplete_deals"] | None


class TeamKpis(Message):
    """`GET /api/v1/team`."""

    quarter: str
    standard: TrialsKpi
    complex: TrialsKpi
    closure: ClosureKpi
    new_acv: NewAcvKpi


def team_kpis(quarter: str, clocks: Iterable[TrialClock], deals: Mapping[str, Deal]) -> TeamKpis:
    """All numbers of `quarter`, to date if it is not over. `deals` are by opportunity."""
    clocks = list(clocks)
    stopped = [
        trial(clock, clock.stopped) for clock in clocks if clock.stopped and quarter_of(clock.stopped) == quarter
    ]
    concluded = [clock for clock in clocks if _concluded_in(quarter, clock, deals.get(clock.opportunity))]
    return TeamKpis(
        quarter=quarter,
        standard=_trials([one for one in stopped if one.complexity == "standard"], lambda share: share > MAJORITY),
        complex=_trials([one for one in stopped if one.complexity == "complex"], lambda share: share == 1),
        closure=_closure(concluded),
        new_acv=_new_acv(quarter, deals.values()),
    )


def quarter_of(day: date) -> str:
    """The names sort like the quarters."""
    return f"{day.year:04}Q{(day.month + 2) // 3}"


def _trials(stopped: Sequence[Trial], met: Callable[[Fraction], bool]) -> TrialsKpi:
    within = sum(one.within for one in stopped)
    share = Fraction(within, len(stopped)) if stopped else None
    days = sorted(one.cycle_days for one in stopped if "stage_skipped" not in one.flags)
    reason: Literal["no_trials_stopped", "all_skipped_stage_4"] | None = None
    if not days:
        reason = "all_skipped_stage_4" if stopped else "no_trials_stopped"
    return TrialsKpi(
        n=len(stopped),
        within=within,
        share=rounded(share),
        met=None if share is None else met(share),
        median_days=rounded(Fraction(days[(len(days) - 1) // 2] + days[len(days) // 2], 2)) if days else None,
        p90_days=days[-(-len(days) * 9 // 10) - 1] if days else None,
        reason=reason,
    )


def _concluded_in(quarter: str, clock: TrialClock, deal: Deal | None) -> bool:
    """A trial that skipped stage 4 never entered it, and says nothing about how trials go."""
    day = deal.concluded if deal else None
    return day is not None and quarter_of(day) == quarter and not clock.stage_skipped


def _closure(concluded: Sequence[TrialClock]) -> ClosureKpi:
    """Whatever became of the sale: a technical win counts, and anything else does not."""
    wins = sum(clock.outcome == "win" for clock in concluded)
    value = Fraction(wins, len(concluded)) if concluded else None
    return ClosureKpi(
        num=wins,
        den=len(concluded),
        value=rounded(value),
        target=float(CLOSURE_TARGET),
        met=None if value is None else value >= CLOSURE_TARGET,
        reason=None if concluded else "none_concluded",
    )


def _new_acv(quarter: str, deals: Iterable[Deal]) -> NewAcvKpi:
    ever = [deal.close for deal in deals if deal.close and deal.close.said.outcome == "won"]
    won = [close.said for close in ever if quarter_of(close.day) == quarter]
    before = {close.said.account for close in ever if quarter_of(close.day) < quarter}
    currencies = {said.currency for said in won}
    changes = [change for said in won if (change := annual_change_cents(said)) is not None]
    reason: Literal["nothing_won", "mixed_currencies", "incomplete_deals"] | None = None
    if not won:
        reason = "nothing_won"
    elif len(currencies - {None}) > 1:
        reason = "mixed_currencies"
    elif None in currencies or len(changes) < len(won):
        reason = "incomplete_deals"
    is_known = reason in (None, "nothing_won")  # nothing is exactly 0, in no currency
    return NewAcvKpi(
        currency=None if reason else won[0].currency,
        cents=sum(max(change, 0) for change in changes) if is_known else None,
        net_cents=sum(changes) if is_known else None,
        customers=len({said.account for said in won if said.kind == "new"} - before),
        opportunities=len(won),
        products=sum(len(set(said.products)) for said in won),
        reason=reason,
    )
