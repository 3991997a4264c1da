"""Answers about accounts: lists, numbers of any day, the people behind a count, the portfolio. Computes no number."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import islice
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, field_validator

from uptake.lists import Format, table
from uptake.messages.fields import MAX_INTEGER
from uptake.messages.kpi import AccountKpis
from uptake.problems import Problem
from uptake_metrics import snapshots, worklist
from uptake_metrics.activity import PRODUCTION
from uptake_metrics.answers.asking import Asking, AsOf
from uptake_metrics.answers.features import Environment, people_behind
from uptake_metrics.answers.revisions import every_revision
from uptake_metrics.board import Line
from uptake_metrics.lifecycle import Lifecycle, lifecycle
from uptake_metrics.ordering import Keys, checked, in_turns, ordered
from uptake_metrics.portfolio import Choice, Member, PortfolioKpis, portfolio_kpis
from uptake_metrics.revisions import Revision
from uptake_metrics.tally import Tallied

MAX_HISTORY_DAYS = 1100
_DAYS_A_TURN = 20


class Chosen(NamedTuple):
    """One account that is asked for."""

    line: Line
    lifecycle: Lifecycle


def _ratio(num: int | None, den: int | None, value: float | None) -> float | None:
    """Finer than the four decimals that are shown. Division of integers rounds no two ratios into the wrong order."""
    return None if value is None or num is None or not den else num / den


SORTS: Keys[Chosen] = {
    "account": lambda one: one.line.account.account,
    "name": lambda one: one.line.account.name and one.line.account.name.casefold(),
    "owner": lambda one: one.line.account.owner,
    "region": lambda one: one.line.account.region,
    "segment": lambda one: one.line.account.segment,
    "dau": lambda one: one.line.kpis.dau,
    "wau": lambda one: one.line.kpis.wau,
    "mau": lambda one: one.line.kpis.mau,
    "seats": lambda one: one.line.seats,
    "adoption": lambda one: _ratio(*_of(one.line.kpis.adoption)),
    "usage": lambda one: _ratio(*_of(one.line.kpis.usage)),
    "n": lambda one: one.line.kpis.adoption.n,
    "last_contact": lambda one: one.line.kpis.last_contact,
}


def _of(kpi: Any) -> tuple[int | None, int | None, float | None]:
    return kpi.num, kpi.den, kpi.value


class PortfolioQuery(Choice):
    """What `GET /api/v1/portfolio` can be asked for."""

    as_of: date | None = Field(default=None, description="a local day of each account; default: today, still open")
    format: Literal["json", "csv"] = "json"


class AccountsQuery(PortfolioQuery):
    """What `GET /api/v1/accounts` can be asked for; `sort` is one of `SORTS`, after `-` the largest first."""

    sort: str = "account"
    limit: int | None = Field(default=None, ge=1, le=MAX_INTEGER)

    @field_validator("sort")
    @classmethod
    def _is_an_order(cls, sort: str) -> str:
        return checked(sort, SORTS)


class AccountLine(BaseModel):
    """`GET /api/v1/accounts`."""

    account: str
    name: str | None
    region: str | None
    segment: str | None
    plan: str | None
    owner: str | None
    time_zone: str
    production_date: date | None
    lifecycle: Lifecycle
    seats: int | None
    kpis: AccountKpis


class UserList(BaseModel):
    """`GET /api/v1/accounts/{account}/users`: exactly the people behind a count."""

    account: str
    as_of: date
    window: Literal["dau", "wau", "mau"]
    feature: str | None
    use_case: str | None
    environment: str
    count: int
    users: list[str]


class User(BaseModel):
    """A row of the same list as CSV."""

    account: str
    as_of: date
    window: str
    feature: str | None
    use_case: str | None
    environment: str
    user: str


def router(asking: Asking) -> APIRouter:
    """`/api/v1/accounts...` and `/api/v1/portfolio`."""
    router = APIRouter()

    @router.get("/api/v1/accounts", response_model=list[AccountLine])
    async def accounts(query: Annotated[AccountsQuery, Query()]) -> Response:
        """Accounts with their numbers: as of each one's own today, or of any past day."""
        chosen, revisions = await _chosen(asking, query), dict[str, int]()
        if query.as_of is not None:  # an open day has no revision
            async with asking.engine.connect() as connection:
                revisions = await snapshots.revisions_on(connection, query.as_of)
        rows = await ordered(chosen, SORTS, query.sort, tie=lambda one: one.line.account.account)
        return table(_account_lines(islice(rows, query.limit), revisions), query.format, AccountLine)

    @router.get("/api/v1/accounts/{account:path}/kpis")
    async def kpis(account: str, as_of: AsOf = None) -> AccountKpis:
        """All numbers of one account on one day."""
        line = await asking.board.line(account, asking.day(account, as_of))
        return (await _with_revisions(asking, account, [line.kpis]))[0]

    @router.get("/api/v1/accounts/{account:path}/history", response_model=list[AccountKpis] | list[Revision])
    async def history(
        account: str,
        first: Annotated[date, Query(alias="from")],
        last: Annotated[date, Query(alias="to")],
        revisions: Annotated[
            Literal["newest", "all"], Query(description="all: every published revision, and what made it")
        ] = "newest",
        format: Format = "json",
    ) -> Response:
        """The same by day, both ends included; or all that was ever published of these days."""
        asking.day(account, first)
        asking.day(account, last)
        if not first <= last < first + timedelta(days=MAX_HISTORY_DAYS):
            raise Problem(
                400, "invalid_range", f"'from' must be at most 'to', and at most {MAX_HISTORY_DAYS} days before"
            )
        if revisions == "all":
            return table(await every_revision(asking, account, first, last), format, Revision)
        days = await asking.tally.days(account, first, last)
        kpis = await _with_revisions(asking, account, await _evaluated(asking, account, days))
        return table(kpis, format, AccountKpis)

    @router.get("/api/v1/accounts/{account:path}/users", response_model=UserList)
    async def users(
        account: str,
        as_of: AsOf = None,
        window: Literal["dau", "wau", "mau"] = "mau",
        feature: str | None = None,
        use_case: str | None = None,
        environment: Environment = PRODUCTION,
        format: Format = "json",
    ) -> UserList | Response:
        """The people behind a count: of all activity, of a feature, or of a use case."""
        day = asking.day(account, as_of)
        people = await people_behind(asking, account, day, window, feature, use_case, environment)
        of_whom = {"account": account, "as_of": day, "window": window, "feature": feature}
        of_whom |= {"use_case": use_case, "environment": environment}
        if format == "csv":
            return table([User.model_validate(of_whom | {"user": user}) for user in people], format, User)
        return UserList.model_validate(of_whom | {"count": len(people), "users": people})

    @router.get("/api/v1/portfolio", response_model=PortfolioKpis)
    async def portfolio(query: Annotated[PortfolioQuery, Query()]) -> PortfolioKpis | Response:
        """Adoption over all accounts, or over those that have every value that is given."""
        adoptions = (one.line.kpis.adoption for one in await _chosen(asking, query))
        found = await asyncio.to_thread(portfolio_kpis, adoptions)  # exact sums of tens of thousands take their time
        return found if query.format == "json" else table([found], query.format)

    return router


