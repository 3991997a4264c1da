"""Closed days in, KPI snapshots out: evaluates what the worklist names, and hands new revisions to NATS.

Owns when a day is published, and the outbox. The numbers come from `evaluation` and `sales`.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter

import structlog
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake import subjects
from uptake.subjects import shard_of
from uptake_metrics import (
    account_snapshots,
    activity_store,
    meters,
    news,
    sales_snapshots,
    seats,
    sending,
    snapshots,
    worklist,
)
from uptake_metrics.activity import TRIAL
from uptake_metrics.counting import Counting
from uptake_metrics.evaluation import Evaluation
from uptake_metrics.feature_tally import Uses
from uptake_metrics.kpis import heard_of
from uptake_metrics.ordering import in_turns
from uptake_metrics.register import Register
from uptake_metrics.sales import Sales
from uptake_metrics.seats import SeatChange
from uptake_metrics.snapshots import Snapshot
from uptake_metrics.tally import Tallied, Tally
from uptake_metrics.worklist import Work
from uptake_metrics.zones import DAY, closes_at, last_closed_day

_log = structlog.get_logger()

#: Closed days of an account that are published from the start, and that late live events can still change.
PUBLISHED_DAYS = 35
_EVERY_SHARD = frozenset(range(subjects.SHARDS))
_IMPOSSIBLE = (ArithmeticError, LookupError, TypeError, ValueError)  # of our own code; what the stores raise is another
_PUT_OFF = timedelta(minutes=5)
_NEVER = datetime(1970, 1, 3, tzinfo=UTC)
_AT_A_TIME = 10  # subjects per transaction: bounds how long counting waits
_CLOSED_AT_A_TIME = 50  # accounts of which that is one day each


class Publisher:
    """Evaluates under the locks of `counting` and `register`, so that what it reads is what is stored."""

    def __init__(
        self,
        engine: AsyncEngine,
        counting: Counting,
        register: Register,
        tally: Tally,
        evaluation: Evaluation,
        vendor_zone: str,
        clock: Callable[[], datetime],
        current_to: Callable[[], datetime | None],
        shards: Callable[[], frozenset[int]] = lambda: _EVERY_SHARD,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """`shards`: those this process reads; it publishes what is theirs, and nobody else does.

        `current_to`: the instant up to which their USAGE is counted and FACTS are known; nothing is evaluated before
        there is one.
        `may_go_on` is asked between two transactions: counting goes first.
        """
        self._engine = engine
        self._counting = counting
        self._register = register
        self._tally = tally
        self._evaluation = evaluation
        self._sales = Sales(register, vendor_zone, clock)
        self._clock = clock
        self._current_to = current_to
        self._shards = shards
        self._may_go_on = may_go_on
        self._through: dict[str, date] = {}  # per account: the newest published day
        self._knows_through_of: frozenset[int] = frozenset()
        self._quarter = ""  # that the team's numbers were last asked for

    async def evaluate(self) -> int:
        """Do the due work of the worklist; returns how many subjects were evaluated."""
        shards = self._shards()
        if self._current_to() is None or not shards:
            return 0
        async with self._engine.connect() as connection:
            await self._load_through(connection, shards)
            works = await worklist.due(connection, self._clock(), self._counting.position.sequence, 1000, shards)
        for start in range(0, len(works), _AT_A_TIME):
            if start and not self._may_go_on():
                return start
            group = works[start : start + _AT_A_TIME]
            try:
                await self._evaluate_group(group, shards)
            except _IMPOSSIBLE:
                await self._evaluate_alone(group, shards)
        return len(works)

    async def _evaluate_group(self, works: Sequence[Work], shards: frozenset[int]) -> None:
        through: dict[str, date] = {}
        async with self._in_step(shards) as connection:
            # By subject, as facts are marked: two processes cannot lock each other out.
            for work in sorted(works, key=attrgetter("subject")):
                through |= await self._evaluate(connection, work)
        self._raise_through(through)
        await self._mark_trials(through)

    async def _evaluate_alone(self, works: Sequence[Work], shards: frozenset[int]) -> None:
        """One of them cannot be evaluated, whatever its facts say: it is put off, and holds up nobody else."""
        for work in works:
            try:
                await self._evaluate_group([work], shards)
            except _IMPOSSIBLE as error:
                _log.error("cannot be evaluated, and is put off", subject=work.subject, exc_info=True)
                meters.PUT_OFF.labels(type(error).__name__).inc()
                async with self._engine.begin() as connection:
                    await worklist.put_off(connection, work, self._clock() + _PUT_OFF)

    async def close_days(self) -> None:
        """Publish every day that has closed since: at once where only that day is missing, else by the worklist."""
        shards = self._shards()
        if self._current_to() is None or not shards:
            return
        async with self._engine.connect() as connection:
            await self._load_through(connection, shards)
            held = await worklist.held(connection, self._counting.position.sequence)
        waiting = dict[tuple[int, date], list[str]]()  # by shard and the day that has closed
        async for name, closed in self._unpublished(shards):
            if worklist.account(name) not in held:
                waiting.setdefault((shard_of(name), closed), []).append(name)
        for (_, closed), names in waiting.items():
            for start in range(0, len(names), _CLOSED_AT_A_TIME):
                async with self._in_step(shards) as connection:
                    through = await self._close(connection, names[start : start + _CLOSED_AT_A_TIME], closed)
                self._raise_through(through)
                await self._mark_trials(through)
        await self._turn_quarter()

    async def _turn_quarter(self) -> None:
        """A new quarter begins without any fact."""
        if self._quarter != self._sales.quarter:
            async with self._engine.begin() as connection:
                await worklist.mark(connection, {worklist.TEAM: worklist.EVER})
            self._quarter = self._sales.quarter

    async def _mark_trials(self, accounts: Collection[str]) -> None:
        """A closed day of an account moves the usage of its running trials. They may be another process' to evaluate.

        In a transaction of its own: within one that holds other marks, two processes could lock each other out.
        """
        running = self._sales.running()
        marks = {worklist.trial(name): worklist.EVER for account in accounts for name in running.get(account, ())}
        if marks:
            async with self._engine.begin() as connection:
                await worklist.mark(connection, marks)

    async def _load_through(self, connection: AsyncConnection, shards: frozenset[int]) -> None:
        if not shards <= self._knows_through_of:  # else what another process has published since would be unknown
            self._through = await snapshots.published_through(connection)
        self._knows_through_of = shards

    def _raise_through(self, through: Mapping[str, date]) -> None:
        """Only for what is committed, or a day could be left out."""
        for name, day in through.items():
            self._through[name] = max(day, self._through.get(name, day))

    async def _unpublished(self, shards: frozenset[int]) -> AsyncIterator[tuple[str, date]]:
        """Accounts whose newest closed day is not published, and that day; none whose zone is about to change."""
        closed = dict[str, date]()
        async for name in in_turns({*self._register.accounts, *self._counting.accounts()}):
            if shard_of(name) not in shards:
                continue
            zone = self._register.zone_of(name)
            if zone not in closed:
                closed[zone] = self._last_closed_day(zone)
            if self._through.get(name, date.min) < closed[zone] and self._counting.zone_is_settled(name, zone):
                yield name, closed[zone]

    async def _close(self, connection: AsyncConnection, names: Sequence[str], closed: date) -> dict[str, date]:
        """Accounts of one shard, whose memory is looked through once; returns those that it published."""
        new: list[Snapshot] = []
        missing: dict[str, date] = {}
        only = [name for name in names if self._through.get(name) == closed - DAY]
        tallied = {name: one for name in only if (one := self._tally.now(name, closed))}
        uses = await self._tally.features.uses_on(list(tallied), closed, self._evaluation.config.use_cases)
        async for name in in_turns(names):
            snapshot = self._first(name, tallied[name], uses[name]) if name in uses else None
            if snapshot:
                new.append(snapshot)
            else:
                before = self._through.get(name)
                missing[worklist.account(name)] = before + DAY if before else worklist.EVER
        await worklist.mark(connection, missing)
        await snapshots.insert(connection, new, self._clock())
        return {snapshot.body["account"]: snapshot.day for snapshot in new}

    def _first(self, name: str, tallied: Tallied, uses: Uses) -> Snapshot | None:
        """What is said of a day that has just closed; of what cannot be evaluated the worklist says why."""
        try:
            return self._snapshot(name, tallied, uses, self._rises(name, tallied.day, tallied.day), 1)
        except _IMPOSSIBLE:
            return None

    def _rises(self, name: str, first: date, last: date) -> list[SeatChange]:
        """All that a pause on one of these days can come from."""
        return seats.rises(self._register.account(name), first - timedelta(days=seats.GRACE_DAYS), last)

    def _last_closed_day(self, zone: str) -> date:
        """A day is closed for us once whatever arrived until then has taken effect, however far behind we were."""
        return last_closed_day(min(self._clock(), self._current_to() or _NEVER), zone)

    @asynccontextmanager
    async def _in_step(self, shards: frozenset[int]) -> AsyncIterator[AsyncConnection]:
        """A transaction during which memory and database agree about these shards; raises `Fenced` when they do not."""
        async with self._counting.lock, self._register.lock, self._engine.begin() as connection:
            positions = self._counting.positions
            await activity_store.confirm(connection, {number: positions[number] for number in shards})
            await self._register.catch_up(connection)
            yield connection

    async def _evaluate(self, connection: AsyncConnection, work: Work) -> dict[str, date]:
        """Returns how far the account is published by now."""
        if work.account is not None:
            return await self._evaluate_account(connection, work, work.account)
        if work.opportunity is not None:
            await self._evaluate_trial(connection, work.opportunity)
        elif work.subject == worklist.TEAM:
            await self._evaluate_team(connection)
        await worklist.done(connection, work)
        return {}

    async def _evaluate_account(self, connection: AsyncConnection, work: Work, name: str) -> dict[str, date]:
        """New revisions of the days from the work's first on whose numbers are not what was published.

        From the first that is not published yet, if that is earlier: while we lag behind, the marks of a day may come
        before the day can close.
        """
        zone = self._register.zone_of(name)
        if not self._counting.zone_is_settled(name, zone):
            return {}  # its days are about to be recomputed in another zone
        await worklist.done(connection, work)
        last, through = self._last_closed_day(zone), self._through.get(name)
        first_day = min(work.first_day, through + DAY if through else worklist.EVER)
        first = max(first_day, last - timedelta(days=PUBLISHED_DAYS - 1))
        published = await snapshots.latest(connection, worklist.account(name), first_day)
        oldest = min([first, *published])
        new = []
        uses = await self._tally.features.uses(name, oldest, last, self._evaluation.config.use_cases)
        rises = self._rises(name, oldest, last)
        async for tallied in in_turns(await self._tally.days(name, oldest, last)):
            day, known = tallied.day, published.get(tallied.day)
            if not known and (day < first or (day < last and self._is_unheard(name, tallied))):
                continue
            snapshot = self._snapshot(name, tallied, uses, rises, known.revision + 1 if known else 1)
            if not known or news.differs(snapshot.body, known.body, whole=day == last):
                new.append(snapshot)
        for part, snapshot in enumerate(new, 1):
            snapshot.body.update(part=part, parts=len(new), import_id=work.import_id or None)
        await snapshots.insert(connection, new, self._clock())
        open_again = min((day for day in published if day > last), default=None)
        if open_again:  # a zone further west: there it is not over yet
            await worklist.mark(connection, {work.subject: open_again}, due_at=closes_at(open_again, zone))
        return {name: last}

    def _is_unheard(self, name: str, tallied: Tallied) -> bool:
        """Nothing of it had ever come by then."""
        told = self._register.told(name, tallied.day)
        return heard_of(self._register.account(name), tallied.last_contact, told).newest is None

    def _snapshot(
        self, name: str, tallied: Tallied, uses: Uses, rises: Sequence[SeatChange], revision: int
    ) -> Snapshot:
        account, position = self._register.account(name).on(tallied.day), self._register.position
        return account_snapshots.of_day(
            account,
            self._evaluation.kpis(name, tallied, revision),
            uses,
            self._evaluation.config.use_cases,
            seats.last_rise(rises, tallied.day),
            position.sequence if position else None,
            self._clock(),
        )

    async def _evaluate_trial(self, connection: AsyncConnection, opportunity: str) -> None:
        clock, position = self._register.trials.get(opportunity), self._register.position
        if clock is None or position is None:
            return
        account = self._register.account(clock.account)
        day = self._last_closed_day(account.time_zone)
        tallied = self._tally.now(clock.account, day, TRIAL)
        if tallied is None:
            (tallied,) = await self._tally.days(clock.account, day, day, TRIAL)
        usage, zone = sales_snapshots.usage_of(tallied), self._sales.vendor_zone
        await self._revise(
            connection,
            sales_snapshots.of_trial(clock, self._sales.today, account, usage, position.sequence, zone, self._clock()),
        )

    async def _evaluate_team(self, connection: AsyncConnection) -> None:
        """The running quarter; nothing while no opportunity was ever told of."""
        position = self._register.position
        if position and (self._register.trials or self._register.deals):
            kpis = await self._sales.team(self._sales.quarter)
            await self._revise(
                connection, sales_snapshots.of_team(kpis, position.sequence, self._sales.vendor_zone, self._clock())
            )

    async def _revise(self, connection: AsyncConnection, snapshot: Snapshot) -> None:
        """Publish it if it says anything new; the revisions of a subject rise whatever their day."""
        known = await snapshots.latest(connection, snapshot.subject, date.min)
        newest = max(known.values(), key=lambda one: one.revision, default=None)
        if newest is None or news.differs(snapshot.body, newest.body, whole=True):
            revision = news.revision_after(snapshot.revision, newest.revision if newest else 0)
            snapshot = replace(snapshot, revision=revision, body=snapshot.body | {"revision": revision})
            await snapshots.insert(connection, [snapshot], self._clock())

    async def send(self, js: JetStreamContext) -> int:
        """Hand unsent revisions to NATS."""
        return await sending.send(self._engine, js)
