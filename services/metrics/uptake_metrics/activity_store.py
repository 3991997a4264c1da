"""Checkpoints in PostgreSQL: where the shards stand, and what a change adds: series, zones, people. Counts nothing.

A checkpoint is one transaction that takes the rows of `shard` first: it compares and sets their positions, which fences
a second writer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.reader import Cursor, Fenced
from uptake_metrics import mask_store
from uptake_metrics.columns import Unattributed
from uptake_metrics.series import SeriesKey
from uptake_metrics.shard import Change
from uptake_metrics.userdays import UserDays

_ROWS = 2_000
T = TypeVar("T")


class Position(NamedTuple):
    """Where a shard stands in USAGE, and the number of the checkpoint that last changed what is stored of it."""

    cursor: Cursor
    checkpoint: int


class Standing(NamedTuple):
    """A shard's position, and the checkpoint up to which its deltas may have been folded into masks."""

    position: Position
    folded: int


class News(NamedTuple):
    """What was stored of a shard after a checkpoint: new series by number, the zones of new accounts, user-days."""

    keys: list[SeriesKey]
    zones: dict[str, str]
    fresh: UserDays


async def standings(connection: AsyncConnection) -> dict[int, Standing]:
    """Where each shard stands."""
    rows = await connection.execute(
        text("SELECT shard, stream_uuid, sequence, stored_at, checkpoint, folded FROM metrics.shard ORDER BY shard")
    )
    return {row.shard: Standing(_position(row), row.folded) for row in rows}


def _position(row: Any) -> Position:
    return Position(Cursor(row.stream_uuid, row.sequence, row.stored_at), row.checkpoint)


async def advance(
    connection: AsyncConnection, expected: Mapping[int, Position], new: Cursor | None = None
) -> dict[int, Position]:
    """Begin a checkpoint: move the shards from where we believe them to be, or leave them there when `new` is null.

    Returns where they stand now; raises `Fenced` when one is not where we believed.
    """
    await confirm(connection, expected)
    moved = {number: Position(_further(at.cursor, new), at.checkpoint + 1) for number, at in expected.items()}
    await connection.execute(
        text("""
            UPDATE metrics.shard AS s
            SET stream_uuid = moved.uuid, sequence = moved.sequence, stored_at = moved.stored_at,
                checkpoint = moved.checkpoint
            FROM unnest(CAST(:shards AS int[]), CAST(:uuids AS text[]), CAST(:sequences AS bigint[]),
                        CAST(:stored AS timestamptz[]), CAST(:checkpoints AS bigint[]))
                 AS moved(shard, uuid, sequence, stored_at, checkpoint)
            WHERE s.shard = moved.shard"""),
        {
            "shards": list(moved),
            "uuids": [position.cursor.stream_uuid for position in moved.values()],
            "sequences": [position.cursor.sequence for position in moved.values()],
            "stored": [position.cursor.stored_at for position in moved.values()],
            "checkpoints": [position.checkpoint for position in moved.values()],
        },
    )
    return moved


def _further(at: Cursor, new: Cursor | None) -> Cursor:
    """A shard that was ahead of those it is read with stays there: what it has counted must not be counted again."""
    if new is None or (at.stream_uuid == new.stream_uuid and at.sequence > new.sequence):
        return at
    return new


async def confirm(connection: AsyncConnection, expected: Mapping[int, Position]) -> None:
    """Hold these shards where they are until the transaction ends; raises `Fenced` when one has moved.

    Always in one order: two processes wait for each other here, and nowhere later.
    """
    rows = await connection.execute(
        text("""
            SELECT shard, stream_uuid, sequence, stored_at, checkpoint FROM metrics.shard
            WHERE shard = ANY(CAST(:shards AS int[])) ORDER BY shard FOR NO KEY UPDATE"""),
        {"shards": list(expected)},
    )
    found = {row.shard: _position(row) for row in rows}
    if found != expected:
        raise Fenced("another metrics process changed the counts, or their position in USAGE")


async def news(
    connection: AsyncConnection, checkpoints: Mapping[int, int], series: Mapping[int, int]
) -> dict[int, News]:
    """What each shard got after a checkpoint that is not folded yet; `series`: how many of its series are known.

    To be asked in one snapshot of the database with `standings`.
    """
    fresh = await mask_store.deltas_after(connection, checkpoints)
    keys: dict[int, list[SeriesKey]] = {shard: [] for shard in checkpoints}
    rows = await connection.execute(
        text("""
            SELECT s.shard, account, kind, environment, feature FROM metrics.series AS s
            JOIN unnest(CAST(:shards AS int[]), CAST(:known AS int[])) AS k(shard, known)
              ON s.shard = k.shard AND s.series >= k.known
            ORDER BY s.shard, s.series"""),
        {"shards": list(series), "known": list(series.values())},
    )
    for shard, *key in rows:
        keys[shard].append(SeriesKey(*key))
    zones = await _zones(connection, [key.account for of_shard in keys.values() for key in of_shard])
    return {
        shard: News(of_shard, {key.account: zones[key.account] for key in of_shard}, fresh[shard])
        for shard, of_shard in keys.items()
    }


