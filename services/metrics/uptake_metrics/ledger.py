"""The books of usage: what came out of USAGE and what became of it, by account and hour, stored with each checkpoint.

An hour is the one in which ingestion received an event. Three tallies that do not know of each other have to agree:
what the batches hold (`stored`), what the shards took in of each account (`processed`) or nobody could (`refused`), and
what every ingestion process knew the broker to have stored (`accepted`). Counts deliveries, not people.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.fields import SLUG
from uptake.messages.usage import WRITER
from uptake_metrics.batches import HOUR_US, Batch
from uptake_metrics.shard import Change
from uptake_metrics.userdays import I32, starts

#: As long as USAGE keeps what the books speak of.
KEPT_HOURS = 45 * 24
_NO_SOURCE = "unknown"
#: Both become keys of a table: what anybody may have written is looked at first.
_SOURCE, _WRITER = re.compile(SLUG), re.compile(WRITER)


class Unbalanced(RuntimeError):
    """Events of a batch were neither counted nor put aside: a checkpoint that would lose them is not committed."""


@dataclass(slots=True)
class Taken:
    """What a checkpoint took out of the stream, told by its messages alone."""

    stored: Counter[tuple[int, int]] = field(default_factory=Counter)  # by shard and hour
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)  # by hour and source
    written: Counter[tuple[int, str]] = field(default_factory=Counter)  # by shard and writer
    #: By shard and writer: the most that the writer knew to be stored before one of these batches, less what came of it
    #: in this checkpoint before that batch. More than was ever read of it before = events are missing.
    due: dict[tuple[int, str], int] = field(default_factory=dict)

    def add(self, shard: int, batch: Batch) -> None:
        """The next batch of the stream."""
        self.stored[shard, batch.received_at // HOUR_US] += len(batch)
        self._write(shard, batch.writer, batch.acknowledged, len(batch))

    def refuse(self, shard: int | None, data: bytes, stored_at: datetime) -> None:
        """A message that nobody can count; as far as it can be read it says how many events it holds."""
        found = _read(data)
        columns, writer = found.get("accounts"), found.get("writer")
        events = max(1, len(columns)) if isinstance(columns, list) else 1
        source = found.get("source")
        named = isinstance(source, str) and _SOURCE.fullmatch(source) is not None
        self.refused[hour_of(stored_at), str(source) if named else _NO_SOURCE] += events
        if shard is not None and isinstance(writer, str) and _WRITER.fullmatch(writer):
            self._write(shard, writer, 0, events)  # what else it claims is not believed

    def _write(self, shard: int, writer: str | None, acknowledged: int | None, events: int) -> None:
        if writer is not None:
            before = (acknowledged or 0) - self.written[shard, writer]
            self.due[shard, writer] = max(before, self.due.get((shard, writer), before))
            self.written[shard, writer] += events


@dataclass(frozen=True, slots=True)
class Line:
    """Events of one account in one hour since 1970; `series` is its contact series, NO_SERIES for no account."""

    shard: int
    hour: int
    series: int
    events: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Over some hours. `missing`: known to be stored by those who wrote them, and never read."""

    stored: int
    processed: int
    refused: int
    missing: int

    @property
    def accepted(self) -> int:
        return self.stored + self.missing

    @property
    def balanced(self) -> bool:
        return self.accepted == self.stored == self.processed + self.refused


def hour_of(instant: datetime) -> int:
    return int(instant.timestamp()) // 3600


def start_of(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)


def check(changes: Iterable[Change], taken: Taken) -> None:
    """Raises Unbalanced when the shards did not take in exactly the events that the batches hold."""
    processed = {(c.shard, hour): int(counts.events.sum()) for c in changes for hour, counts in c.hours.items()}
    if {key: n for key, n in processed.items() if n} != {key: n for key, n in taken.stored.items() if n}:
        raise Unbalanced(f"stored {dict(taken.stored)}, processed {processed}")