async def _chosen(asking: Asking, query: PortfolioQuery) -> list[Chosen]:
    """The lines of the day that the query covers."""
    lines, trying = await asking.lines(query.as_of), await _on_trial(asking, query.as_of)
    chosen = []
    async for line in in_turns(lines):
        stands = lifecycle(line.account, line.kpis.as_of, line.account.account in trying)
        if query.covers(Member(line.account, line.kpis, stands)):
            chosen.append(Chosen(line, stands))
    return chosen


async def _on_trial(asking: Asking, as_of: date | None) -> set[str]:
    """Accounts with a running trial."""
    if as_of is None:
        return set(asking.sales.running())
    return {clock.account for clock in await asking.sales.trials(as_of) if not clock.stopped}


async def _evaluated(asking: Asking, account: str, days: Sequence[Tallied]) -> list[AccountKpis]:
    """In turns: years of days at once would hold up counting."""
    told: list[AccountKpis] = []
    for one in days:
        told.append(asking.evaluation.kpis(account, one))
        if len(told) % _DAYS_A_TURN == 0:
            await asyncio.sleep(0)
    return told


async def _with_revisions(asking: Asking, account: str, kpis: list[AccountKpis]) -> list[AccountKpis]:
    """Say which published revision each day has reached; an open day has none."""
    async with asking.engine.connect() as connection:
        known = await snapshots.revisions(connection, worklist.account(account), kpis[0].as_of, kpis[-1].as_of)
    return [one.model_copy(update={"revision": known.get(one.as_of, 0)}) for one in kpis]


def _account_lines(rows: Iterable[Chosen], revisions: Mapping[str, int]) -> Iterator[AccountLine]:
    names = ("account", "name", "region", "segment", "plan", "owner", "time_zone", "production_date")
    for line, stands in rows:
        kpis = line.kpis.model_copy(update={"revision": revisions.get(line.account.account, 0)})
        about = {name: getattr(line.account, name) for name in names}
        yield AccountLine(**about, lifecycle=stands, seats=line.seats, kpis=kpis)
