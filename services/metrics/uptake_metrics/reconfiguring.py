"""Follows the configuration: when its content changed, the days that this can reach are evaluated anew, by others.

Which content the days of a shard were last evaluated under is kept in PostgreSQL: files are changed while nothing runs,
and another process may have read the shard since.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.subjects import shard_of
from uptake_metrics import mask_store, worklist
from uptake_metrics.activity import PRODUCTION
from uptake_metrics.config import Config
from uptake_metrics.counting import Counting
from uptake_metrics.features import FeatureDays, first_days
from uptake_metrics.ordering import in_turns
from uptake_metrics.reach import Content, of_policies, of_use_cases
from uptake_metrics.register import Register
from uptake_metrics.shard import Shard

_SHIPPED = Config(None)
#: What was in force before there were any files.
_AT_FIRST = (_SHIPPED.fingerprint(), Content(_SHIPPED.policies, _SHIPPED.use_cases).text())

Marks = dict[str, date]


class Reconfiguring:
    """Marks the accounts of the shards that this process reads; whoever evaluates them does it by its own files."""

    def __init__(
        self,
        engine: AsyncEngine,
        config: Config,
        counting: Counting,
        register: Register,
        shards: Callable[[], frozenset[int]],
    ) -> None:
        self._engine = engine
        self._config = config
        self._counting = counting
        self._register = register
        self._shards = shards
        self._version = config.version
        self._done: tuple[int, frozenset[int]] | None = None

    async def follow(self) -> None:
        """Look at the files, and at the shards that are ours by now."""
        version, shards = self._config.version, self._shards()
        if version != self._version:
            self._register.touched |= self._accounts()  # the board of every process shows every account
            self._version = version
        if (version, shards) != self._done:
            content = Content(self._config.policies, self._config.use_cases)
            async with self._engine.begin() as connection:
                await self._mark(connection, self._config.fingerprint(), content, shards)
            self._done = version, shards

    async def _mark(
        self, connection: AsyncConnection, fingerprint: str, content: Content, shards: frozenset[int]
    ) -> None:
        rows = await connection.execute(text("SELECT shard, fingerprint, content FROM metrics.evaluated_under"))
        known = {shard: (was, judged_by) for shard, was, judged_by in rows}
        changed = dict[str, set[int]]()  # by the former content
        for shard in shards:
            was, judged_by = known.get(shard, _AT_FIRST)
            if was != fingerprint:
                changed.setdefault(judged_by, set()).add(shard)
        marks: Marks = {}
        for judged_by, of_these in changed.items():
            marks |= await self._reached(connection, Content.read(judged_by), content, of_these)
        await worklist.mark(connection, marks)
        now = fingerprint, content.text()
        if new := sorted(shard for shard in shards if known.get(shard) != now):
            await connection.execute(
                text("""
                    INSERT INTO metrics.evaluated_under (shard, fingerprint, content)
                    SELECT shard, :fingerprint, :content FROM unnest(CAST(:shards AS int[])) AS new(shard)
                    ON CONFLICT (shard) DO UPDATE
                    SET fingerprint = excluded.fingerprint, content = excluded.content"""),
                {"fingerprint": now[0], "content": now[1], "shards": new},
            )

    async def _reached(self, connection: AsyncConnection, old: Content | None, new: Content, shards: set[int]) -> Marks:
        """The accounts of some shards whose published days may differ, and from which day on."""
        if old is None:
            return {worklist.account(name): worklist.EVER async for name in self._of(shards)}
        by_policy, by_use = of_policies(old.policies, new.policies), await self._by_use(connection, old, new, shards)
        marks: Marks = {}
        async for name in self._of(shards):
            at = worklist.EVER if by_use is None else by_use.get(name)
            days = [day for day in (by_policy(self._register.account(name)), at) if day]
            if days:
                marks[worklist.account(name)] = max(worklist.EVER, min(days))
        return marks

    async def _by_use(
        self, connection: AsyncConnection, old: Content, new: Content, shards: set[int]
    ) -> Mapping[str, date] | None:
        """By account: the first use of any feature that belongs to other use cases by now; null: all days of all."""
        if of_use_cases(old.use_cases, new.use_cases, ()) is None:
            return None
        found: dict[str, date] = {}
        for shard in (self._counting.shards[number] for number in shards):
            moved = of_use_cases(old.use_cases, new.use_cases, {key.feature for key in shard.keys}) or set()
            if moved:
                await _add_first_uses(connection, shard, moved, found)
        return found

    async def _of(self, shards: set[int]) -> AsyncIterator[str]:
        async for name in in_turns(self._accounts()):
            if shard_of(name) in shards:
                yield name

    def _accounts(self) -> set[str]:
        return {*self._register.accounts, *self._counting.accounts()}


async def _add_first_uses(
    connection: AsyncConnection, shard: Shard, features: set[str], found: dict[str, date]
) -> None:
    wanted = [
        (number, key)
        for number, key in enumerate(shard.keys)
        if key.kind == "feature" and key.environment == PRODUCTION and key.feature in features
    ]
    masks = await mask_store.oldest(connection, shard.number, [number for number, _ in wanted])
    for key, day in first_days(FeatureDays(shard.keys, masks)).items():
        found[key.account] = min(day, found.get(key.account, day))
