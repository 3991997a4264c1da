"""FACTS in, accounts and trials out: every fact kept in PostgreSQL, folded in memory. Judges no KPI.

Owns the fold of every account and opportunity that facts speak of.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import date, datetime

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake import cursor
from uptake.clock import utc_now
from uptake.messages.events import InstanceHeartbeat, UsagePing, UserDeleted
from uptake.messages.facts import Fact
from uptake.messages.imports import ImportFinished, ImportStarted
from uptake.reader import Cursor, Entry
from uptake_metrics import accounts, deals, erasure_store, instance_store, meters, tables, trials, worklist
from uptake_metrics.accounts import Account
from uptake_metrics.deals import Deal
from uptake_metrics.instances import Heard, Instances, Told
from uptake_metrics.links import Links
from uptake_metrics.trials import TrialClock
from uptake_metrics.user_lists import UserLists
from uptake_metrics.zones import DAY, day_start

_DEFAULT_ZONE = Account("").time_zone

Reject = Callable[[Entry, Exception], Awaitable[None]]
Numbered = tuple[int, Fact]  # a fact and its sequence in FACTS
Arrived = tuple[Entry, Fact]


class Register:
    """What facts say, as of `position` in FACTS."""

    def __init__(
        self,
        engine: AsyncEngine,
        vendor_zone: str,
        reject: Reject,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._vendor_zone = vendor_zone
        self._reject = reject
        self.lock = asyncio.Lock()
        self.position: Cursor | None = None
        self.accounts: dict[str, Account] = {}
        self.trials: dict[str, TrialClock] = {}
        self.deals: dict[str, Deal] = {}
        self.instances = Instances()
        self.lists = UserLists()
        self.touched: set[str] = set()  # accounts whose current numbers may have changed; taken by the board

    def account(self, name: str) -> Account:
        """The account by its facts; one that only ever sent usage has every default."""
        return self.accounts.get(name) or Account(name)

    def zone_of(self, name: str) -> str:
        """Asked for every account again and again."""
        known = self.accounts.get(name)
        return known.time_zone if known else _DEFAULT_ZONE

    def links_of(self, name: str) -> Links:
        """Which ids of the account name one person; asked whenever anybody is counted."""
        known = self.accounts.get(name)
        return known.links if known else ()

    async def statements(self, account: str) -> list[Numbered]:
        """The facts that speak of an account itself, in the order in which they arrived."""
        async with self._engine.connect() as connection:
            return await _facts(connection, [account], [])

    async def causes(self, account: str, after: int, to: int) -> list[Numbered]:
        """The facts with sequences in `(after, to]` that can have moved its numbers: also its pings, and those about
        every installation that was ever its own."""
        async with self._engine.connect() as connection:
            return await _facts_about(connection, account, after, to)

    def told(self, name: str, day: date) -> Told:
        """What the account's installations and its pings say of a local day."""
        return self.instances.told(name, day, day_start(day + DAY, self.zone_of(name)))

    async def load(self) -> Cursor:
        """Agree with the database; returns the position."""
        async with self.lock, self._engine.connect() as connection:
            return await self.catch_up(connection)

    async def catch_up(self, connection: AsyncConnection) -> Cursor:
        """Fold what another process has stored since; the caller holds `lock`."""
        stored = await cursor.load(connection, tables.SCHEMA, "FACTS")
        known = self.position
        if stored == known:
            return stored
        if known is None or known.stream_uuid != stored.stream_uuid or known.sequence > stored.sequence:
            await self._begin(connection)
        else:
            new = await _facts_after(connection, known.sequence)
            beats = await instance_store.heartbeats(connection, known.sequence)
            changed = await _facts(connection, _accounts(new), _opportunities(new))
            await self._refold(changed)
            self._learn([fact for _, fact in new], beats)
        self.position = stored
        return stored

    async def _begin(self, connection: AsyncConnection) -> None:
        """All facts of whomever they speak of: rows are only ever added."""
        everything = await _facts(connection)
        await self._refold(everything)
        self.instances = Instances()
        self._learn([fact for _, fact in everything], await instance_store.heartbeats(connection))

    async def read_again(self, accounts: Collection[str]) -> None:
        """Fold the facts of some accounts anew, whose rows were rewritten."""
        if accounts:
            async with self.lock, self._engine.connect() as connection:
                await self._refold(await _facts(connection, sorted(accounts), []))

    async def apply(self, entries: Sequence[Entry], expected: Cursor, new: Cursor) -> None:
        """One transaction: the facts, what they put on the worklist, and the position."""
        arrived = [one for entry in entries if (one := await self._decoded(entry))]
        beats = [(entry.sequence, one.event) for entry, one in arrived if isinstance(one.event, InstanceHeartbeat)]
        kept = [(entry, fact) for entry, fact in arrived if not isinstance(fact.event, InstanceHeartbeat)]
        async with self.lock:
            moved = self.instances.moved([fact for _, fact in arrived], self.zone_of, self._clock())
            async with self._engine.begin() as connection:
                await cursor.advance(connection, tables.SCHEMA, "FACTS", expected, new)
                kept = await erasure_store.screen(connection, kept)
                facts = [(entry.sequence, fact) for entry, fact in kept]
                await _save(connection, kept)
                await instance_store.save_heartbeats(connection, beats)
                await _save_imports(connection, [fact for _, fact in facts])
                changed = await _facts(connection, _accounts(facts), _opportunities(facts))
                first_days = {worklist.account(name): day for name, day in moved.items()}
                first_days |= dict.fromkeys(self._subjects(changed), worklist.EVER)
                await worklist.mark(connection, first_days)
            # Not reached when the commit failed or its answer was lost: `load` then finds out.
            await self._refold(changed)
            self._learn([fact for _, fact in arrived])
            self.position = new
            meters.FACTS.inc(len(arrived))

    def _learn(self, facts: Sequence[Fact], heartbeats: Iterable[Heard] = ()) -> None:
        """What they say of installations, and of whom else than facts about accounts speak."""
        for fact in facts:
            match fact.event:
                case UsagePing(account=str(name)) if name not in self.accounts:
                    self.accounts[name] = Account(name)
        self.touched |= self.instances.learn(facts, self.zone_of) | self.instances.hear(heartbeats, self.zone_of)

    async def _decoded(self, entry: Entry) -> Arrived | None:
        try:
            return entry, Fact.model_validate_json(entry.data)
        except ValidationError as error:
            await self._reject(entry, error)
            return None

    def _subjects(self, facts: Iterable[Numbered]) -> set[str]:
        """Whose snapshots these facts can change; a trial's snapshot names the owner of its account."""
        about = [_about(fact) for _, fact in facts if _is_told_of([fact])]
        names = {account for account, _ in about if account}
        opportunities = {opportunity for _, opportunity in about if opportunity}
        opportunities |= {opportunity for opportunity, clock in self.trials.items() if clock.account in names}
        team = {worklist.TEAM} if any(opportunity for _, opportunity in about) else set[str]()
        return team | {worklist.account(name) for name in names} | {worklist.trial(name) for name in opportunities}

    async def _refold(self, facts: Iterable[Numbered]) -> None:
        of_account: dict[str, list[Fact]] = defaultdict(list)
        of_opportunity: dict[str, list[Fact]] = defaultdict(list)
        for _, fact in facts:
            account, opportunity = _about(fact)
            if opportunity:
                of_opportunity[opportunity].append(fact)
            elif account:
                of_account[account].append(fact)
        for number, (name, said) in enumerate(of_account.items()):
            if not _is_told_of(said):
                continue
            self.accounts[name] = accounts.fold(name, said)
            self.lists.learn(self.accounts[name], said)
            self.touched.add(name)
            if number % 200 == 199:
                await asyncio.sleep(0)  # tens of thousands at start; the health check must still be answered
        for name, said in of_opportunity.items():
            clock = trials.fold(name, said, self._vendor_zone)
            if clock:
                self.trials[name] = clock
                self.touched.add(clock.account)
            deal = deals.fold(name, said, self._vendor_zone)
            if deal:
                self.deals[name] = deal
            else:  # open again
                self.deals.pop(name, None)


