"""Answers about trials and the team's quarter. Computes no number."""

from collections.abc import Sequence
from datetime import date
from itertools import islice
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from uptake.lists import table
from uptake.messages.fields import MAX_INTEGER
from uptake.messages.kpi import TeamKpis, Trial, TrialUsage
from uptake_metrics import sales_snapshots, trials
from uptake_metrics.accounts import Account
from uptake_metrics.activity import TRIAL
from uptake_metrics.answers.asking import Asking, in_range
from uptake_metrics.ordering import Keys, checked, in_turns, ordered
from uptake_metrics.tally import Tallied
from uptake_metrics.team import days_of
from uptake_metrics.trials import Complexity, TrialClock

FIRST_QUARTER = "1970Q1"


class TrialLine(Trial):
    """`GET /api/v1/trials`: the clock, and the trial's own usage beside it.

    `flags` has the limits that a running trial has reached too. The four days say when it reached each or will.
    """

    name: str | None
    region: str | None
    owner: str | None
    approaching_on: date | None
    breached_on: date | None
    overlong_on: date | None
    policy_on: date | None
    usage: TrialUsage


class Told(NamedTuple):
    """One trial as of the day that is asked for."""

    clock: TrialClock
    account: Account
    trial: Trial
    flags: list[str]


SORTS: Keys[Told] = {
    "state": lambda one: (one.trial.state, -one.trial.cycle_days),  # running first, of those the longest
    "opportunity": lambda one: one.trial.opportunity,
    "account": lambda one: one.trial.account,
    "engineer": lambda one: one.trial.engineer,
    "owner": lambda one: one.account.owner,
    "region": lambda one: one.account.region,
    "complexity": lambda one: one.trial.complexity,
    "started": lambda one: one.trial.started,
    "stopped": lambda one: one.trial.stopped,
    "cycle_days": lambda one: one.trial.cycle_days,
    "wall_days": lambda one: one.trial.wall_days,
}


class TrialsQuery(BaseModel):
    """What `GET /api/v1/trials` can be asked for. Values that are given combine; `sort` is one of `SORTS`, after `-`
    the largest first. `engineer` is the trial's, `owner` and `region` are the account's."""

    model_config = ConfigDict(extra="forbid")

    as_of: date | None = Field(default=None, description="a day in the vendor's zone; default: today")
    state: Literal["running", "stopped"] | None = None
    complexity: Complexity | None = None
    engineer: str | None = None
    owner: str | None = None
    region: str | None = None
    account: str | None = None
    flag: Literal["paused", "reclassified", "stage_skipped", "approaching", "breached", "overlong", "policy"] | None = (
        None
    )
    sort: str = "state"
    limit: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    format: Literal["json", "csv"] = "json"

    @field_validator("sort")
    @classmethod
    def _is_an_order(cls, sort: str) -> str:
        return checked(sort, SORTS)

    def covers(self, one: Told) -> bool:
        return (
            self.state in (None, one.trial.state)
            and self.complexity in (None, one.trial.complexity)
            and self.engineer in (None, one.trial.engineer)
            and self.owner in (None, one.account.owner)
            and self.region in (None, one.account.region)
            and self.account in (None, one.trial.account)
            and (self.flag is None or self.flag in one.flags)
        )


class TeamQuery(BaseModel):
    """What `GET /api/v1/team` can be asked for."""

    model_config = ConfigDict(extra="forbid")

    quarter: str | None = Field(
        default=None,
        pattern="^[0-9]{4}Q[1-4]$",
        description="by days in the vendor's zone; default: the running one",
        examples=["2026Q3"],
    )
    format: Literal["json", "csv"] = "json"

    @field_validator("quarter")
    @classmethod
    def _is_a_quarter(cls, quarter: str | None) -> str | None:
        if quarter:
            days_of(quarter)  # there is no year 0
            if quarter < FIRST_QUARTER:
                raise ValueError(f"is before {FIRST_QUARTER}")
        return quarter


def router(asking: Asking) -> APIRouter:
    """`/api/v1/trials` and `/api/v1/team`."""
    router = APIRouter()

    @router.get("/api/v1/trials", response_model=list[TrialLine])
    async def list_trials(query: Annotated[TrialsQuery, Query()]) -> Response:
        """Every opportunity that was in stage 4 or beyond by the end of a day, the running ones first."""
        day = asking.sales.today if query.as_of is None else in_range(query.as_of, asking.sales.today)
        told = [_told(asking, clock, day) async for clock in in_turns(await asking.sales.trials(day))]
        if query.account is not None and all(one.trial.account != query.account for one in told):
            asking.require(query.account)  # an account without trials is no slip in its name
        rows = await ordered(filter(query.covers, told), SORTS, query.sort, tie=lambda one: one.trial.opportunity)
        shown = list(islice(rows, query.limit))
        tallied = await _tallied(asking, shown, query.as_of)
        lines = [_line(one, tallied[one.trial.account]) async for one in in_turns(shown)]
        return table(lines, query.format, TrialLine)

    @router.get("/api/v1/team", response_model=TeamKpis)
    async def team(query: Annotated[TeamQuery, Query()]) -> TeamKpis | Response:
        """The trials, technical closure and New ACV of one quarter, to date if it is not over."""
        found = await asking.sales.team(query.quarter or asking.sales.quarter)
        return found if query.format == "json" else table([found], query.format)

    return router


def _told(asking: Asking, clock: TrialClock, day: date) -> Told:
    trial = trials.trial(clock, day)
    flags = [*trial.flags, *trials.reached(clock, day)]
    return Told(clock, asking.register.account(clock.account), trial, flags)


async def _tallied(asking: Asking, shown: Sequence[Told], as_of: date | None) -> dict[str, Tallied]:
    """By account; the usage is of the account's own local day."""
    names = {one.trial.account for one in shown}
    return await asking.tally.on({name: as_of or asking.board.today(name) for name in names}, TRIAL)


def _line(one: Told, tallied: Tallied) -> TrialLine:
    about = {field: getattr(one.account, field) for field in ("name", "region", "owner")}
    return TrialLine.model_validate(
        one.trial.model_dump()
        | about
        | trials.limits(one.clock)._asdict()
        | {"flags": one.flags, "usage": sales_snapshots.usage_of(tallied)}
    )
