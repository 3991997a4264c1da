"""Column stores as peers of the engine: ClickHouse and DuckDB, in our process, with all their threads. Times nothing.

Every peer offers what `Ours` does: `load` a history of distinct user-days, `prepare` events, `update` with them in
batches, and `counts` of an account on a day. What they are and are not asked stands in docs/benchmarks.md.
"""

from pathlib import Path
from typing import Any

from .engine_rows import Rows


class ClickHouse:
    """A bitmap of user numbers for each account and day."""

    _ADD = """
        INSERT INTO bench.activity
        SELECT assumeNotNull(account) AS a, assumeNotNull(day) AS d, groupBitmapState(assumeNotNull(user))
        FROM Python(batch) GROUP BY a, d"""
    _COUNTS = """
        SELECT groupBitmapMergeIf(users, day > {day:Int32} - 1), groupBitmapMergeIf(users, day > {day:Int32} - 7),
               groupBitmapMerge(users)
        FROM bench.activity WHERE account = {account:Int32} AND day > {day:Int32} - 30 AND day <= {day:Int32}"""
    _MAU = """
        SELECT sum(mau) FROM (
            SELECT account, groupBitmapMerge(users) AS mau FROM bench.activity
            WHERE day > {day:Int32} - 30 AND day <= {day:Int32} GROUP BY account)"""
    _HISTORY = """
        SELECT sum(mau) FROM (
            SELECT account, day + later AS on, groupBitmapMerge(users) AS mau
            FROM bench.activity ARRAY JOIN range(30) AS later
            WHERE day > {day:Int32} - 59 AND day <= {day:Int32}
              AND day + later BETWEEN {day:Int32} - 29 AND {day:Int32}
            GROUP BY account, on)"""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        from chdb import session

        self.name = "ClickHouse bitmaps"
        self._session: Any = session.Session(str(folder))  # type: ignore[no-untyped-call]  # it has no types
        self._ask("CREATE DATABASE bench")
        self._ask(
            "CREATE TABLE bench.activity (account Int32, day Int32, users AggregateFunction(groupBitmap, UInt32)) "
            "ENGINE = AggregatingMergeTree ORDER BY (account, day)"
            + (" SETTINGS fsync_after_insert = 1, fsync_part_directory = 1" if durable else "")
        )

    def load(self, rows: Rows) -> None:
        self.update([_arrow(batch) for batch in rows.batches(1_000_000)])

    def prepare(self, rows: Rows) -> Any:
        return [_arrow(batch) for batch in rows.batches()]

    def update(self, batches: Any) -> None:
        for batch in batches:  # noqa: B007  # ClickHouse finds it by its name
            self._session.query(self._ADD)

    def counts(self, account: int, day: int) -> tuple[int, int, int]:
        dau, wau, mau = map(int, self._ask(self._COUNTS, account=account, day=day).split(","))
        return dau, wau, mau

    def mau(self, day: int) -> int:
        return int(self._ask(self._MAU, day=day))

    def history(self, day: int) -> int:
        return int(self._ask(self._HISTORY, day=day))

    def _ask(self, query: str, **parameters: int) -> str:
        return str(self._session.query(query, "CSV", params=parameters))

    def close(self) -> None:
        self._session.close()


class DuckDB:
    """Distinct user-days as rows, in memory. What is there already is found by a join: an index is slower."""

    name = "DuckDB"
    _ADD = """
        INSERT INTO activity SELECT DISTINCT account, user, day FROM batch AS new
        WHERE NOT EXISTS (
            SELECT 1 FROM activity AS old
            WHERE old.day = new.day AND old.account = new.account AND old.user = new.user
              AND old.day >= (SELECT min(day) FROM batch))"""
    _COUNTS = """
        SELECT count(DISTINCT user) FILTER (day > $day - 1), count(DISTINCT user) FILTER (day > $day - 7),
               count(DISTINCT user)
        FROM activity WHERE account = $account AND day > $day - 30 AND day <= $day"""
    _MAU = """
        SELECT sum(mau) FROM (
            SELECT account, count(DISTINCT user) AS mau FROM activity WHERE day > $day - 30 AND day <= $day
            GROUP BY account)"""
    _HISTORY = """
        SELECT sum(mau) FROM (
            SELECT account, on_day, count(DISTINCT user) AS mau FROM activity
            JOIN (SELECT unnest(range($day - 29, $day + 1)) AS on_day) ON day > on_day - 30 AND day <= on_day
            GROUP BY account, on_day)"""

    def __init__(self) -> None:
        import duckdb

        self._connection = duckdb.connect()
        self._ask("CREATE TABLE activity (account INTEGER, user UINTEGER, day INTEGER)")

    def load(self, rows: Rows) -> None:
        self._connection.register("history", _arrow(rows))
        self._ask("INSERT INTO activity SELECT account, user, day FROM history")
        self._connection.unregister("history")

    def prepare(self, rows: Rows) -> Any:
        return [_arrow(batch) for batch in rows.batches()]

    def update(self, batches: Any) -> None:
        for batch in batches:
            self._connection.register("batch", batch)
            self._ask(self._ADD)

    def counts(self, account: int, day: int) -> tuple[int, int, int]:
        dau, wau, mau = self._ask(self._COUNTS, account=account, day=day)
        return dau, wau, mau

    def mau(self, day: int) -> int:
        return int(self._ask(self._MAU, day=day)[0])

    def history(self, day: int) -> int:
        return int(self._ask(self._HISTORY, day=day)[0])

    def _ask(self, query: str, **parameters: int) -> tuple[Any, ...]:
        """The first row; a statement has ended when all its rows are taken."""
        rows = self._connection.execute(query, parameters).fetchall()
        return rows[0] if rows else ()

    def close(self) -> None:
        self._connection.close()


def _arrow(rows: Rows) -> Any:
    import pyarrow  # type: ignore[import-untyped]  # it has no types

    return pyarrow.table({"account": rows.account, "user": rows.user, "day": rows.day})
