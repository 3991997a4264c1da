"""Answers about trials and the team's quarter. Computes no number."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from uptake.messages.kpi import Trial
from uptake_metrics import trials
from uptake_metrics.activity import TRIAL
from uptake_metrics.answers.asking import Asking
from uptake_metrics.team import TeamKpis, team_kpis
from uptake_metrics.zones import local_day

Quarter = Annotated[
    str, Query(pattern="^[0-9]{4}Q[1-4]$", description="by days in the vendor's zone", examples=["2026Q3"])
]


class TrialUsage(BaseModel):
    """What people of the account do in environment `trial`, today."""

    dau: int | None
    wau: int | None
    mau: int | None
    reason: str | None


class TrialLine(Trial):
    """`GET /api/v1/trials`: the clock, and the trial's own usage beside it."""

    usage: TrialUsage


def router(asking: Asking) -> APIRouter:
    """`/api/v1/trials` and `/api/v1/team`."""
    router = APIRouter()

    @router.get("/api/v1/trials")
    async def list_trials() -> list[TrialLine]:
        """Every opportunity that ever was in stage 4, the running ones first."""
        today = local_day(asking.clock(), asking.vendor_zone)
        lines = [await _line(asking, trials.trial(clock, today)) for clock in asking.register.trials.values()]
        return sorted(lines, key=lambda line: (line.state, -line.cycle_days, line.opportunity))

    @router.get("/api/v1/team")
    async def team(quarter: Quarter) -> TeamKpis:
        """The trials, technical closure and New ACV of one quarter, to date if it is not over."""
        return team_kpis(quarter, asking.register.trials.values(), asking.register.deals)

    return router


async def _line(asking: Asking, trial: Trial) -> TrialLine:
    day = asking.board.today(trial.account)
    tallied = asking.tally.now(trial.account, day, TRIAL)
    if tallied is None:
        (tallied,) = await asking.tally.days(trial.account, day, day, TRIAL)
    counts = tallied.counts
    usage = TrialUsage(
        dau=counts and counts.dau_30[-1],
        wau=counts and counts.wau,
        mau=counts and counts.mau,
        reason=None if counts else "no_telemetry",
    )
    return TrialLine(**trial.model_dump(), usage=usage)
