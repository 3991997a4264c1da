"""The numbers of the team in one quarter: trials against their targets, technical closure, New ACV. No clock, no I/O.

Source: the domain definition, "Trials (pre-sales)". A quarter is named as in `2026Q3`, by days in the vendor's zone.
All comparisons are between exact fractions; rounding is for the reader only.
"""

import calendar
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Literal, NamedTuple

from uptake.messages.events import OpportunityClosed
from uptake.messages.kpi import ClosureKpi, NewAcvKpi, TeamKpis, Trial, TrialsKpi
from uptake_metrics.deals import Deal, annual_change_cents
from uptake_metrics.kpis import rounded
from uptake_metrics.trials import TrialClock, trial
from uptake_metrics.zones import DAY

MAJORITY = Fraction(1, 2)
"""The share of standard trials within their target has to be above it; of complex ones it has to be all."""

CLOSURE_TARGET = Fraction("0.80")


class Quarter(NamedTuple):
    """Its first and its last day."""

    first: date
    last: date


def team_kpis(quarter: str, clocks: Iterable[TrialClock], deals: Mapping[str, Deal]) -> TeamKpis:
    """All numbers of `quarter`, to date if it is not over. `deals` are by opportunity.

    As it stood at the end of the quarter: what happened later belongs to later quarters.
    """
    days = days_of(quarter)
    touched = [one for one in clocks if one.since >= days.first]  # of the others everything was over before it began
    then = [clock for one in touched if (clock := one.at_end_of(days.last))]
    stopped = [trial(one, one.stopped) for one in then if one.stopped and days.first <= one.stopped <= days.last]
    return TeamKpis(
        quarter=quarter,
        standard=_trials([one for one in stopped if one.complexity == "standard"], lambda share: share > MAJORITY),
        complex=_trials([one for one in stopped if one.complexity == "complex"], lambda share: share == 1),
        closure=_closure([clock for clock in then if _concluded_in(days, clock, deals.get(clock.opportunity))]),
        new_acv=_new_acv(days, deals.values()),
    )


def quarter_of(day: date) -> str:
    """The names sort like the quarters."""
    return f"{day.year:04}Q{(day.month + 2) // 3}"


def days_of(quarter: str) -> Quarter:
    """Of a name as in `2026Q3`; ValueError of the year 0."""
    year, month = int(quarter[:4]), 3 * int(quarter[5])
    return Quarter(date(year, month - 2, 1), date(year, month, calendar.monthrange(year, month)[1]))


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


def _concluded_in(days: Quarter, clock: TrialClock, deal: Deal | None) -> bool:
    """A trial that skipped stage 4 never entered it, and says nothing about how trials go.

    One that was decided before it entered concludes on the day on which it does.
    """
    then = deal and deal.at_end_of(days.last)
    day = then.concluded if then else None
    return clock.entered and day is not None and days.first <= max(day, clock.targets[0][0]) <= days.last


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


class _Booking(NamedTuple):
    """What is won of one deal at the end of the quarter, and what was at the end of the one before."""

    now: OpportunityClosed | None
    was: OpportunityClosed | None


def _new_acv(days: Quarter, deals: Iterable[Deal]) -> NewAcvKpi:
    deals = list(deals)
    bookings = [booking for deal in deals if deal.since >= days.first and (booking := _booking(days, deal))]
    won = [booking.now for booking in bookings if booking.now and not booking.was]
    currencies = {said.currency for booking in bookings for said in booking if said}
    changes = [(_change(booking.now), _change(booking.was)) for booking in bookings]
    known = [(now, was) for now, was in changes if now is not None and was is not None]
    reason: Literal["nothing_won", "mixed_currencies", "incomplete_deals"] | None = None
    if not bookings:
        reason = "nothing_won"
    elif len(currencies - {None}) > 1:
        reason = "mixed_currencies"
    elif None in currencies or len(known) < len(changes):
        reason = "incomplete_deals"
    is_known = reason in (None, "nothing_won")  # nothing is exactly 0, in no currency
    return NewAcvKpi(
        currency=None if reason else currencies.pop(),
        cents=sum(max(now, 0) - max(was, 0) for now, was in known) if is_known else None,
        net_cents=sum(now - was for now, was in known) if is_known else None,
        customers=_new_customers(days, won, deals),
        opportunities=len(won),
        products=sum(len(set(said.products)) for said in won),
        reason=reason,
    )


def _booking(days: Quarter, deal: Deal) -> _Booking | None:
    """Null where the quarter changed nothing."""
    now, was = deal.at_end_of(days.last), deal.at_end_of(days.first - DAY)
    booking = _Booking(now.sale if now else None, was.sale if was else None)
    return booking if booking.now != booking.was else None


def _change(said: OpportunityClosed | None) -> int | None:
    return annual_change_cents(said) if said else 0


def _new_customers(days: Quarter, won: Sequence[OpportunityClosed], deals: Iterable[Deal]) -> int:
    """Accounts with new business of which nothing was ever won before the quarter."""
    new = {said.account for said in won if said.kind == "new"}
    for deal in deals if new else ():
        for state in (*deal.earlier, deal) if deal.earlier else (deal,):
            if state.since < days.first and state.sale:
                new.discard(state.sale.account)
    return len(new)
