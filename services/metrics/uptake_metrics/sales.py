"""Trials and the team's quarter out of the register, in small turns of the event loop. Decides nothing itself.

What answers, snapshots and gauges tell of them all comes from here. Days are days in the vendor's zone.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from uptake.messages.events import OpportunityClosed
from uptake.messages.kpi import TeamKpis
from uptake.reader import Cursor
from uptake_metrics.deals import Deal
from uptake_metrics.ordering import in_turns
from uptake_metrics.register import Register
from uptake_metrics.team import days_of, quarter_of, team_kpis
from uptake_metrics.trials import TrialClock
from uptake_metrics.zones import local_day


@dataclass(slots=True, eq=False)
class _Kept:
    """What was worked out as of a position in FACTS; a rebuild puts other folds in place at the same one."""

    position: Cursor | None
    trials: dict[str, TrialClock]
    team: TeamKpis | None = None
    running: dict[str, list[str]] | None = None


class Sales:
    """Follows `register`; keeps what was asked for last until a fact arrives."""

    def __init__(self, register: Register, vendor_zone: str, clock: Callable[[], datetime]) -> None:
        self._register = register
        self._clock = clock
        self._last = _Kept(None, {})
        self.vendor_zone = vendor_zone

    @property
    def is_loaded(self) -> bool:
        return self._register.position is not None

    @property
    def state(self) -> object:
        """Another one after every fact."""
        return self._kept()

    @property
    def today(self) -> date:
        return local_day(self._clock(), self.vendor_zone)

    @property
    def quarter(self) -> str:
        """The running one."""
        return quarter_of(self.today)

    async def team(self, quarter: str) -> TeamKpis:
        """The numbers of any quarter, to date if it is not over."""
        kept = self._kept()
        if kept.team is None or kept.team.quarter != quarter:
            first, every_deal = days_of(quarter).first, self._register.deals
            clocks = [one async for one in in_turns(kept.trials.values()) if one.since >= first]
            kept.team = team_kpis(quarter, clocks, await _that_matter(every_deal, first))
        return kept.team

    async def trials(self, day: date) -> list[TrialClock]:
        """Every opportunity that was in stage 4 or beyond by the end of `day`, as it stood then."""
        known = [one.at_end_of(day) async for one in in_turns(self._register.trials.values())]
        return [one for one in known if one]

    def running(self) -> dict[str, list[str]]:
        """By account: the opportunities whose trial is running now."""
        kept = self._kept()
        if kept.running is None:
            kept.running = defaultdict(list)
            for clock in kept.trials.values():
                if not clock.stopped:
                    kept.running[clock.account].append(clock.opportunity)
        return kept.running

    def _kept(self) -> _Kept:
        position, trials = self._register.position, self._register.trials
        if self._last.position != position or self._last.trials is not trials:
            self._last = _Kept(position, trials)
        return self._last


async def _that_matter(every_deal: dict[str, Deal], first: date) -> dict[str, Deal]:
    """Deals with a fact in the quarter or later, and all others of their accounts: which say who is a new customer."""
    accounts = {
        said.account async for deal in in_turns(every_deal.values()) if deal.since >= first for said in _closes(deal)
    }
    return {
        deal.opportunity: deal
        async for deal in in_turns(every_deal.values())
        if deal.since >= first or any(said.account in accounts for said in _closes(deal))
    }


def _closes(deal: Deal) -> list[OpportunityClosed]:
    return [state.close.said for state in (*deal.earlier, deal) if state.close]