async def save(
    connection: AsyncConnection, changes: Sequence[Change], checkpoints: Mapping[int, int], taken: Taken
) -> None:
    """Within the transaction of a checkpoint."""
    check(changes, taken)
    rows = [(c.shard, hour, counts) for c in changes for hour, counts in c.hours.items()]
    if rows:
        await connection.execute(
            text("""
                INSERT INTO metrics.ledger_delta (shard, checkpoint, hour, stored, processed, series, events)
                SELECT * FROM unnest(CAST(:shard AS int[]), CAST(:checkpoint AS bigint[]), CAST(:hour AS int[]),
                                     CAST(:stored AS bigint[]), CAST(:processed AS bigint[]), CAST(:series AS bytea[]),
                                     CAST(:events AS bytea[]))"""),
            {
                "shard": [shard for shard, _, _ in rows],
                "checkpoint": [checkpoints[shard] for shard, _, _ in rows],
                "hour": [hour for _, hour, _ in rows],
                "stored": [taken.stored[shard, hour] for shard, hour, _ in rows],
                "processed": [int(counts.events.sum()) for _, _, counts in rows],
                "series": [counts.series.astype("<i4").tobytes() for _, _, counts in rows],
                "events": [counts.events.astype("<i4").tobytes() for _, _, counts in rows],
            },
        )
    await _save_writers(connection, taken)
    await _save_refused(connection, taken.refused)


async def _save_writers(connection: AsyncConnection, taken: Taken) -> None:
    rows = sorted(taken.due)
    if rows:
        await connection.execute(
            text("""
                INSERT INTO metrics.writer AS w (shard, writer, stored, missing, seen_at)
                SELECT shard, writer, written, GREATEST(due, 0), now()
                FROM unnest(CAST(:shard AS int[]), CAST(:writer AS text[]), CAST(:written AS bigint[]),
                            CAST(:due AS bigint[])) AS new(shard, writer, written, due)
                ON CONFLICT (shard, writer) DO UPDATE
                SET missing = GREATEST(w.missing, excluded.missing - w.stored), seen_at = now(),
                    stored = w.stored + excluded.stored"""),
            {
                "shard": [shard for shard, _ in rows],
                "writer": [writer for _, writer in rows],
                "written": [taken.written[key] for key in rows],
                "due": [taken.due[key] for key in rows],
            },
        )


async def _save_refused(connection: AsyncConnection, refused: Mapping[tuple[int, str], int]) -> None:
    rows = sorted(refused)
    if rows:
        await connection.execute(
            text("""
                INSERT INTO metrics.ledger_refused AS r (hour, source, events)
                SELECT * FROM unnest(CAST(:hour AS int[]), CAST(:source AS text[]), CAST(:events AS bigint[]))
                ON CONFLICT (hour, source) DO UPDATE SET events = r.events + excluded.events"""),
            {
                "hour": [hour for hour, _ in rows],
                "source": [source for _, source in rows],
                "events": [refused[key] for key in rows],
            },
        )


async def fold(connection: AsyncConnection, shard: int) -> None:
    """Add the deltas of a shard, whose row the transaction holds, to its hours."""
    rows = await connection.execute(
        text("DELETE FROM metrics.ledger_delta WHERE shard = :shard RETURNING hour, stored, series, events"),
        {"shard": shard},
    )
    deltas = rows.all()
    if not deltas:
        return
    known = await connection.execute(
        text("""
            SELECT hour, stored, series, events FROM metrics.ledger_hour
            WHERE shard = :shard AND hour = ANY(CAST(:hours AS int[]))"""),
        {"shard": shard, "hours": sorted({row.hour for row in deltas})},
    )
    summed = _by_hour([*deltas, *known.all()])
    await connection.execute(
        text("""
            INSERT INTO metrics.ledger_hour (shard, hour, stored, processed, series, events)
            SELECT :shard, * FROM unnest(CAST(:hour AS int[]), CAST(:stored AS bigint[]), CAST(:processed AS bigint[]),
                                         CAST(:series AS bytea[]), CAST(:events AS bytea[]))
            ON CONFLICT (shard, hour) DO UPDATE
            SET stored = excluded.stored, processed = excluded.processed, series = excluded.series,
                events = excluded.events"""),
        {
            "shard": shard,
            "hour": list(summed),
            "stored": [stored for stored, _, _ in summed.values()],
            "processed": [int(events.sum()) for _, _, events in summed.values()],
            "series": [series.astype("<i4").tobytes() for _, series, _ in summed.values()],
            "events": [events.astype("<i4").tobytes() for _, _, events in summed.values()],
        },
    )


