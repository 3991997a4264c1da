"""Which shards this replica reads: leases in PostgreSQL, divided evenly among the replicas that are alive.

A lease saves work and guards nothing: two readers of one shard are safe, the compare-and-set of its position fences one
of them off. All times are the database's own, so no clock of ours matters.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

#: Who holds it reads FACTS and sends snapshots; the others follow the facts through the database.
LEAD = "lead"
#: Silent for so long is gone; a lease is renewed several times as often.
GONE_AFTER_S = 6
RENEW_EVERY_S = 1.5
#: Without the broker for so long gives its leases up.
CUT_OFF_S = 10
_SHARD = "usage."


class Leases:
    """What this replica holds, as of the last `renew`."""

    def __init__(self, engine: AsyncEngine, replica: str) -> None:
        """`replica`: the name of this process; the same after a restart, and no other's at the same time."""
        self._engine = engine
        self._replica = replica
        self.held: frozenset[str] = frozenset()

    @property
    def shards(self) -> frozenset[int]:
        return frozenset(int(name.removeprefix(_SHARD)) for name in self.held if name.startswith(_SHARD))

    @property
    def leads(self) -> bool:
        return LEAD in self.held

    async def renew(self) -> None:
        """Say that we live, take what nobody holds, give up what is more than our share."""
        async with self._engine.begin() as connection:
            holders = await self._all(connection)
            alive = await self._alive(connection)
            wanted = share(holders, alive, self._replica)
            if wanted != {name for name, holder in holders.items() if holder == self._replica}:
                await self._take(connection, wanted)
        self.held = wanted

    async def _take(self, connection: AsyncConnection, wanted: frozenset[str]) -> None:
        await connection.execute(
            text("""
                UPDATE metrics.lease SET holder = CASE WHEN name = ANY(CAST(:wanted AS text[])) THEN :me END
                WHERE name = ANY(CAST(:wanted AS text[])) OR holder = :me"""),
            {"wanted": sorted(wanted), "me": self._replica},
        )

    async def release(self) -> None:
        """Give everything up at once, so that others need not wait for our silence."""
        self.held = frozenset()
        async with self._engine.begin() as connection:
            await self._all(connection)
            await connection.execute(
                text("UPDATE metrics.lease SET holder = NULL WHERE holder = :me"), {"me": self._replica}
            )
            await connection.execute(text("DELETE FROM metrics.replica WHERE id = :me"), {"me": self._replica})

    async def _all(self, connection: AsyncConnection) -> dict[str, str | None]:
        """Locked, in one order: replicas divide the leases one after the other."""
        rows = await connection.execute(text("SELECT name, holder FROM metrics.lease ORDER BY name FOR UPDATE"))
        return {name: holder for name, holder in rows}

    async def _alive(self, connection: AsyncConnection) -> list[str]:
        await connection.execute(
            text("""
                INSERT INTO metrics.replica (id, seen_at) VALUES (:me, clock_timestamp())
                ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()"""),
            {"me": self._replica},
        )
        await connection.execute(
            text("""
                DELETE FROM metrics.replica
                WHERE seen_at < clock_timestamp() - make_interval(secs => CAST(:gone AS int))"""),
            {"gone": GONE_AFTER_S},
        )
        return list((await connection.execute(text("SELECT id FROM metrics.replica ORDER BY id"))).scalars())


class Tenure:
    """Renews the leases for as long as they are of use: who is cut off from the broker alone leaves them to others."""

    def __init__(
        self, leases: Leases, is_connected: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._leases = leases
        self._is_connected = is_connected
        self._monotonic = monotonic
        self._connected_at = monotonic()

    async def renew(self) -> None:
        """One turn."""
        if self._is_connected():
            self._connected_at = self._monotonic()
        if self._monotonic() - self._connected_at <= CUT_OFF_S:
            await self._leases.renew()
        elif self._leases.held:
            await self._leases.release()


def share(holders: Mapping[str, str | None], alive: Sequence[str], me: str) -> frozenset[str]:
    """What `me` holds from now on: an even share, and of what it has as much as possible.

    `alive` ascends and has `me` in it. Nothing is taken from a replica that lives: it gives up its surplus itself.
    """
    most = len(holders) // len(alive) + (alive.index(me) < len(holders) % len(alive))
    mine = [name for name, holder in holders.items() if holder == me]
    free = [name for name, holder in holders.items() if holder not in alive]
    return frozenset((mine + free)[:most])
