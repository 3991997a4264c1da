"""Row and set stores as peers of the engine: PostgreSQL and Redis, as servers of their own. Times nothing.

They offer what the column stores offer; the client's part is done by the fastest client there is for Python.
"""

import asyncio
import io
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from uptake_local.program import Program

from . import servers
from .engine_rows import WINDOWS, Population, Rows

T = TypeVar("T")


class RedisSets:
    """A set of user ids for each account and day, without persistence; one SADD a set and batch, pipelined."""

    name = "Redis sets"

    def __init__(self, population: Population, folder: Path, *, numbers: bool = False) -> None:
        import redis

        port = servers.free_port()
        options = ("--save", "", "--appendonly", "no", "--dir", str(folder))
        words = (str(servers.redis_server()), "--bind", "127.0.0.1", "--port", str(port), *options)
        self._process = servers.Process(Program("redis", words), folder / "redis.log")
        self._members = np.arange(population.users).astype(object) if numbers else population.ids
        self._redis: Any = redis.Redis(port=port)
        self._process.until(self._answers)
        self._empty = self._used()

    def load(self, rows: Rows) -> None:
        for batch in rows.batches(500_000):
            self.update(self.prepare(batch))

    def prepare(self, rows: Rows) -> Any:
        return list(rows.batches())

    def update(self, batches: Any) -> None:
        for batch in batches:
            pipeline = self._redis.pipeline(transaction=False)
            for account, day, users in _sets(batch):
                pipeline.execute_command("SADD", _key(account, day), *self._members[users].tolist())
            pipeline.execute()

    def counts(self, account: int, day: int) -> tuple[int, int, int]:
        dau, wau, mau = (
            len(self._redis.sunion([_key(account, day - back) for back in range(window)])) for window in WINDOWS
        )
        return dau, wau, mau

    @property
    def memory_bytes(self) -> int:
        """What it says it uses, without what it used when it was empty."""
        return self._used() - self._empty

    def _used(self) -> int:
        return int(self._redis.info("memory")["used_memory"])

    def _answers(self) -> bool:
        import redis

        try:
            return bool(self._redis.ping())
        except redis.ConnectionError:
            return False

    def close(self) -> None:
        self._redis.close()
        self._process.stop()


class PostgresRows:
    """A row for each user-day, in the order that the counts ask for; batches by COPY and one INSERT."""

    _COLUMNS = ("account", "day", "user_number")
    _COUNTS = """
        SELECT count(DISTINCT user_number) FILTER (WHERE day > $2 - 1),
               count(DISTINCT user_number) FILTER (WHERE day > $2 - 7), count(DISTINCT user_number)
        FROM activity WHERE account = $1 AND day > $2 - 30 AND day <= $2"""

    def __init__(self, dsn: str, *, durable: bool = False) -> None:
        import asyncpg

        self.name = "PostgreSQL rows"
        self._runner = asyncio.Runner()
        self._connection: Any = self._do(asyncpg.connect(dsn))
        commit = "on" if durable else "off"
        self._do(
            self._connection.execute(f"""
            SET synchronous_commit = {commit};
            DROP TABLE IF EXISTS activity;
            CREATE {"" if durable else "UNLOGGED"} TABLE activity (account int, day int, user_number int);
            CREATE TEMP TABLE batch (account int, day int, user_number int) ON COMMIT DELETE ROWS""")
        )

    def load(self, rows: Rows) -> None:
        for part in rows.batches(1_000_000):
            self._do(self._copy("activity", part))
        self._do(self._connection.execute("ALTER TABLE activity ADD PRIMARY KEY (account, day, user_number)"))
        self._do(self._connection.execute("VACUUM ANALYZE activity"))

    def prepare(self, rows: Rows) -> Any:
        return list(rows.batches())

    def update(self, batches: Any) -> None:
        for batch in batches:
            self._do(self._add(batch))

    async def _add(self, rows: Rows) -> None:
        async with self._connection.transaction():
            await self._copy("batch", rows)
            await self._connection.execute("""
                INSERT INTO activity SELECT DISTINCT account, day, user_number FROM batch ORDER BY 1, 2, 3
                ON CONFLICT DO NOTHING""")

    async def _copy(self, table: str, rows: Rows) -> None:
        source = io.BytesIO(_copy_format(rows))
        await self._connection.copy_to_table(table, source=source, columns=self._COLUMNS, format="binary")

    def counts(self, account: int, day: int) -> tuple[int, int, int]:
        dau, wau, mau = self._do(self._connection.fetchrow(self._COUNTS, account, day)) or (0, 0, 0)
        return dau, wau, mau

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def close(self) -> None:
        self._do(self._connection.close())
        self._runner.close()


def _key(account: int, day: int) -> bytes:
    return b"%d:%d" % (account, day)


def _sets(rows: Rows) -> Iterator[tuple[int, int, Any]]:
    """(account, day, its users), with repeats."""
    order = np.lexsort((rows.account, rows.day))
    account, user, day = rows.account[order], rows.user[order], rows.day[order]
    new = (np.diff(account, prepend=-1) != 0) | (np.diff(day, prepend=-1) != 0)
    heads = np.flatnonzero(new)
    parts = np.split(user, heads[1:])
    yield from zip(account[heads].tolist(), day[heads].tolist(), parts, strict=True)


def _copy_format(rows: Rows) -> bytes:
    """PostgreSQL's binary COPY of three int columns, which no client makes faster."""
    row = np.dtype([("fields", ">i2"), *((name, ">i4") for pair in "adu" for name in (f"{pair}_bytes", pair))])
    table = np.empty(len(rows), row)
    table["fields"] = 3
    for name, column in zip("adu", (rows.account, rows.day, rows.user), strict=True):
        table[f"{name}_bytes"], table[name] = 4, column
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + table.tobytes() + b"\xff\xff"
