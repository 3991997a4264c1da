"""Checkpoints in PostgreSQL: where the shards stand, and what a change adds: series, zones, people. Counts nothing.

A checkpoint is one transaction that takes the rows of `shard` first: it compares and sets their positions, which fences
a second writer.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.reader import Cursor, Fenced
from uptake_metrics import mask_store
from uptake_metrics.columns import Unattributed
from uptake_metrics.shard import Change, SeriesKey


class Position(NamedTuple):
    """Where a shard stands in USAGE, and the number of the checkpoint that last changed what is stored of it."""

    cursor: Cursor
    checkpoint: int


_POSITIONS = "SELECT shard, stream_uuid, sequence, checkpoint FROM metrics.shard"


async def positions(connection: AsyncConnection, lock: str = "") -> dict[int, Position]:
    """Where each shard stands."""
    rows = await connection.execute(text(f"{_POSITIONS} ORDER BY shard {lock}"))
    return {row.shard: Position(Cursor(row.stream_uuid, row.sequence), row.checkpoint) for row in rows}


async def advance(
    connection: AsyncConnection, expected: Mapping[int, Position], new: Cursor | None = None
) -> dict[int, Position]:
    """Begin a checkpoint: move the shards from where we believe them to be, or leave them there when `new` is null.

    Returns where they stand now; raises `Fenced` when one is not where we believed.
    """
    await confirm(connection, expected)
    moved = {number: Position(new or position.cursor, position.checkpoint + 1) for number, position in expected.items()}
    await connection.execute(
        text("""
            UPDATE metrics.shard AS s
            SET stream_uuid = moved.uuid, sequence = moved.sequence, checkpoint = moved.checkpoint
            FROM unnest(CAST(:shards AS int[]), CAST(:uuids AS text[]), CAST(:sequences AS bigint[]),
                        CAST(:checkpoints AS bigint[])) AS moved(shard, uuid, sequence, checkpoint)
            WHERE s.shard = moved.shard"""),
        {
            "shards": list(moved),
            "uuids": [position.cursor.stream_uuid for position in moved.values()],
            "sequences": [position.cursor.sequence for position in moved.values()],
            "checkpoints": [position.checkpoint for position in moved.values()],
        },
    )
    return moved


async def confirm(connection: AsyncConnection, expected: Mapping[int, Position]) -> None:
    """Hold the shards where they are until the transaction ends; raises `Fenced` when one has moved.

    All of them, and always in one order: two processes wait for each other here, and nowhere later.
    """
    found = await positions(connection, "FOR NO KEY UPDATE")
    if any(found.get(number) != position for number, position in expected.items()):
        raise Fenced("another metrics process changed the counts, or their position in USAGE")


async def save(connection: AsyncConnection, change: Change) -> None:
    """Write what a checkpoint changed in one shard, within the transaction that moved its position."""
    await _save_series(connection, change)
    await _save_zones(connection, change.shard, change.new_zones)
    await _save_people(connection, change.people)
    await _save_unattributed(connection, change.unattributed)
    if len(change.fresh):
        await mask_store.save_delta(connection, change.shard, change.fresh)


async def _save_series(connection: AsyncConnection, change: Change) -> None:
    if not change.new_series:
        return
    keys = list(change.new_series.values())
    await connection.execute(
        text("""
            INSERT INTO metrics.series (shard, series, account, kind, environment, feature)
            SELECT :shard, * FROM unnest(CAST(:series AS int[]), CAST(:account AS text[]), CAST(:kind AS text[]),
                                         CAST(:environment AS text[]), CAST(:feature AS text[]))
            ON CONFLICT (shard, series) DO NOTHING"""),
        {
            "shard": change.shard,
            "series": list(change.new_series),
            "account": [key.account for key in keys],
            "kind": [key.kind for key in keys],
            "environment": [key.environment for key in keys],
            "feature": [key.feature for key in keys],
        },
    )


async def _save_zones(connection: AsyncConnection, shard: int, zones: Mapping[str, str]) -> None:
    if zones:
        await connection.execute(
            text("""
                INSERT INTO metrics.account_zone (account, shard, time_zone)
                SELECT account, :shard, zone
                FROM unnest(CAST(:account AS text[]), CAST(:zone AS text[])) AS new(account, zone)
                ON CONFLICT (account) DO UPDATE SET time_zone = excluded.time_zone"""),
            {"shard": shard, "account": list(zones), "zone": list(zones.values())},
        )


async def _save_people(connection: AsyncConnection, people: Iterable[tuple[str, int, str]]) -> None:
    rows = sorted(people)
    if rows:
        await connection.execute(
            text("""
                INSERT INTO metrics.person (account, hash, user_id)
                SELECT * FROM unnest(CAST(:account AS text[]), CAST(:hash AS bigint[]), CAST(:user AS text[]))
                ON CONFLICT DO NOTHING"""),
            {
                "account": [account for account, _, _ in rows],
                "hash": [_signed(number) for _, number, _ in rows],
                "user": [user for _, _, user in rows],
            },
        )


async def _save_unattributed(connection: AsyncConnection, events: Sequence[Unattributed]) -> None:
    if events:
        await connection.execute(
            text("""
                INSERT INTO metrics.unattributed_usage (instance, user_id, feature, environment, actor, occurred_at)
                SELECT * FROM unnest(CAST(:instance AS text[]), CAST(:user AS text[]), CAST(:feature AS text[]),
                                     CAST(:environment AS text[]), CAST(:actor AS text[]), CAST(:at AS timestamptz[]))
                ON CONFLICT DO NOTHING"""),
            {
                "instance": [event.instance for event in events],
                "user": [event.user for event in events],
                "feature": [event.feature for event in events],
                "environment": [event.environment for event in events],
                "actor": [event.actor for event in events],
                "at": [_instant(event.instant_us) for event in events],
            },
        )


async def registered(connection: AsyncConnection, shard: int) -> tuple[list[SeriesKey], dict[str, str]]:
    """The series of a shard in the order of their numbers, and the zones its accounts' days are in."""
    series = await connection.execute(
        text("SELECT account, kind, environment, feature FROM metrics.series WHERE shard = :shard ORDER BY series"),
        {"shard": shard},
    )
    zones = await connection.execute(
        text("SELECT account, time_zone FROM metrics.account_zone WHERE shard = :shard"), {"shard": shard}
    )
    return [SeriesKey(*row) for row in series], {account: zone for account, zone in zones}


async def names(connection: AsyncConnection, account: str, hashes: Iterable[int]) -> list[str]:
    """What the users are called, sorted."""
    rows = await connection.execute(
        text("""
            SELECT user_id FROM metrics.person
            WHERE account = :account AND hash = ANY(CAST(:hashes AS bigint[])) ORDER BY user_id COLLATE "C" """),
        {"account": account, "hashes": [_signed(number) for number in hashes]},
    )
    return list(rows.scalars())


async def record_zone_change(
    connection: AsyncConnection, account: str, was: str, now: str, at: datetime, kept_until: date | None
) -> None:
    await connection.execute(
        text("""
            INSERT INTO metrics.zone_change (account, from_zone, to_zone, changed_at, kept_until)
            VALUES (:account, :was, :now, :at, :kept_until)"""),
        {"account": account, "was": was, "now": now, "at": at, "kept_until": kept_until},
    )
    await connection.execute(
        text("UPDATE metrics.account_zone SET time_zone = :now WHERE account = :account"),
        {"account": account, "now": now},
    )


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _instant(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
