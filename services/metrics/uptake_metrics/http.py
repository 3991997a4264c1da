"""The HTTP answers of metrics. Reads what the other modules know and says it as JSON; computes no number itself."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.messages.kpi import AccountKpis, Trial
from uptake_metrics import snapshots, trials, worklist
from uptake_metrics.activity import TRIAL
from uptake_metrics.board import Board, Line
from uptake_metrics.counting import Counting
from uptake_metrics.kpis import account_kpis
from uptake_metrics.register import Register
from uptake_metrics.tally import Tally
from uptake_metrics.zones import local_day

MAX_HISTORY_DAYS = 1100

AsOf = Annotated[date | None, Query(description="a local day of the account; default: today, still open")]


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


class Problem(Exception):
    """An answer that is no answer, with its status, a bounded word and what to do."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail = status, error, detail


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

    async def accounts(self, as_of: AsOf = None) -> list[AccountLine]:
        """Every account with its numbers: as of its own today, or of any past day."""
        if as_of is None:
            lines = list(self._board.lines.values())
        else:
            lines = [
                await self._board.line(name, as_of) for name in list(self._board.lines) if as_of <= self._today(name)
            ]
        return [_account_line(line) for line in sorted(lines, key=lambda line: line.account.account)]

    async def kpis(self, account: str, as_of: AsOf = None) -> AccountKpis:
        """All numbers of one account on one day."""
        day = self._checked(account, as_of)
        line = await self._board.line(account, day)
        return (await self._with_revisions(account, [line.kpis]))[0]

    async def history(
        self, account: str, first: Annotated[date, Query(alias="from")], last: Annotated[date, Query(alias="to")]
    ) -> list[AccountKpis]:
        """The same by day, both ends included."""
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

    async def import_state(self, import_id: str) -> ImportState:
        """How far an import is."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(
                text("SELECT reason, usage_sequence FROM metrics.import_job WHERE import_id = :id"), {"id": import_id}
            )
            job = rows.first()
            if job is None:
                raise Problem(404, "unknown_import", f"no import {import_id} has arrived here")
            waiting = await worklist.pending(connection, import_id)
        counted = job.usage_sequence is not None and job.usage_sequence <= self._counting.position.sequence
        state: Literal["running", "applying", "done"] = "running" if job.usage_sequence is None else "applying"
        if counted and not waiting:
            state = "done"
        return ImportState(import_id=import_id, reason=job.reason, state=state, usage_sequence=job.usage_sequence)

    def _today(self, account: str) -> date:
        return self._board.today(account)

    def _checked(self, account: str, as_of: date | None) -> date:
        if not self._board.knows(account):
            raise Problem(404, "unknown_account", f"no usage and no fact of account {account!r} has arrived")
        today = self._today(account)
        if as_of is not None and not date(1970, 3, 1) <= as_of <= today:
            raise Problem(400, "invalid_day", f"the account's day is {today}: ask for a day from 1970-03-01 to then")
        return as_of or today

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


def _account_line(line: Line) -> AccountLine:
    names = ("account", "name", "region", "segment", "plan", "owner", "time_zone", "production_date")
    return AccountLine(**{name: getattr(line.account, name) for name in names}, seats=line.seats, kpis=line.kpis)


def build(answers: Answers, ready: Callable[[], bool], **options: Any) -> FastAPI:
    """The HTTP app; until `ready` every question about numbers is answered 503, not with half of them."""
    app = FastAPI(title="Uptake metrics", docs_url=None, redoc_url=None, **options)  # their pages load from a CDN
    app.add_api_route("/api/v1/accounts", answers.accounts)
    app.add_api_route("/api/v1/accounts/{account:path}/kpis", answers.kpis)
    app.add_api_route("/api/v1/accounts/{account:path}/history", answers.history)
    app.add_api_route("/api/v1/accounts/{account:path}/users", answers.users)
    app.add_api_route("/api/v1/trials", answers.trials)
    app.add_api_route("/api/v1/imports/{import_id:path}", answers.import_state)

    @app.middleware("http")
    async def only_when_ready(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.url.path.startswith("/api/") and not ready():
            problem = {"error": "starting", "detail": "the counts are being loaded; see /readyz"}
            return JSONResponse(problem, status_code=503, headers={"Retry-After": "1"})
        return await answer(request)

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return JSONResponse({"error": error.error, "detail": error.detail}, status_code=error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        detail = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors())
        return JSONResponse({"error": "invalid_request", "detail": detail}, status_code=400)

    return app
