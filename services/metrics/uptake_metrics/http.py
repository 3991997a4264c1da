"""The HTTP answers of metrics. Reads what the other modules know and says it as JSON; computes no number itself."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.messages.kpi import AccountKpis, Trial
from uptake.problems import Problem, install
from uptake_metrics import snapshots, trials, worklist
from uptake_metrics.activity import TRIAL
from uptake_metrics.board import Board, Line
from uptake_metrics.books import Books
from uptake_metrics.counting import Counting, newest_day
from uptake_metrics.kpis import account_kpis
from uptake_metrics.portfolio import Choice, Member, PortfolioKpis, Status, portfolio_kpis
from uptake_metrics.rebuilding import Progress, Rebuilding
from uptake_metrics.register import Register
from uptake_metrics.tally import Tally
from uptake_metrics.team import TeamKpis, team_kpis
from uptake_metrics.zones import local_day, to_day

MAX_HISTORY_DAYS = 1100
_AT_A_TIME = 200  # lines of an answer between two turns of the event loop
FIRST_DAY = date(1970, 3, 1)  # of which every window lies in the days that are counted

AsOf = Annotated[date | None, Query(description="a local day of the account; default: today, still open")]
Quarter = Annotated[
    str, Query(pattern="^[0-9]{4}Q[1-4]$", description="by days in the vendor's zone", examples=["2026Q3"])
]


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


class TrialUsage(BaseModel):
    """What people of the account do in environment `trial`, today."""

    dau: int | None
    wau: int | None
    mau: int | None
    reason: str | None


class TrialLine(Trial):
    """`GET /api/v1/trials`: the clock, and the trial's own usage beside it."""

    usage: TrialUsage


class ImportState(BaseModel):
    """`GET /api/v1/imports/{import_id}`. `done`: everything is counted and evaluated."""

    import_id: str
    reason: str
    state: Literal["running", "applying", "done"]
    usage_sequence: int | None


