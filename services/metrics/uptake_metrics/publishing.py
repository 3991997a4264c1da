"""Closed days in, KPI snapshots out: evaluates what the worklist names, and hands new revisions to NATS.

Owns when a day is published, and the outbox. The numbers come from `tally` and `kpis`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake import cursor, subjects
from uptake.messages.kpi import AccountSnapshot, TrialSnapshot
from uptake.reader import Fenced
from uptake_metrics import activity_store, meters, seats, snapshots, tables, trials, worklist
from uptake_metrics.counting import Counting
from uptake_metrics.kpis import account_kpis
from uptake_metrics.register import Register
from uptake_metrics.snapshots import Snapshot
from uptake_metrics.tally import Tallied, Tally
from uptake_metrics.worklist import Work
from uptake_metrics.zones import last_closed_day, local_day

#: Closed days of an account that are published from the start, and that late live events can still change.
PUBLISHED_DAYS = 35
_AT_A_TIME = 50  # subjects per transaction: bounds how long counting waits


class Publisher:
    """Evaluates under the locks of `counting` and `register`, so that what it reads is what is stored."""

    def __init__(
        self,
        engine: AsyncEngine,
        counting: Counting,
        register: Register,
        tally: Tally,
        vendor_zone: str,
        clock: Callable[[], datetime],
        current_to: Callable[[], datetime | None],
    ) -> None:
        """`current_to`: the instant up to which USAGE is counted; nothing is evaluated before it is known."""
        self._engine = engine
        self._counting = counting
        self._register = register
        self._tally = tally
        self._vendor_zone = vendor_zone
        self._clock = clock
        self._current_to = current_to
        self._through: dict[str, date] | None = None  # per account: the newest published day

    async def evaluate(self) -> int:
        """Do the due work of the worklist; returns how many subjects were evaluated."""
        if self._current_to() is None:
            return 0
        async with self._engine.connect() as connection:
            works = await worklist.due(connection, self._counting.position.sequence, 1000)
        for start in range(0, len(works), _AT_A_TIME):
            async with self._in_step() as connection:
                for work in works[start : start + _AT_A_TIME]:
                    await self._evaluate(connection, work)
        return len(works)

    async def close_days(self) -> None:
        """Publish every day that has closed since: at once where only that day is missing, else by the worklist."""
        if self._current_to() is None:
            return
        async with self._engine.connect() as connection:
            if self._through is None:
                self._through = await snapshots.published_through(connection)
            held = await worklist.held(connection, self._counting.position.sequence)
        waiting = [(name, closed) for name, closed in self._unpublished() if worklist.account(name) not in held]
        for start in range(0, len(waiting), _AT_A_TIME):
            async with self._in_step() as connection:
                new = await self._close(connection, self._through, waiting[start : start + _AT_A_TIME])
            self._through |= new  # only once it is committed, or a day could be left out

    def _unpublished(self) -> Iterable[tuple[str, date]]:
        """Accounts whose newest closed day is not published, and that day; none whose zone is about to change."""
        closed = dict[str, date]()
        through = self._through or {}
        for name in {*self._register.accounts, *self._counting.accounts()}:
            zone = self._register.zone_of(name)
            if zone not in closed:
                closed[zone] = self._last_closed_day(zone)
            if through.get(name, date.min) < closed[zone] and self._counting.zone_is_settled(name, zone):
                yield name, closed[zone]

    async def _close(
        self, connection: AsyncConnection, through: Mapping[str, date], waiting: Sequence[tuple[str, date]]
    ) -> dict[str, date]:
        """Returns what was published."""
        new: list[Snapshot] = []
        missing: dict[str, date] = {}
        for name, closed in waiting:
            before = through.get(name)
            tallied = self._tally.now(name, closed) if before == closed - timedelta(days=1) else None
            if tallied:
                new.append(self._snapshot(name, tallied, 1))
            else:
                missing[worklist.account(name)] = before + timedelta(days=1) if before else worklist.EVER
        await worklist.mark(connection, missing)
        await snapshots.insert(connection, new, self._clock())
        return {snapshot.body["account"]: snapshot.day for snapshot in new}

    def _last_closed_day(self, zone: str) -> date:
        """A day is closed for us once whatever arrived until then is counted, however far behind we were."""
        return last_closed_day(min(self._clock(), self._current_to() or _NEVER), zone)

    @asynccontextmanager
    async def _in_step(self) -> AsyncIterator[AsyncConnection]:
        """A transaction during which memory and database stay as they are; raises `Fenced` when they differ."""
        async with self._counting.lock, self._register.lock, self._engine.begin() as connection:
            await activity_store.confirm(connection, self._counting.positions)
            if await cursor.load(connection, tables.SCHEMA, "FACTS") != self._register.position:
                raise Fenced("another metrics process moved the position in FACTS")
            yield connection

    async def _evaluate(self, connection: AsyncConnection, work: Work) -> None:
        left = None
        if work.account is not None:
            if not self._counting.zone_is_settled(work.account, self._register.zone_of(work.account)):
                return  # its days are about to be recomputed in another zone
            left = await self._evaluate_account(connection, work.account, work.first_day)
        elif work.opportunity is not None:
            await self._evaluate_trial(connection, work.opportunity)
        await worklist.done(connection, work)
        if left:
            await worklist.mark(connection, {work.subject: left})

    async def _evaluate_account(self, connection: AsyncConnection, name: str, first_day: date) -> date | None:
        """New revisions of the days from `first_day` on whose numbers are not what was published.

        Returns the first published day that is open again, if there is one: in a zone further west it is not over.
        """
        last = self._last_closed_day(self._register.zone_of(name))
        first = max(first_day, last - timedelta(days=PUBLISHED_DAYS - 1))
        published = await snapshots.latest(connection, worklist.account(name), first_day)
        oldest = min([first, *published])
        new = []
        for tallied in await self._tally.days(name, oldest, last):
            day, known = tallied.day, published.get(tallied.day)
            silent_before = tallied.last_contact is None and day < last
            if not known and (day < first or silent_before):
                continue
            snapshot = self._snapshot(name, tallied, known.revision + 1 if known else 1)
            if not known or _differ(snapshot, known, whole=day == last):
                new.append(snapshot)
        for part, snapshot in enumerate(new, 1):
            snapshot.body.update(part=part, parts=len(new))
        await snapshots.insert(connection, new, self._clock())
        if self._through is not None:
            self._through[name] = max(last, self._through.get(name, last))
        return min((day for day in published if day > last), default=None)

    def _snapshot(self, name: str, tallied: Tallied, revision: int) -> Snapshot:
        account, now = self._register.account(name), self._clock()
        rise = seats.change(account, tallied.day)
        message = AccountSnapshot(
            account=name,
            **{field: getattr(account, field) for field in _ATTRIBUTES},
            seats_changed_on=rise and rise.on,
            seats_before=rise and rise.before,
            seat_grace_until=rise and rise.grace_until,
            published_at=now,
            kpis=account_kpis(account, tallied.day, tallied.counts, tallied.last_contact, now, revision),
        )
        return Snapshot(worklist.account(name), tallied.day, revision, message.model_dump(mode="json"))

    async def _evaluate_trial(self, connection: AsyncConnection, opportunity: str) -> None:
        clock = self._register.trials.get(opportunity)
        if clock is None or self._register.position is None:
            return
        now = self._clock()
        today = local_day(now, self._vendor_zone)
        account = self._register.account(clock.account)
        message = TrialSnapshot(
            trial=trials.trial(clock, today),
            revision=self._register.position.sequence,
            vendor_zone=self._vendor_zone,
            **trials.limits(clock)._asdict(),
            region=account.region,
            owner=account.owner,
            name=account.name,
            published_at=now,
        )
        snapshot = Snapshot(
            worklist.trial(opportunity), message.trial.started, message.revision, message.model_dump(mode="json")
        )
        known = await snapshots.latest(connection, snapshot.subject, date.min)
        newest = max(known.values(), key=lambda one: one.revision, default=None)
        if newest is None or _differ(snapshot, newest, whole=True):
            await snapshots.insert(connection, [snapshot], now)

    async def send(self, js: JetStreamContext) -> int:
        """Hand unsent revisions to NATS; a repeat after a crash is recognised by its message id."""
        async with self._engine.connect() as connection:
            waiting = await snapshots.unsent(connection, 200)
        if waiting:
            of_subject = groupby(waiting, key=attrgetter("subject"))
            await asyncio.gather(*(_publish_in_order(js, list(parts)) for _, parts in of_subject))
            async with self._engine.begin() as connection:
                await snapshots.mark_sent(connection, waiting)
            meters.SNAPSHOTS.inc(len(waiting))
        return len(waiting)


_NEVER = datetime(1970, 1, 3, tzinfo=UTC)
_PASSING = {"kpis", "revision", "published_at", "part", "parts"}
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
    """Whether the numbers differ; on an account's newest day and for trials also what stands around them."""
    return _lasting(new.body, whole) != _lasting(known.body, whole)


def _lasting(body: dict[str, Any], whole: bool) -> dict[str, Any]:
    kpis = {key: value for key, value in body.get("kpis", {}).items() if key != "revision"}
    around = {key: value for key, value in body.items() if key not in _PASSING}
    return {**around, "kpis": kpis} if whole else kpis


async def _publish_in_order(js: JetStreamContext, of_subject: Sequence[Snapshot]) -> None:
    """The next part only when the broker has stored the one before."""
    for snapshot in of_subject:
        await _publish(js, snapshot)


async def _publish(js: JetStreamContext, snapshot: Snapshot) -> None:
    of_trial = snapshot.subject.startswith(worklist.trial(""))
    name = snapshot.subject.split(":", 1)[1]
    subject = subjects.kpi_trial(name) if of_trial else subjects.kpi_account(name)
    message_class: type[TrialSnapshot | AccountSnapshot] = TrialSnapshot if of_trial else AccountSnapshot
    message = message_class.model_validate(snapshot.body)
    await js.publish(
        subject,
        message.model_dump_json().encode(),
        headers={"Nats-Msg-Id": f"{subject}/{snapshot.day}/{snapshot.revision}"},
        timeout=5,
    )
