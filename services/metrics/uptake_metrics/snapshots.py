"""Published values in PostgreSQL: every revision of every day, and what NATS has yet to get of them. Judges nothing."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake_metrics import worklist


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One revision of one day of a subject (`account:<id>` or `trial:<opportunity>`); `body` is its message's JSON."""

    subject: str
    day: date
    revision: int
    body: dict[str, Any]


async def insert(connection: AsyncConnection, snapshots: Sequence[Snapshot], now: datetime) -> None:
    """Publish for ever. A second process that computed the same revision first wins."""
    if snapshots:
        await connection.execute(
            text("""
                INSERT INTO metrics.snapshot (subject, day, revision, body, created_at)
                SELECT subject, day, revision, CAST(body AS jsonb), :now
                FROM unnest(CAST(:subject AS text[]), CAST(:day AS date[]), CAST(:revision AS bigint[]),
                            CAST(:body AS text[])) AS new(subject, day, revision, body)
                ON CONFLICT DO NOTHING"""),
            {
                "now": now,
                "subject": [snapshot.subject for snapshot in snapshots],
                "day": [snapshot.day for snapshot in snapshots],
                "revision": [snapshot.revision for snapshot in snapshots],
                "body": [msgspec.json.encode(snapshot.body).decode() for snapshot in snapshots],
            },
        )


async def latest(connection: AsyncConnection, subject: str, first: date) -> dict[date, Snapshot]:
    """The newest revision of each published day from `first` on."""
    rows = await connection.execute(
        text("""
            SELECT DISTINCT ON (day) subject, day, revision, body FROM metrics.snapshot
            WHERE subject = :subject AND day >= :first
            ORDER BY day, revision DESC"""),
        {"subject": subject, "first": first},
    )
    return {row.day: Snapshot(*row) for row in rows}


async def newest_of(connection: AsyncConnection, kind: str) -> dict[str, Snapshot]:
    """By subject: the newest revision of each subject of a kind, whatever its day; read in parts."""
    rows = await connection.stream(
        text("""
            SELECT DISTINCT ON (subject) subject, day, revision, body FROM metrics.snapshot
            WHERE subject LIKE :kind ORDER BY subject, revision DESC"""),
        {"kind": f"{kind}:%"},
    )
    return {row.subject: Snapshot(*row) async for row in rows}


async def bodies(connection: AsyncConnection, first: date, last: date) -> AsyncIterator[tuple[str, str]]:
    """Kind and JSON in the order of time, read in parts: of accounts the newest revision of each day `first..last`, by
    when the day closed; of trials that began by `last` every revision, by when it was published."""
    in_order = text("""
        WITH played AS (
            (SELECT DISTINCT ON (subject, day) 'account' AS kind, subject, day, revision, body,
                    CAST(body ->> 'closed_at' AS timestamptz) AS at
             FROM metrics.snapshot WHERE subject LIKE 'account:%' AND day BETWEEN :first AND :last
             ORDER BY subject, day, revision DESC)
            UNION ALL
            SELECT 'trial', subject, day, revision, body, CAST(body ->> 'published_at' AS timestamptz)
            FROM metrics.snapshot WHERE subject LIKE 'trial:%' AND day <= :last
        )
        SELECT kind, CAST(body AS text) FROM played ORDER BY at, kind, subject, day, revision""")
    async for kind, body in await connection.stream(in_order, {"first": first, "last": last}):
        yield kind, body


async def every_revision(connection: AsyncConnection, subject: str, first: date, last: date) -> list[Snapshot]:
    """All that was ever published of the days `first..last`, by day and revision."""
    rows = await connection.execute(
        text("""
            SELECT subject, day, revision, body FROM metrics.snapshot
            WHERE subject = :subject AND day BETWEEN :first AND :last ORDER BY day, revision"""),
        {"subject": subject, "first": first, "last": last},
    )
    return [Snapshot(*row) for row in rows]


async def revisions(connection: AsyncConnection, subject: str, first: date, last: date) -> dict[date, int]:
    """The newest revision number of each published day of `first..last`."""
    rows = await connection.execute(
        text("""
            SELECT day, max(revision) FROM metrics.snapshot
            WHERE subject = :subject AND day BETWEEN :first AND :last GROUP BY day"""),
        {"subject": subject, "first": first, "last": last},
    )
    return {day: revision for day, revision in rows}


async def revisions_on(connection: AsyncConnection, day: date) -> dict[str, int]:
    """Per account: the newest revision number of one day, where it was published."""
    rows = await connection.execute(
        text("""
            SELECT subject, max(revision) FROM metrics.snapshot
            WHERE subject LIKE 'account:%' AND day = :day GROUP BY subject"""),
        {"day": day},
    )
    return {subject.removeprefix(worklist.account("")): revision for subject, revision in rows}


async def published_through(connection: AsyncConnection) -> dict[str, date]:
    """Per account: the newest day that was ever published."""
    rows = await connection.execute(
        text("SELECT subject, max(day) FROM metrics.snapshot WHERE subject LIKE 'account:%' GROUP BY subject")
    )
    return {subject.removeprefix(worklist.account("")): day for subject, day in rows}


async def unsent(connection: AsyncConnection, limit: int) -> list[Snapshot]:
    """The oldest of them, a subject's together and in the order in which they were published."""
    rows = await connection.execute(
        text("""
            SELECT subject, day, revision, body FROM (
                SELECT * FROM metrics.snapshot WHERE NOT sent ORDER BY created_at, subject, day, revision LIMIT :limit
            ) AS oldest ORDER BY subject, created_at, day, revision"""),
        {"limit": limit},
    )
    return [Snapshot(*row) for row in rows]


async def mark_sent(connection: AsyncConnection, snapshots: Sequence[Snapshot]) -> None:
    await connection.execute(
        text("""
            UPDATE metrics.snapshot AS s SET sent = true
            FROM unnest(CAST(:subject AS text[]), CAST(:day AS date[]), CAST(:revision AS bigint[]))
                 AS done(subject, day, revision)
            WHERE (s.subject, s.day, s.revision) = (done.subject, done.day, done.revision)"""),
        {
            "subject": [snapshot.subject for snapshot in snapshots],
            "day": [snapshot.day for snapshot in snapshots],
            "revision": [snapshot.revision for snapshot in snapshots],
        },
    )
