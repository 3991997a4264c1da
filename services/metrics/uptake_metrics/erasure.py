"""Erases people: out of the tables in one transaction, then out of every stream, message by message. Counts nothing.

An erasure is a row that knows what is to be done next, and the id until nothing is. Every step can be done again: it
goes on after a crash wherever that was, and no message and no count is lost in between. Only the process that reads
the shard of the account works on it.

    waiting    the tables: all that is stored of the person is the tombstone's; from here on the id is suppressed
    searching  which messages name the person; none: done
    replacing  usage and links: the same message with the tombstone instead; whatever else: deleted. Then search again
    done       the receipt stands, and the id is forgotten
"""

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import streams, subjects
from uptake.consumer import Entry
from uptake.messages.usage import UsageBatch
from uptake_metrics import activity_store, erasure_store, erasure_tables, mask_store, usage_log
from uptake_metrics.batches import Batch, decoded
from uptake_metrics.counting import ALL_SHARDS, Counting
from uptake_metrics.erasure_store import Job, Named
from uptake_metrics.register import Register
from uptake_metrics.suppression import attributed, mentions, tombstone

SEARCHING, REPLACING = "searching", "replacing"
_EVERYTHING = 2**63
_PUBLISH_S = 5.0
_CLOCKS_DIFFER = timedelta(minutes=5)  # of two processes, at the most

_log = structlog.get_logger()