class Answers:
    """The handlers, over what the service knows."""

    def __init__(
        self,
        engine: AsyncEngine,
        counting: Counting,
        register: Register,
        tally: Tally,
        board: Board,
        vendor_zone: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._counting = counting
        self._register = register
        self._tally = tally
        self._board = board
        self._vendor_zone = vendor_zone
        self._clock = clock

    async def accounts(self, as_of: AsOf = None) -> Response:
        """Every account with its numbers: as of its own today, or of any past day."""
        lines, revisions = await self._lines(as_of), dict[str, int]()
        if as_of is not None:  # an open day has no revision
            async with self._engine.connect() as connection:
                revisions = await snapshots.revisions_on(connection, as_of)
        ordered = sorted(lines, key=lambda line: line.account.account)
        answers: list[bytes] = []  # written line by line: tens of thousands at once would hold up counting
        for line in ordered:
            answers.append(_account_line(line, revisions.get(line.account.account, 0)).model_dump_json().encode())
            if len(answers) % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return Response(b"[" + b",".join(answers) + b"]", media_type="application/json")

    async def kpis(self, account: str, as_of: AsOf = None) -> AccountKpis:
        """All numbers of one account on one day."""
        day = self._checked(account, as_of)
        line = await self._board.line(account, day)
        return (await self._with_revisions(account, [line.kpis]))[0]

    async def history(
        self, account: str, first: Annotated[date, Query(alias="from")], last: Annotated[date, Query(alias="to")]
    ) -> list[AccountKpis]:
        """The same by day, both ends included."""
        self._checked(account, first)
        self._checked(account, last)
        if not first <= last < first + timedelta(days=MAX_HISTORY_DAYS):
            raise Problem(
                400, "invalid_range", f"'from' must be at most 'to', and at most {MAX_HISTORY_DAYS} days before"
            )
        known, now = self._register.account(account), self._clock()
        days = await self._tally.days(account, first, last)
        kpis = [account_kpis(known, one.day, one.counts, one.last_contact, now, 0) for one in days]
        return await self._with_revisions(account, kpis)

    async def users(
        self,
        account: str,
        as_of: AsOf = None,
        window: Literal["dau", "wau", "mau"] = "mau",
        feature: str | None = None,
    ) -> UserList:
        """The people behind a count."""
        day = self._checked(account, as_of)
        users = await self._tally.users(account, day, window, feature)
        return UserList(account=account, as_of=day, window=window, feature=feature, count=len(users), users=users)

    async def trials(self) -> list[TrialLine]:
        """Every opportunity that ever was in stage 4, the running ones first."""
        today = local_day(self._clock(), self._vendor_zone)
        lines = [await self._trial_line(trials.trial(clock, today)) for clock in self._register.trials.values()]
        return sorted(lines, key=lambda line: (line.state, -line.cycle_days, line.opportunity))

    async def team(self, quarter: Quarter) -> TeamKpis:
        """The trials, technical closure and New ACV of one quarter, to date if it is not over."""
        return team_kpis(quarter, self._register.trials.values(), self._register.deals)

    async def portfolio(
        self,
        as_of: AsOf = None,
        owner: str | None = None,
        region: str | None = None,
        segment: str | None = None,
        status: Status | None = None,
    ) -> PortfolioKpis:
        """Adoption over all accounts, or over those that have every value that is given."""
        members = [Member(line.account, line.kpis.adoption) for line in await self._lines(as_of)]
        return portfolio_kpis(members, Choice(owner, region, segment, status))

    async def import_state(self, import_id: str) -> ImportState:
        """How far an import is."""
        counted_up_to = self._counting.position.sequence  # asked first: what is counted is on the worklist by now
        async with self._engine.connect() as connection:
            rows = await connection.execute(
                text("SELECT reason, usage_sequence FROM metrics.import_job WHERE import_id = :id"), {"id": import_id}
            )
            job = rows.first()
            if job is None:
                raise Problem(404, "unknown_import", f"no import {import_id} has arrived here")
            waiting = await worklist.pending(connection, import_id)
        counted = job.usage_sequence is not None and job.usage_sequence <= counted_up_to
        state: Literal["running", "applying", "done"] = "running" if job.usage_sequence is None else "applying"
        if counted and not waiting:
            state = "done"
        return ImportState(import_id=import_id, reason=job.reason, state=state, usage_sequence=job.usage_sequence)

    async def _lines(self, as_of: date | None) -> list[Line]:
        """Every account on its own today, or on another day."""
        if as_of is None:
            return list(self._board.lines.values())
        return await self._board.on(_in_range(as_of, to_day(newest_day(self._clock()))))

    def _today(self, account: str) -> date:
        return self._board.today(account)

    def _checked(self, account: str, as_of: date | None) -> date:
        if not self._board.knows(account):
            raise Problem(404, "unknown_account", f"no usage and no fact of account {account!r} has arrived")
        today = self._today(account)
        return today if as_of is None else _in_range(as_of, today)

    async def _with_revisions(self, account: str, kpis: list[AccountKpis]) -> list[AccountKpis]:
        """Say which published revision each day has reached; an open day has none."""
        async with self._engine.connect() as connection:
            known = await snapshots.revisions(connection, worklist.account(account), kpis[0].as_of, kpis[-1].as_of)
        return [one.model_copy(update={"revision": known.get(one.as_of, 0)}) for one in kpis]

    async def _trial_line(self, trial: Trial) -> TrialLine:
        day = self._today(trial.account)
        tallied = self._tally.now(trial.account, day, TRIAL)
        if tallied is None:
            (tallied,) = await self._tally.days(trial.account, day, day, TRIAL)
        counts = tallied.counts
        usage = TrialUsage(
            dau=counts and counts.dau_30[-1],
            wau=counts and counts.wau,
            mau=counts and counts.mau,
            reason=None if counts else "no_telemetry",
        )
        return TrialLine(**trial.model_dump(), usage=usage)


def _in_range(day: date, today: date) -> date:
    if not FIRST_DAY <= day <= today:
        raise Problem(400, "invalid_day", f"the newest day is {today}: ask for a day from {FIRST_DAY} to then")
    return day


def _account_line(line: Line, revision: int) -> AccountLine:
    names = ("account", "name", "region", "segment", "plan", "owner", "time_zone", "production_date")
    kpis = line.kpis.model_copy(update={"revision": revision})
    return AccountLine(**{name: getattr(line.account, name) for name in names}, seats=line.seats, kpis=kpis)


class RebuildWanted(BaseModel):
    """`POST /api/v1/rebuild`. `check`: compare only."""

    check: bool = False


def build(answers: Answers, books: Books, rebuilding: Rebuilding, ready: Callable[[], bool], **options: Any) -> FastAPI:
    """The HTTP app; until `ready` every question about numbers is answered 503, not with half of them."""
    app = FastAPI(title="Uptake metrics", docs_url=None, redoc_url=None, **options)  # their pages load from a CDN
    app.add_api_route("/api/v1/accounts", answers.accounts, response_model=list[AccountLine])
    app.add_api_route("/api/v1/accounts/{account:path}/kpis", answers.kpis)
    app.add_api_route("/api/v1/accounts/{account:path}/history", answers.history)
    app.add_api_route("/api/v1/accounts/{account:path}/users", answers.users)
    app.add_api_route("/api/v1/trials", answers.trials)
    app.add_api_route("/api/v1/team", answers.team)
    app.add_api_route("/api/v1/portfolio", answers.portfolio)
    app.add_api_route("/api/v1/books", books.answer)

    @app.get("/api/v1/rebuild")
    async def rebuild_state() -> Progress:
        """How far the last rebuild is, and what it found."""
        return rebuilding.progress

    @app.post("/api/v1/rebuild", status_code=202)
    async def rebuild(wanted: RebuildWanted) -> Progress:
        """Recount from the log what it still covers, and put right what differs; one at a time."""
        return rebuilding.request(wanted.check)

    app.add_api_route("/api/v1/imports/{import_id:path}", answers.import_state)

    @app.middleware("http")
    async def only_when_ready(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.url.path.startswith("/api/") and not ready():
            return Problem(503, "starting", "the counts are being loaded; see /readyz").answer()
        return await answer(request)

    install(app)
    return app