def _is_told_of(facts: Iterable[Fact]) -> bool:
    """Whether there is such an account: a wish to erase somebody, with a slip in it perhaps, makes none."""
    return not all(isinstance(fact.event, UserDeleted) for fact in facts)


def _about(fact: Fact) -> tuple[str | None, str | None]:
    """The account and the opportunity that a fact speaks of."""
    event = fact.event
    return getattr(event, "account", None), getattr(event, "opportunity", None)


def _accounts(facts: Iterable[Numbered]) -> list[str]:
    """Whose folds these facts change: pings are no part of them."""
    about = [_about(fact) for _, fact in facts if not isinstance(fact.event, UsagePing)]
    return sorted({account for account, opportunity in about if account and not opportunity})


def _opportunities(facts: Iterable[Numbered]) -> list[str]:
    return sorted({opportunity for _, fact in facts for _, opportunity in [_about(fact)] if opportunity})


async def _save(connection: AsyncConnection, facts: Sequence[Arrived]) -> None:
    """Each once, whatever its number: a stream that is read again from its start brings them again."""
    rows = list({entry.subject: (entry, fact) for entry, fact in facts}.values())
    if rows:
        await connection.execute(
            text("""
                INSERT INTO metrics.fact (subject, sequence, type, account, opportunity, body)
                SELECT subject, sequence, type, account, opportunity, CAST(body AS jsonb)
                FROM unnest(CAST(:subject AS text[]), CAST(:sequence AS bigint[]), CAST(:type AS text[]),
                            CAST(:account AS text[]), CAST(:opportunity AS text[]), CAST(:body AS text[]))
                     AS new(subject, sequence, type, account, opportunity, body)
                ON CONFLICT (subject) DO UPDATE SET sequence = excluded.sequence"""),
            {
                "subject": [entry.subject for entry, _ in rows],
                "sequence": [entry.sequence for entry, _ in rows],
                "type": [fact.event.type for _, fact in rows],
                "account": [_about(fact)[0] for _, fact in rows],
                "opportunity": [_about(fact)[1] for _, fact in rows],
                "body": [fact.model_dump_json(exclude_unset=True) for _, fact in rows],
            },
        )


