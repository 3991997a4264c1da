"""Trials and the team's running quarter as Prometheus text; absent where a number is unknown. Computes nothing.

Series of single trials are of the running ones only, so that there are no more than people work on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from typing import get_args

from uptake.messages.kpi import TeamKpis, Trial
from uptake_metrics import trials
from uptake_metrics.exporter import Value, escaped
from uptake_metrics.ordering import in_turns
from uptake_metrics.sales import Sales
from uptake_metrics.trials import Complexity

GAUGES = {
    "uptake_trial_age_days": "Days in stage 4 so far, of each running trial.",
    "uptake_trial_target_days": "Days in stage 4 that a running trial may take.",
    "uptake_trial_wall_days": "Calendar days since a running trial began, pauses included.",
    "uptake_trials": "Opportunities that were ever in stage 4 or beyond, by whether their trial runs.",
    "uptake_team_technical_closure_ratio": "Technical wins / concluded, in the running quarter.",
    "uptake_team_technical_closure_target_ratio": "The technical closure that is aimed at.",
    "uptake_team_technical_wins": "Technical wins among what concluded in the running quarter.",
    "uptake_team_opportunities_concluded": "Opportunities that entered stage 4 and concluded in the running quarter.",
    "uptake_team_trials_stopped": "Trials that stopped in the running quarter.",
    "uptake_team_trials_within_target_ratio": "Share of them within their target.",
    "uptake_team_trial_cycle_days": "Median and 90th percentile of their days in stage 4.",
    "uptake_team_new_acv_cents": "New ACV won in the running quarter.",
    "uptake_team_net_new_acv_cents": "The same less what recurs less than before.",
    "uptake_team_new_customers": "Accounts that became customers in the running quarter.",
    "uptake_team_won_opportunities": "Opportunities won in the running quarter.",
    "uptake_team_products_sold": "Products in the deals won in the running quarter.",
}
Sample = tuple[str, dict[str, str], Value]


class SalesExporter:
    """Writes the text when it is asked for and a fact has arrived or the day has turned."""

    def __init__(self, sales: Sales, leads: Callable[[], bool]) -> None:
        """`leads`: of several replicas one tells of the team."""
        self._sales = sales
        self._leads = leads
        self._lock = asyncio.Lock()  # two scrapes at once write it once
        self._written: tuple[object, date] | None = None
        self._text = b""

    async def text(self) -> bytes:
        """As of now; nothing before the facts are known."""
        if not (self._leads() and self._sales.is_loaded):
            return b""
        async with self._lock:
            wanted = self._sales.state, self._sales.today
            if wanted != self._written:
                self._text = _written(await self._samples())
                self._written = wanted
            return self._text

    async def _samples(self) -> list[Sample]:
        today, running = self._sales.today, list[Trial]()
        states = Counter({(state, of): 0 for state in ("running", "stopped") for of in get_args(Complexity)})
        async for clock in in_turns(await self._sales.trials(today)):
            states["stopped" if clock.stopped else "running", clock.targets[-1][1]] += 1
            if not clock.stopped:
                running.append(trials.trial(clock, today))
        counted: list[Sample] = [
            ("uptake_trials", {"state": state, "complexity": of}, number) for (state, of), number in states.items()
        ]
        return [*_of_trials(running), *counted, *_of_team(await self._sales.team(self._sales.quarter))]


def _of_trials(running: list[Trial]) -> Iterator[Sample]:
    for one in sorted(running, key=lambda one: one.opportunity):
        which = {"trial": one.opportunity, "complexity": one.complexity}
        yield "uptake_trial_age_days", which, one.cycle_days
        yield "uptake_trial_target_days", which, one.target_days
        yield "uptake_trial_wall_days", which, one.wall_days


def _of_team(kpis: TeamKpis) -> Iterator[Sample]:
    closure, acv = kpis.closure, kpis.new_acv
    yield "uptake_team_technical_closure_ratio", {}, closure.value
    yield "uptake_team_technical_closure_target_ratio", {}, closure.target
    yield "uptake_team_technical_wins", {}, closure.num
    yield "uptake_team_opportunities_concluded", {}, closure.den
    for complexity, of in (("standard", kpis.standard), ("complex", kpis.complex)):
        yield "uptake_team_trials_stopped", {"complexity": complexity}, of.n
        yield "uptake_team_trials_within_target_ratio", {"complexity": complexity}, of.share
        yield "uptake_team_trial_cycle_days", {"complexity": complexity, "quantile": "0.5"}, of.median_days
        yield "uptake_team_trial_cycle_days", {"complexity": complexity, "quantile": "0.9"}, of.p90_days
    if acv.currency:
        yield "uptake_team_new_acv_cents", {"currency": acv.currency}, acv.cents
        yield "uptake_team_net_new_acv_cents", {"currency": acv.currency}, acv.net_cents
    yield "uptake_team_new_customers", {}, acv.customers
    yield "uptake_team_won_opportunities", {}, acv.opportunities
    yield "uptake_team_products_sold", {}, acv.products


def _written(samples: list[Sample]) -> bytes:
    of_gauge: dict[str, list[str]] = {name: [] for name in GAUGES}
    for name, labels, value in samples:
        if value is not None:
            told = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
            of_gauge[name].append(f"{name}{{{told}}} {value}" if told else f"{name} {value}")
    families = ([f"# HELP {name} {GAUGES[name]}", f"# TYPE {name} gauge", *lines] for name, lines in of_gauge.items())
    return "".join(f"{line}\n" for family in families for line in family).encode()