async def _zones(connection: AsyncConnection, accounts: Sequence[str]) -> dict[str, str]:
    if not accounts:
        return {}
    rows = await connection.execute(
        text("SELECT account, time_zone FROM metrics.account_zone WHERE account = ANY(CAST(:accounts AS text[]))"),
        {"accounts": sorted(set(accounts))},
    )
    return {account: zone for account, zone in rows}


async def save(connection: AsyncConnection, changes: Sequence[Change], positions: Mapping[int, Position]) -> None:
    """Write what a checkpoint changed, within the transaction that moved the shards to `positions`.

    All shards in one statement a table: a checkpoint is a handful of round trips.
    """
    await _save_series(connection, changes)
    await _save_zones(connection, changes)
    await save_people(connection, {person for change in changes for person in change.people})
    await _save_unattributed(connection, [event for change in changes for event in change.unattributed])
    fresh = [(change.shard, positions[change.shard].checkpoint, change.fresh) for change in changes]
    await mask_store.save_deltas(connection, [delta for delta in fresh if len(delta[2])])


async def _save_series(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    every = [(change.shard, number, key) for change in changes for number, key in change.new_series.items()]
    for rows in _parts(every):
        await connection.execute(
            text("""
                INSERT INTO metrics.series (shard, series, account, kind, environment, feature)
                SELECT * FROM unnest(CAST(:shard AS int[]), CAST(:series AS int[]), CAST(:account AS text[]),
                                     CAST(:kind AS text[]), CAST(:environment AS text[]), CAST(:feature AS text[]))
                ON CONFLICT (shard, series) DO NOTHING"""),
            {
                "shard": [shard for shard, _, _ in rows],
                "series": [number for _, number, _ in rows],
                "account": [key.account for _, _, key in rows],
                "kind": [key.kind for _, _, key in rows],
                "environment": [key.environment for _, _, key in rows],
                "feature": [key.feature for _, _, key in rows],
            },
        )


async def _save_zones(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    every = [(change.shard, account, zone) for change in changes for account, zone in change.new_zones.items()]
    for rows in _parts(every):
        await connection.execute(
            text("""
                INSERT INTO metrics.account_zone (shard, account, time_zone)
                SELECT * FROM unnest(CAST(:shard AS int[]), CAST(:account AS text[]), CAST(:zone AS text[]))
                ON CONFLICT (account) DO UPDATE SET time_zone = excluded.time_zone"""),
            {
                "shard": [shard for shard, _, _ in rows],
                "account": [account for _, account, _ in rows],
                "zone": [zone for _, _, zone in rows],
            },
        )


async def save_people(connection: AsyncConnection, people: Iterable[tuple[str, int, str]]) -> None:
    """What users are called: account, hash, id."""
    for rows in _parts(sorted(people)):
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


async def forget_names(connection: AsyncConnection, accounts: Sequence[str]) -> None:
    """What users of these accounts are called."""
    await connection.execute(
        text("DELETE FROM metrics.person WHERE account = ANY(CAST(:accounts AS text[]))"), {"accounts": accounts}
    )


def _parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """A few thousand rows a statement: to make its columns must not hold up the event loop."""
    return (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))


async def _save_unattributed(connection: AsyncConnection, events: Sequence[Unattributed]) -> None:
    if events:
        await connection.execute(
            text("""
                INSERT INTO metrics.unattributed_usage
                    (instance, user_id, feature, environment, actor, occurred_at, import_id)
                SELECT * FROM unnest(CAST(:instance AS text[]), CAST(:user AS text[]), CAST(:feature AS text[]),
                                     CAST(:environment AS text[]), CAST(:actor AS text[]), CAST(:at AS timestamptz[]),
                                     CAST(:import_id AS text[]))
                ON CONFLICT DO NOTHING"""),
            {
                "instance": [event.instance for event in events],
                "user": [event.user for event in events],
                "feature": [event.feature for event in events],
                "environment": [event.environment for event in events],
                "actor": [event.actor for event in events],
                "at": [_instant(event.instant_us) for event in events],
                "import_id": [event.import_id for event in events],
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
