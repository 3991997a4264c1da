"""Follows the configuration: when its content changed, every published day is evaluated anew. Evaluates nothing itself.

Which content the days of a shard were last evaluated under is kept in PostgreSQL: files are changed while nothing runs,
and another process may have read the shard since.
"""

from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.subjects import shard_of
from uptake_metrics import worklist
from uptake_metrics.config import Config
from uptake_metrics.counting import Counting
from uptake_metrics.register import Register

#: What was in force before there were any files.
_AT_FIRST = Config(None).fingerprint()


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
            async with self._engine.begin() as connection:
                await self._mark(connection, self._config.fingerprint(), shards)
            self._done = version, shards

    async def _mark(self, connection: AsyncConnection, fingerprint: str, shards: frozenset[int]) -> None:
        rows = await connection.execute(text("SELECT shard, fingerprint FROM metrics.evaluated_under"))
        known = {shard: fingerprint for shard, fingerprint in rows}
        changed = {shard for shard in shards if known.get(shard, _AT_FIRST) != fingerprint}
        names = (name for name in self._accounts() if shard_of(name) in changed)
        await worklist.mark(connection, {worklist.account(name): worklist.EVER for name in names})
        if new := sorted(shard for shard in shards if known.get(shard) != fingerprint):
            await connection.execute(
                text("""
                    INSERT INTO metrics.evaluated_under (shard, fingerprint)
                    SELECT shard, :fingerprint FROM unnest(CAST(:shards AS int[])) AS new(shard)
                    ON CONFLICT (shard) DO UPDATE SET fingerprint = excluded.fingerprint"""),
                {"fingerprint": fingerprint, "shards": new},
            )

    def _accounts(self) -> set[str]:
        return {*self._register.accounts, *self._counting.accounts()}
