"""Answers about accounts: lists, numbers of any day, the people behind a count, the portfolio. Computes no number."""

import asyncio
from datetime import date, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from uptake.messages.kpi import AccountKpis
from uptake.problems import Problem
from uptake_metrics import snapshots, worklist
from uptake_metrics.answers.asking import Asking, AsOf
from uptake_metrics.board import Line
from uptake_metrics.portfolio import Choice, Member, PortfolioKpis, Status, portfolio_kpis

MAX_HISTORY_DAYS = 1100
_AT_A_TIME = 200  # lines of an answer between two turns of the event loop


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
    seats: int | None
    kpis: AccountKpis


class UserList(BaseModel):
    """`GET /api/v1/accounts/{account}/users`: exactly the people behind a count."""

    account: str
    as_of: date
    window: Literal["dau", "wau", "mau"]
    feature: str | None
    count: int
    users: list[str]


def router(asking: Asking) -> APIRouter:
    """`/api/v1/accounts...` and `/api/v1/portfolio`."""
    router = APIRouter()

    @router.get("/api/v1/accounts", response_model=list[AccountLine])
    async def accounts(as_of: AsOf = None) -> Response:
        """Every account with its numbers: as of its own today, or of any past day."""
        lines, revisions = await asking.lines(as_of), dict[str, int]()
        if as_of is not None:  # an open day has no revision
            async with asking.engine.connect() as connection:
                revisions = await snapshots.revisions_on(connection, as_of)
        ordered = sorted(lines, key=lambda line: line.account.account)
        answers: list[bytes] = []  # written line by line: tens of thousands at once would hold up counting
        for line in ordered:
            answers.append(_account_line(line, revisions.get(line.account.account, 0)).model_dump_json().encode())
            if len(answers) % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return Response(b"[" + b",".join(answers) + b"]", media_type="application/json")

    @router.get("/api/v1/accounts/{account:path}/kpis")
    async def kpis(account: str, as_of: AsOf = None) -> AccountKpis:
        """All numbers of one account on one day."""
        line = await asking.board.line(account, asking.day(account, as_of))
        return (await _with_revisions(asking, account, [line.kpis]))[0]

    @router.get("/api/v1/accounts/{account:path}/history")
    async def history(
        account: str, first: Annotated[date, Query(alias="from")], last: Annotated[date, Query(alias="to")]
    ) -> list[AccountKpis]:
        """The same by day, both ends included."""
        asking.day(account, first)
        asking.day(account, last)
        if not first <= last < first + timedelta(days=MAX_HISTORY_DAYS):
            raise Problem(
                400, "invalid_range", f"'from' must be at most 'to', and at most {MAX_HISTORY_DAYS} days before"
            )
        days = await asking.tally.days(account, first, last)
        return await _with_revisions(asking, account, [asking.evaluation.kpis(account, one) for one in days])

    @router.get("/api/v1/accounts/{account:path}/users")
    async def users(
        account: str,
        as_of: AsOf = None,
        window: Literal["dau", "wau", "mau"] = "mau",
        feature: str | None = None,
    ) -> UserList:
        """The people behind a count."""
        day = asking.day(account, as_of)
        people = await asking.tally.users(account, day, window, feature)
        return UserList(account=account, as_of=day, window=window, feature=feature, count=len(people), users=people)

    @router.get("/api/v1/portfolio")
    async def portfolio(
        as_of: AsOf = None,
        owner: str | None = None,
        region: str | None = None,
        segment: str | None = None,
        status: Status | None = None,
    ) -> PortfolioKpis:
        """Adoption over all accounts, or over those that have every value that is given."""
        members = [Member(line.account, line.kpis.adoption) for line in await asking.lines(as_of)]
        return portfolio_kpis(members, Choice(owner, region, segment, status))

    return router


async def _with_revisions(asking: Asking, account: str, kpis: list[AccountKpis]) -> list[AccountKpis]:
    """Say which published revision each day has reached; an open day has none."""
    async with asking.engine.connect() as connection:
        known = await snapshots.revisions(connection, worklist.account(account), kpis[0].as_of, kpis[-1].as_of)
    return [one.model_copy(update={"revision": known.get(one.as_of, 0)}) for one in kpis]


def _account_line(line: Line, revision: int) -> AccountLine:
    names = ("account", "name", "region", "segment", "plan", "owner", "time_zone", "production_date")
    kpis = line.kpis.model_copy(update={"revision": revision})
    return AccountLine(**{name: getattr(line.account, name) for name in names}, seats=line.seats, kpis=kpis)