class Erasing:
    """Does what erasures of these shards wait for, a step of each at a time."""

    def __init__(
        self,
        engine: AsyncEngine,
        js: JetStreamContext,
        counting: Counting,
        register: Register,
        shards: Callable[[], Collection[int]] = lambda: ALL_SHARDS,
    ) -> None:
        """`shards`: those whose accounts are this process' to work on."""
        self._engine = engine
        self._js = js
        self._counting = counting
        self._register = register
        self._shards = shards
        self._refused_to = 0  # up to which sequence of REFUSED refusals have been looked through
        self._looked_at = datetime(1970, 1, 1, tzinfo=UTC)  # up to when attributed usage has been looked through

    async def run_once(self) -> int:
        """One step of every erasure, and the messages that named somebody afterwards; returns how many steps it did."""
        async with self._engine.connect() as connection:
            jobs = await erasure_store.unfinished(connection, sorted(self._shards()))
        for job in jobs:
            await self._step(job)
        await self._forget_attributed()
        if not jobs:  # they look through all refusals themselves, and count what they find
            await self._forget_refused()
        await self._forget_names()
        return len(jobs) + await self._replace()

    async def _forget_refused(self) -> None:
        """Refusals of what erased people were said to have done later."""
        erased = [people for number in self._shards() if (people := self._counting.shards[number].erased)]
        if not erased:
            return
        async for entries in usage_log.read_all(self._js, subjects.REFUSED, "refused.v1.>", self._refused_to):
            for entry in entries:
                if any(people.recognised(entry.data) for people in erased):
                    await self._forget(subjects.REFUSED, entry.sequence)
                self._refused_to = entry.sequence

    async def _forget_names(self) -> None:
        """Of accounts whose people are not to be named any more; again and again, for it takes no time."""
        off = [name for name in self._register.lists.off if subjects.shard_of(name) in self._shards()]
        if off:
            async with self._engine.begin() as connection:
                await activity_store.forget_names(connection, sorted(off))

    async def _step(self, job: Job) -> None:
        match job.state:
            case "waiting":
                await self._rewrite_tables(job)
            case "searching":
                await self._search(job)
            case "replacing":
                await self._look_again(job)

    async def _rewrite_tables(self, job: Job) -> None:
        """One checkpoint of the shard, which every replica has to read anew; the position stays."""
        await self._counting.load()
        number = subjects.shard_of(job.account)
        async with self._counting.lock:
            at = self._counting.positions[number]
            async with self._engine.begin() as connection:
                await erasure_store.lock_facts(connection)
                await activity_store.advance(connection, {number: at})
                await mask_store.compact(connection, number)
                cursor = at.cursor
                stands_for = tombstone(secrets.token_bytes(16))
                stands_for = await erasure_store.bury(connection, job, stands_for, cursor.stream_uuid, cursor.sequence)
                shard = self._counting.shards[number]
                instances = [name for name, owner in self._owners().items() if owner == job.account]
                await erasure_tables.rewrite(connection, shard, job, stands_for, instances)
                await erasure_store.proceed(connection, job, SEARCHING)
            await self._counting.reload(number)
        await self._register.read_again(self._counting.take_rewritten())
        _log.info("erasure: the tables name the person no more", erasure=job.id)

    async def _search(self, job: Job) -> None:
        """Everything that names the person by now; what comes later is noted by whoever takes it in."""
        found = {
            subjects.USAGE: await self._usage_of(job.account, str(job.user)),
            subjects.REFUSED: await self._mentions(job, subjects.REFUSED, "refused.v1.>"),
            subjects.RAW: await self._mentions(job, subjects.RAW, "raw.v1.>"),
        }
        _log.info("erasure: searched", erasure=job.id, found={name: len(messages) for name, messages in found.items()})
        async with self._engine.begin() as connection:
            for stream, messages in found.items():
                await erasure_store.note(connection, job, stream, messages)
            if any(found.values()) or await erasure_store.is_waiting(connection, job):
                await erasure_store.proceed(connection, job, REPLACING)
            else:
                await erasure_store.finish(connection, job)

    async def _usage_of(self, account: str, user: str) -> list[tuple[int, str]]:
        """In the shard of the account, and in those of its installations."""
        owners, home = self._owners(), subjects.shard_of(account)
        numbers = {home, *(subjects.shard_of(name) for name, owner in owners.items() if owner == account)}
        found = list[tuple[int, str]]()
        for number in sorted(numbers):
            async for entries in usage_log.read(self._js, number, 0, self._counting.positions[number].cursor):
                found += _naming(entries, account, user, owners)
        return found

    async def _forget_attributed(self) -> None:
        """What erased people did later through an installation: it names no account when it comes."""
        erased = [self._counting.shards[number].erased for number in self._shards()]
        accounts = sorted(set[str]().union(*(people.accounts for people in erased)))
        if not accounts:
            return
        async with self._engine.connect() as connection:
            found, newest = await erasure_tables.attributed_since(connection, accounts, self._looked_at)
        for account, user in found:
            if self._counting.shard_of(account).erased.find(account, user):
                messages = await self._usage_of(account, user)
                async with self._engine.begin() as connection:
                    for sequence, subject in messages:
                        await erasure_store.note_later(connection, subject, sequence)
                    await erasure_tables.forget_attributed(connection, account, user)
        self._looked_at = newest - _CLOCKS_DIFFER if newest else self._looked_at

    def _owners(self) -> dict[str, str]:
        """By installation: whose it is."""
        return {name: mapped.account for name, mapped in self._register.instances.mapped.items()}

    async def _mentions(self, job: Job, stream: str, subject: str) -> list[tuple[int, str]]:
        found = []
        async for entries in usage_log.read_all(self._js, stream, subject):
            found += [(one.sequence, one.subject) for one in entries if mentions(one.data, job.account, str(job.user))]
        return found

    async def _look_again(self, job: Job) -> None:
        """Once nothing waits any more: what was on its way is found now, and an erasure ends when nothing is."""
        async with self._engine.begin() as connection:
            if not await erasure_store.is_waiting(connection, job):
                await erasure_store.proceed(connection, job, SEARCHING)

    async def _replace(self) -> int:
        """Noted messages, as far as all readers have them behind them."""
        async with self._engine.connect() as connection:
            waiting = await erasure_store.named(connection, sorted(self._shards()))
        limits = await self._limits() if waiting else {}
        ready = [one for one in waiting if max(one.sequence, one.copy or 0) <= limits[one.stream]]
        for message in ready:
            copy = await self._replace_one(message)
            async with self._engine.begin() as connection:
                if copy is None:
                    await erasure_store.replaced(connection, message)
                else:
                    await erasure_store.copied(connection, message, copy)
        return len(ready)

    async def _limits(self) -> dict[str, int]:
        """By stream, up to where nobody reads any more: none may begin after a reader's position."""
        facts = self._register.position
        taken = (await self._js.consumer_info(subjects.RAW, streams.RAW_CONSUMER)).ack_floor
        return {
            subjects.USAGE: self._counting.position.sequence,
            subjects.FACTS: facts.sequence if facts else 0,
            subjects.REFUSED: _EVERYTHING,
            subjects.RAW: taken.stream_seq if taken else 0,
        }

    async def _replace_one(self, message: Named) -> int | None:
        """Null once the message is gone; else the sequence of the one that stands for it, and is to be read first."""
        if message.stream == subjects.USAGE and message.copy is None:
            return await self._copy(message)
        if message.stream == subjects.FACTS:
            await self._replace_fact(message)
        else:
            await self._forget(message.stream, message.sequence)
        return None

    async def _copy(self, message: Named) -> int | None:
        """The same usage without the ids of whoever is erased by now; null where nothing would be lost.

        Until its readers have passed the copy, the message stays: a log that is read up to a position has one of them.
        """
        try:
            found = await self._js.get_msg(subjects.USAGE, message.sequence)
            data = found.data or b""
            decoded(data, found.time or datetime.now(UTC))
            batch = UsageBatch.model_validate_json(data)
        except NotFoundError:
            return None  # another erasure was faster
        except ValueError:  # counting refused it
            await self._forget(subjects.USAGE, message.sequence)
            return None
        async with self._engine.connect() as connection:
            erased, owners = await erasure_store.everybody(connection), self._owners()
            counted = await erasure_tables.counted_through(connection, erased.through(batch, owners).values())
        new = erased.rewritten(batch, message.sequence, owners, counted)
        return await self._publish(message, new.model_dump_json(exclude_none=True).encode())

    async def _replace_fact(self, message: Named) -> None:
        """A link goes on merging, with the tombstone; deleted first, for the broker keeps one message of a subject."""
        try:
            found = await self._js.get_msg(subjects.FACTS, message.sequence)
        except NotFoundError:
            found = None
        if found is not None and found.subject == message.subject:
            await self._forget(subjects.FACTS, message.sequence)
        async with self._engine.connect() as connection:
            kept = await erasure_tables.link(connection, message.subject)
        if kept and not await self._stands(message.subject):
            await self._publish(message, kept.encode())

    async def _stands(self, subject: str) -> bool:
        try:
            await self._js.get_last_msg(subjects.FACTS, subject)
        except NotFoundError:
            return False
        return True

    async def _publish(self, message: Named, data: bytes) -> int:
        headers = {"Nats-Msg-Id": f"erased-{message.sequence}-{message.erasure}"}
        stored = await self._js.publish(
            message.subject, data, timeout=_PUBLISH_S, stream=message.stream, headers=headers
        )
        return stored.seq

    async def _forget(self, stream: str, sequence: int) -> None:
        """Overwritten on disk, not only marked."""
        try:
            await self._js.delete_msg(stream, sequence)
        except APIError:
            if await self._holds(stream, sequence):
                raise  # else another process, or we before a crash

    async def _holds(self, stream: str, sequence: int) -> bool:
        try:
            await self._js.get_msg(stream, sequence)
        except NotFoundError:
            return False
        return True


def _naming(entries: Sequence[Entry], account: str, user: str, owners: Mapping[str, str]) -> list[tuple[int, str]]:
    """Those messages of USAGE that have an event of the person; what nobody could count is judged by its text."""

    def names(entry: Entry, batch: Batch | ValueError) -> bool:
        if isinstance(batch, ValueError):
            return mentions(entry.data, account, user)
        return (account, user) in zip(attributed(batch.accounts, batch.instances, owners), batch.users, strict=True)

    pairs = zip(entries, usage_log.decode(entries), strict=True)
    return [(entry.sequence, entry.subject) for entry, batch in pairs if names(entry, batch)]