async def prune(connection: AsyncConnection, now: datetime) -> None:
    """Forget the hours of which USAGE holds nothing any more, and those of clocks that are far ahead."""
    oldest, newest = hour_of(now) - KEPT_HOURS, hour_of(now) + 48
    for table in ("ledger_hour", "ledger_refused"):
        await connection.execute(
            text(f"DELETE FROM metrics.{table} WHERE hour NOT BETWEEN :oldest AND :newest"),  # noqa: S608  # names of ours
            {"oldest": oldest, "newest": newest},
        )
    await connection.execute(
        text("DELETE FROM metrics.writer WHERE seen_at < CAST(:oldest AS timestamptz)"),
        {"oldest": start_of(oldest)},
    )


async def hours(connection: AsyncConnection, first: int, last: int) -> list[int]:
    """Those of `first..last` in which anything was processed, ascending."""
    rows = await connection.execute(
        text(f"SELECT DISTINCT hour FROM {_ALL} WHERE hour BETWEEN :first AND :last ORDER BY hour"),  # noqa: S608  # ours
        {"first": first, "last": last},
    )
    return list(rows.scalars())


async def lines(connection: AsyncConnection, hour: int, shard: int | None = None) -> list[Line]:
    """What was processed in an hour, of all shards or of one."""
    rows = await connection.execute(
        text(f"""
            SELECT shard, hour, stored, series, events FROM {_ALL}
            WHERE hour = :hour AND (CAST(:shard AS int) IS NULL OR shard = :shard)"""),  # noqa: S608  # ours
        {"hour": hour, "shard": shard},
    )
    of_shard: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        of_shard[row.shard].append(row)
    return [
        Line(number, hour, series, events)
        for number, found in sorted(of_shard.items())
        for series, events in zip(*(column.tolist() for column in _added(found)), strict=True)
    ]


async def refusals(connection: AsyncConnection, first: int, last: int) -> dict[int, int]:
    """Events refused, by hour."""
    rows = await connection.execute(
        text("""
            SELECT hour, CAST(sum(events) AS bigint) FROM metrics.ledger_refused
            WHERE hour BETWEEN :first AND :last GROUP BY hour"""),
        {"first": first, "last": last},
    )
    return {hour: events for hour, events in rows}


async def totals(connection: AsyncConnection, first: int = 0, last: int = 2**31 - 1) -> Totals:
    """Of these hours; what is missing is known of no hour, and so always of all."""
    rows = await connection.execute(
        text(f"""
            SELECT CAST(COALESCE(sum(stored), 0) AS bigint), CAST(COALESCE(sum(processed), 0) AS bigint) FROM {_ALL}
            WHERE hour BETWEEN :first AND :last"""),  # noqa: S608  # ours
        {"first": first, "last": last},
    )
    stored, processed = rows.one()
    refused = sum((await refusals(connection, first, last)).values())
    missing = (await connection.execute(text("SELECT COALESCE(sum(missing), 0) FROM metrics.writer"))).scalar_one()
    return Totals(stored + refused, processed, refused, int(missing))


#: In one statement, so that a fold in between shows nothing twice and nothing not at all.
_ALL = """(
    SELECT shard, hour, stored, processed, series, events FROM metrics.ledger_delta
    UNION ALL SELECT shard, hour, stored, processed, series, events FROM metrics.ledger_hour
) AS everything"""


def _by_hour(rows: Iterable[Any]) -> dict[int, tuple[int, I32, I32]]:
    """Per hour: stored, and events by series."""
    of_hour: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        of_hour[row.hour].append(row)
    return {hour: (sum(row.stored for row in of), *_added(of)) for hour, of in of_hour.items()}


def _added(rows: Sequence[Any]) -> tuple[I32, I32]:
    series = np.frombuffer(b"".join(row.series for row in rows), "<i4")
    events = np.frombuffer(b"".join(row.events for row in rows), "<i4")
    order = np.argsort(series, kind="stable")
    heads = starts(series[order])
    return series[order][heads], np.add.reduceat(events[order], heads) if len(heads) else events


def _read(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
