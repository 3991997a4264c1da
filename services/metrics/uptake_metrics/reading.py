"""Runs the readers of what this replica has leased, anew whenever that changes; knows how far all has been read.

Counts and folds nothing itself. A reader has its shards for life: positions are moved for just those shards whose
messages it has asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial

from nats.aio.client import Client

from uptake import subjects
from uptake.clock import utc_now
from uptake.reader import Cursor, Entry, Reader
from uptake.streams import stream_uuid
from uptake_metrics.counting import Counting
from uptake_metrics.leases import Leases
from uptake_metrics.register import Register

_LOOK_EVERY_S = 0.1
#: A checkpoint when there is a backlog: more would hold up the event loop, less would spend its time on commits.
_AT_ONCE = 400
#: So many messages to read are a backlog, and so are any that wait for so long.
_BACKLOG, _LATE = 2 * _AT_ONCE, timedelta(seconds=0.5)

Refuse = Callable[[Entry, Exception], Awaitable[None]]


class Reading:
    """FACTS where this replica leads, and the shards of USAGE that it holds."""

    def __init__(self, client: Client, leases: Leases, register: Register, counting: Counting, refuse: Refuse) -> None:
        self._client, self._leases = client, leases
        self._register, self._counting = register, counting
        self._refuse = refuse
        self._facts: Reader | None = None
        self._usage: Reader | None = None
        self._facts_to: datetime | None = None
        self.shards: frozenset[int] = frozenset()  # those that the reader of USAGE reads now

    @property
    def current_to(self) -> datetime | None:
        """Whatever USAGE took up to this instant for the shards that are read is counted, and whatever FACTS took until
        then is known here; null while that is not known."""
        usage = self._usage.current_to if self._usage else None
        return min(usage, self._facts_to) if usage and self._facts_to else None

    async def look_at_facts(self) -> None:
        """How far facts are known here, whoever reads them: up to now, or up to the newest one that has been stored.

        FACTS may be quiet for days; so the stream is asked how far it goes, and asked first.
        """
        asked_at = utc_now()
        info = await self._client.jetstream().stream_info(subjects.FACTS)
        known = await self._register.load()
        if known.stream_uuid not in (None, stream_uuid(info)):
            self._facts_to = None  # another stream: its reader says so
        else:
            self._facts_to = asked_at if known.sequence >= info.state.last_seq else known.stored_at

    @property
    def is_behind(self) -> bool:
        """There is a backlog: what can wait should."""
        usage = self._usage
        if usage is None or not usage.lag:
            return False
        return usage.lag > _BACKLOG or (usage.current_to is not None and utc_now() - usage.current_to > _LATE)

    def lag(self) -> dict[str, int]:
        """Messages of each stream that are ours to read and not yet counted."""
        return {
            subjects.FACTS: self._facts.lag if self._facts else 0,
            subjects.USAGE: self._usage.lag if self._usage else 0,
        }

    def problem_of_facts(self) -> str | None:
        """Why FACTS is not being read, when that is ours to do."""
        return self._facts.reason if self._facts else None

    def problem_of_usage(self) -> str | None:
        """Why our shards of USAGE are not being read."""
        return self._usage.reason if self._usage else None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            held = self._leases.held
            async with self._readers():
                while held == self._leases.held:  # noqa: ASYNC110  # asked ten times a second, in a process that works
                    await asyncio.sleep(_LOOK_EVERY_S)

    @asynccontextmanager
    async def _readers(self) -> AsyncIterator[None]:
        """The readers of what is leased at this moment; they have ended when the block has."""
        self._facts = self._reader_of_facts() if self._leases.leads else None
        shards = self._leases.shards
        self._usage = self._reader_of_usage(shards) if shards else None
        self.shards = shards
        tasks = [asyncio.create_task(reader.run()) for reader in (self._facts,) if reader]
        if self._usage:
            tasks.append(asyncio.create_task(self._after_facts(self._usage)))
        try:
            yield
        finally:
            self.shards, self._usage, self._facts = frozenset(), None, None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _after_facts(self, usage: Reader) -> None:
        """Usage is read once facts are: most accounts' zones are known before their first event is counted."""
        while self._facts and not self._facts.caught_up:  # noqa: ASYNC110  # the reader has no event to wait for
            await asyncio.sleep(0.05)
        await usage.run()

    async def _position(self, shards: frozenset[int]) -> Cursor:
        """Facts first, whoever reads them: zones are known before the first event is counted."""
        await self._register.load()
        return await self._counting.load(shards)

    def _reader_of_facts(self) -> Reader:
        register = self._register
        return Reader(
            self._client,
            subjects.FACTS,
            ["fact.v1.>"],
            position=register.load,
            apply=register.apply,
            refuse=self._refuse,
        )

    def _reader_of_usage(self, shards: frozenset[int]) -> Reader:
        counting = self._counting
        return Reader(
            self._client,
            subjects.USAGE,
            [subjects.usage(number) for number in sorted(shards)],
            position=partial(self._position, shards),
            others=partial(counting.cursors, shards),
            prepare=counting.prepare,
            apply=partial(counting.apply, shards=shards),
            refuse=counting.refuse,
            max_messages=_AT_ONCE,
        )