async def _save_imports(connection: AsyncConnection, facts: Iterable[Fact]) -> None:
    for fact in facts:
        match fact.event:
            case ImportStarted() as event:
                await connection.execute(
                    text("""
                        INSERT INTO metrics.import_job (import_id, source, reason, started_at)
                        VALUES (:id, :source, :reason, :at) ON CONFLICT (import_id) DO NOTHING"""),
                    {"id": event.import_id, "source": fact.source, "reason": event.reason, "at": event.occurred_at},
                )
            case ImportFinished() as event:
                await connection.execute(
                    text("""
                        UPDATE metrics.import_job SET usage_sequence = :sequence, finished_at = :at
                        WHERE import_id = :id"""),
                    {"id": event.import_id, "sequence": event.usage_sequence, "at": event.occurred_at},
                )


async def _facts_after(connection: AsyncConnection, sequence: int) -> list[Numbered]:
    rows = await connection.execute(
        text("SELECT sequence, CAST(body AS text) FROM metrics.fact WHERE sequence > :sequence"), {"sequence": sequence}
    )
    return [(number, Fact.model_validate_json(body)) for number, body in rows]


async def _facts(
    connection: AsyncConnection, names: list[str] | None = None, opportunities: list[str] | None = None
) -> list[Numbered]:
    """The facts of some accounts (but their pings) and opportunities, or all there are."""
    rows = await connection.execute(
        text("""
            SELECT sequence, CAST(body AS text) FROM metrics.fact
            WHERE CAST(:accounts AS text[]) IS NULL
               OR opportunity IS NULL AND account = ANY(CAST(:accounts AS text[])) AND type <> 'usage.ping'
               OR opportunity = ANY(CAST(:opportunities AS text[]))
            ORDER BY sequence"""),
        {"accounts": names, "opportunities": opportunities},
    )
    return [(sequence, Fact.model_validate_json(body)) for sequence, body in rows]


async def _facts_about(connection: AsyncConnection, account: str, after: int, to: int) -> list[Numbered]:
    rows = await connection.execute(
        text("""
            SELECT sequence, CAST(body AS text) FROM metrics.fact
            WHERE sequence > :after AND sequence <= :to AND opportunity IS NULL
              AND (account = :account OR type IN ('instance.mapped', 'usage.ping') AND body->'event'->>'instance' IN (
                  SELECT body->'event'->>'instance' FROM metrics.fact
                  WHERE type = 'instance.mapped' AND account = :account))
            ORDER BY sequence"""),
        {"account": account, "after": after, "to": to},
    )
    return [(sequence, Fact.model_validate_json(body)) for sequence, body in rows]
