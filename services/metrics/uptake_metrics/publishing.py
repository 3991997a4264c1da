"""Closed days in, KPI snapshots out: evaluates what the worklist names, and hands new revisions to NATS.

Owns when a day is published, and the outbox. The numbers come from `evaluation` and `sales`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any

import structlog
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake import subjects
from uptake.messages.kpi import AccountSnapshot
from uptake.subjects import shard_of
from uptake_metrics import activity_store, features, meters, sales_snapshots, seats, sending, snapshots, worklist
from uptake_metrics.activity import TRIAL
from uptake_metrics.counting import Counting
from uptake_metrics.evaluation import Evaluation
from uptake_metrics.feature_tally import Uses
from uptake_metrics.register import Register
from uptake_metrics.sales import Sales
from uptake_metrics.snapshots import Snapshot
from uptake_metrics.tally import Tallied, Tally
from uptake_metrics.worklist import Work
from uptake_metrics.zones import DAY, closes_at, last_closed_day

_log = structlog.get_logger()

#: Closed days of an account that are published from the start, and that late live events can still change.
PUBLISHED_DAYS = 35
_EVERY_SHARD = frozenset(range(subjects.SHARDS))
_A_TURN = 200  # accounts looked at between two turns of the event loop
_IMPOSSIBLE = (ArithmeticError, LookupError, TypeError, ValueError)  # of our own code; what the stores raise is another
_PUT_OFF = timedelta(minutes=5)
_AT_A_TIME = 10  # subjects per transaction: bounds how long counting waits


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

        `current_to`: the instant up to which their USAGE is counted; nothing is evaluated before it is known.
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
        waiting = [one async for one in self._unpublished(shards) if worklist.account(one[0]) not in held]
        for start in range(0, len(waiting), _AT_A_TIME):
            async with self._in_step(shards) as connection:
                through = await self._close(connection, waiting[start : start + _AT_A_TIME])
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
        for number, name in enumerate({*self._register.accounts, *self._counting.accounts()}):
            if number % _A_TURN == 0:
                await asyncio.sleep(0)
            if shard_of(name) not in shards:
                continue
            zone = self._register.zone_of(name)
            if zone not in closed:
                closed[zone] = self._last_closed_day(zone)
            if self._through.get(name, date.min) < closed[zone] and self._counting.zone_is_settled(name, zone):
                yield name, closed[zone]

    async def _close(self, connection: AsyncConnection, waiting: Sequence[tuple[str, date]]) -> dict[str, date]:
        """Returns the newest day of each account that it published."""
        new: list[Snapshot] = []
        missing: dict[str, date] = {}
        for name, closed in waiting:
            before = self._through.get(name)
            tallied = self._tally.now(name, closed) if before == closed - DAY else None
            snapshot = await self._first(name, tallied) if tallied else None
            if snapshot:
                new.append(snapshot)
            else:
                missing[worklist.account(name)] = before + DAY if before else worklist.EVER
        await worklist.mark(connection, missing)
        await snapshots.insert(connection, new, self._clock())
        return {snapshot.body["account"]: snapshot.day for snapshot in new}

    async def _first(self, name: str, tallied: Tallied) -> Snapshot | None:
        """What is said of a day that has just closed; of what cannot be evaluated the worklist says why."""
        uses = await self._tally.features.uses(name, tallied.day, tallied.day)
        try:
            return self._snapshot(name, tallied, uses, 1)
        except _IMPOSSIBLE:
            return None

    def _last_closed_day(self, zone: str) -> date:
        """A day is closed for us once whatever arrived until then is counted, however far behind we were."""
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
        uses = await self._tally.features.uses(name, oldest, last)
        for tallied in await self._tally.days(name, oldest, last):
            await asyncio.sleep(0)  # a year of a large account is a second of work
            day, known = tallied.day, published.get(tallied.day)
            told = self._register.told(name, day)
            silent_before = not (tallied.last_contact or told.heartbeat or told.pinged) and day < last
            if not known and (day < first or silent_before):
                continue
            snapshot = self._snapshot(name, tallied, uses, known.revision + 1 if known else 1)
            if not known or _differ(snapshot, known, whole=day == last):
                new.append(snapshot)
        for part, snapshot in enumerate(new, 1):
            snapshot.body.update(part=part, parts=len(new), import_id=work.import_id or None)
        await snapshots.insert(connection, new, self._clock())
        open_again = min((day for day in published if day > last), default=None)
        if open_again:  # a zone further west: there it is not over yet
            await worklist.mark(connection, {work.subject: open_again}, due_at=closes_at(open_again, zone))
        return {name: last}

    def _snapshot(self, name: str, tallied: Tallied, uses: Uses, revision: int) -> Snapshot:
        account, now = self._register.account(name).on(tallied.day), self._clock()
        kpis, taxonomy = self._evaluation.kpis(name, tallied, revision), self._evaluation.config.use_cases
        used = uses.mau(tallied.day, taxonomy)
        unknown = features.why_unknown(kpis, used.total)
        rise = seats.change(account, tallied.day)
        message = AccountSnapshot(
            account=name,
            **{field: getattr(account, field) for field in _ATTRIBUTES},
            seats_changed_on=rise and rise.on,
            seats_before=rise and rise.before,
            seat_grace_until=rise and rise.grace_until,
            published_at=now,
            closed_at=closes_at(tallied.day, account.time_zone),
            facts_to=self._register.position and self._register.position.sequence,
            kpis=kpis,
            use_cases=features.use_case_kpis(used, taxonomy, unknown),
            breadth=features.breadth(used, taxonomy, unknown),
            features_first_used=uses.first_used_on(tallied.day),
        )
        return Snapshot(worklist.account(name), tallied.day, revision, message.model_dump(mode="json"))

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
        if newest is None or _differ(snapshot, newest, whole=True):
            await snapshots.insert(connection, [_after(snapshot, newest)], self._clock())

    async def send(self, js: JetStreamContext) -> int:
        """Hand unsent revisions to NATS."""
        return await sending.send(self._engine, js)


def _after(snapshot: Snapshot, newest: Snapshot | None) -> Snapshot:
    """A stream of facts that was made again counts from one; the revisions of a trial and of the team go on."""
    revision = max(snapshot.revision, newest.revision + 1 if newest else 0)
    return replace(snapshot, revision=revision, body=snapshot.body | {"revision": revision})


_NEVER = datetime(1970, 1, 3, tzinfo=UTC)
_OF_THE_DAY = {
    "seats_changed_on",
    "seats_before",
    "seat_grace_until",
    "use_cases",
    "breadth",
    "features_first_used",
}
_PASSING = {"kpis", "revision", "published_at", "part", "parts", "import_id", "facts_to"}
_ATTRIBUTES = (
    "name",
    "region",
    "segment",
    "plan",
    "owner",
    "deputy",
    "executive",
    "manager",
    "churned_at",
    "production_date",
    "contract_start",
)


def _differ(new: Snapshot, known: Snapshot, *, whole: bool) -> bool:
    """Whether what is said of the day differs; on an account's newest day and for trials also who they are.

    What an earlier version did not say yet is no news, or every day that it published would be revised.
    """
    was = _lasting(known.body, whole)
    return _said_before(_lasting(new.body, whole), was) != was


def _said_before(new: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Of `new` the fields that `known` has, also of the objects within."""
    return {
        key: _said_before(value, known[key]) if isinstance(value, dict) and isinstance(known[key], dict) else value
        for key, value in new.items()
        if key in known
    }


def _lasting(body: dict[str, Any], whole: bool) -> dict[str, Any]:
    kpis = {key: value for key, value in body.get("kpis", {}).items() if key != "revision"}
    around = {key: value for key, value in body.items() if key not in _PASSING and (whole or key in _OF_THE_DAY)}
    return {**around, "kpis": kpis}
