"""User-days in PostgreSQL: deltas of checkpoints and masks of 64-day epochs, and the one folded into the other.

A delta is written in the transaction that moves its shard's position; a compaction holds that row. Counts nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake_metrics import archive
from uptake_metrics.userdays import I32, Masks, UserDays

_LAST_DAY = 2**31 - 1


async def save_deltas(connection: AsyncConnection, deltas: Sequence[tuple[int, int, UserDays]]) -> None:
    """(shard, checkpoint, its fresh user-days), none of them empty."""
    if not deltas:
        return
    await connection.execute(
        text("""
            INSERT INTO metrics.activity_delta (shard, checkpoint, first_day, last_day, size, series, "user", day)
            SELECT * FROM unnest(CAST(:shard AS int[]), CAST(:checkpoint AS bigint[]), CAST(:first AS int[]),
                                 CAST(:last AS int[]), CAST(:size AS int[]), CAST(:series AS bytea[]),
                                 CAST(:user AS bytea[]), CAST(:day AS bytea[]))"""),
        {
            "shard": [shard for shard, _, _ in deltas],
            "checkpoint": [checkpoint for _, checkpoint, _ in deltas],
            "first": [int(fresh.day.min()) for _, _, fresh in deltas],
            "last": [int(fresh.day.max()) for _, _, fresh in deltas],
            "size": [len(fresh) for _, _, fresh in deltas],
            "series": [fresh.series.astype("<i4").tobytes() for _, _, fresh in deltas],
            "user": [fresh.user.astype("<u8").tobytes() for _, _, fresh in deltas],
            "day": [fresh.day.astype("<i4").tobytes() for _, _, fresh in deltas],
        },
    )


async def deltas_after(connection: AsyncConnection, checkpoints: Mapping[int, int]) -> dict[int, UserDays]:
    """What each of these shards got after a checkpoint, with repeats; nothing of it may be folded yet."""
    rows = await connection.execute(
        text("""
            SELECT d.shard, series, "user", day FROM metrics.activity_delta AS d
            JOIN unnest(CAST(:shards AS int[]), CAST(:known AS bigint[])) AS k(shard, known)
              ON d.shard = k.shard AND d.checkpoint > k.known"""),
        {"shards": list(checkpoints), "known": list(checkpoints.values())},
    )
    of_shard: dict[int, list[Any]] = {shard: [] for shard in checkpoints}
    for row in rows:
        of_shard[row.shard].append(row)
    return {shard: _user_days(found) for shard, found in of_shard.items()}


async def masks(
    connection: AsyncConnection, shard: int, first: int, last: int, series: Sequence[int] | None = None
) -> Masks:
    """All that is stored of the epochs that days `first..last` touch, deltas folded in; of some series or of all.

    Deltas are read before masks: a compaction in between shows a user-day twice, which a set union forgives, and
    never not at all.
    """
    deltas = await _deltas(connection, shard, first, last, series)
    rows = await connection.execute(
        text("""
            SELECT series, epoch, "user", mask FROM metrics.activity_mask
            WHERE shard = :shard AND epoch BETWEEN :first AND :last
              AND (CAST(:series AS int[]) IS NULL OR series = ANY(CAST(:series AS int[])))"""),
        {"shard": shard, "first": first >> 6, "last": last >> 6, "series": series},
    )
    return archive.merge(_masks(rows.all()), archive.fold(deltas))


async def _deltas(
    connection: AsyncConnection, shard: int, first: int, last: int, series: Sequence[int] | None = None
) -> UserDays:
    rows = await connection.execute(
        text("""
            SELECT series, "user", day FROM metrics.activity_delta
            WHERE shard = :shard AND last_day >= :first AND first_day <= :last"""),
        {"shard": shard, "first": first, "last": last},
    )
    found = _user_days(rows.all())
    if series is None:
        return found
    wanted = np.isin(found.series, np.array(series, np.int32))
    return UserDays(found.series[wanted], found.user[wanted], found.day[wanted])


async def oldest(connection: AsyncConnection, shard: int, series: Sequence[int]) -> Masks:
    """Of each of these series: the masks of the oldest epoch that is stored, deltas folded in."""
    deltas = await _deltas(connection, shard, 0, _LAST_DAY, series)
    rows = await connection.execute(
        text("""
            SELECT series, epoch, "user", mask FROM metrics.activity_mask
            WHERE shard = :shard AND (series, epoch) IN (
                SELECT series, min(epoch) FROM metrics.activity_mask
                WHERE shard = :shard AND series = ANY(CAST(:series AS int[])) GROUP BY series)"""),
        {"shard": shard, "series": list(series)},
    )
    return archive.merge(_masks(rows.all()), archive.fold(deltas))


async def compact(connection: AsyncConnection, shard: int, keep: int = 0) -> int:
    """Fold the shard's deltas into its masks, all but those of the newest `keep` checkpoints; returns how many.

    A replica that has not seen one of them yet learns from `folded` to read the masks; so whoever rewrites masks folds
    everything first, within a checkpoint of its own.
    """
    checkpoint = await connection.execute(
        text("SELECT checkpoint FROM metrics.shard WHERE shard = :shard FOR UPDATE"), {"shard": shard}
    )
    last = checkpoint.scalar_one() - keep
    await connection.execute(
        text("UPDATE metrics.shard SET folded = GREATEST(folded, :last) WHERE shard = :shard"),
        {"shard": shard, "last": last},
    )
    rows = await connection.execute(
        text("""
            DELETE FROM metrics.activity_delta WHERE shard = :shard AND checkpoint <= :last
            RETURNING series, "user", day"""),
        {"shard": shard, "last": last},
    )
    deltas = rows.all()
    if deltas:  # sorting tens of thousands of rows is nothing for the event loop
        folded = await asyncio.to_thread(archive.fold, _user_days(deltas))
        stored = await _stored_like(connection, shard, folded)
        await store_masks(connection, shard, await asyncio.to_thread(archive.merge, stored, folded))
    return len(deltas)


async def store_masks(connection: AsyncConnection, shard: int, rows: Masks) -> None:
    """Replace the stored masks of every (series, epoch) in `rows`."""
    blocks = list(archive.blocks(rows))
    for start in range(0, len(blocks), 1000):  # bounds the size of one statement
        part = blocks[start : start + 1000]
        await connection.execute(
            text("""
                INSERT INTO metrics.activity_mask (shard, series, epoch, "user", mask)
                SELECT :shard, * FROM unnest(CAST(:series AS int[]), CAST(:epoch AS int[]), CAST(:user AS bytea[]),
                                             CAST(:mask AS bytea[]))
                ON CONFLICT (shard, series, epoch) DO UPDATE SET "user" = excluded."user", mask = excluded.mask"""),
            {
                "shard": shard,
                "series": [int(block.series[0]) for block in part],
                "epoch": [int(block.epoch[0]) for block in part],
                "user": [block.user.astype("<u8").tobytes() for block in part],
                "mask": [block.mask.astype("<u8").tobytes() for block in part],
            },
        )


async def replace_masks(connection: AsyncConnection, shard: int, series: Sequence[int], rows: Masks) -> None:
    """Store `rows` as all there is of these series; their deltas have been compacted before."""
    await connection.execute(
        text("DELETE FROM metrics.activity_mask WHERE shard = :shard AND series = ANY(CAST(:series AS int[]))"),
        {"shard": shard, "series": series},
    )
    await store_masks(connection, shard, rows)


async def _stored_like(connection: AsyncConnection, shard: int, like: Masks) -> Masks:
    """The stored masks of the (series, epoch) pairs that occur in `like`."""
    pairs = [(int(block.series[0]), int(block.epoch[0])) for block in archive.blocks(like)]
    rows = await connection.execute(
        text("""
            SELECT m.series, m.epoch, m."user", m.mask FROM metrics.activity_mask AS m
            JOIN unnest(CAST(:series AS int[]), CAST(:epoch AS int[])) AS wanted(series, epoch)
              ON m.series = wanted.series AND m.epoch = wanted.epoch
            WHERE m.shard = :shard"""),
        {"shard": shard, "series": [series for series, _ in pairs], "epoch": [epoch for _, epoch in pairs]},
    )
    return _masks(rows.all())


async def delta_sizes(connection: AsyncConnection) -> dict[int, tuple[int, int]]:
    """Per shard with deltas: how many, and how many user-days they hold."""
    rows = await connection.execute(
        text("SELECT shard, count(*), sum(size) FROM metrics.activity_delta GROUP BY shard")
    )
    return {shard: (deltas, size) for shard, deltas, size in rows}


def _user_days(rows: Sequence[Any]) -> UserDays:
    return UserDays(
        np.frombuffer(b"".join(row.series for row in rows), "<i4"),
        np.frombuffer(b"".join(row.user for row in rows), "<u8"),
        np.frombuffer(b"".join(row.day for row in rows), "<i4"),
    )


def _masks(rows: Sequence[Any]) -> Masks:
    sizes = [len(row.mask) // 8 for row in rows]
    return archive.merge(
        Masks(
            _repeated([row.series for row in rows], sizes),
            _repeated([row.epoch for row in rows], sizes),
            np.frombuffer(b"".join(row.user for row in rows), "<u8"),
            np.frombuffer(b"".join(row.mask for row in rows), "<u8"),
        )
    )


def _repeated(values: list[int], sizes: list[int]) -> I32:
    return np.repeat(np.array(values, np.int32), sizes)
