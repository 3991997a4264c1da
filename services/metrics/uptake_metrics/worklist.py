"""Which published days may be out of date, kept in PostgreSQL so that no crash forgets them. Computes no KPI."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.subjects import SHARDS, shard_of

#: An import whose client has gone silent for so long is evaluated as far as it came.
ABANDONED_AFTER = timedelta(minutes=15)
EVER = date(1970, 1, 1)
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)

_AT_A_TIME = 1_000  # subjects a statement: all accounts at once would hold up the event loop
_ACCOUNT, _TRIAL = "account:", "trial:"
TEAM = "team:"


@dataclass(frozen=True, slots=True)
class Work:
    """Days of `subject` from `first_day` on are to be evaluated again. `marked` says which mark this answers."""

    subject: str
    import_id: str
    first_day: date
    marked: int

    @property
    def account(self) -> str | None:
        return self.subject.removeprefix(_ACCOUNT) if self.subject.startswith(_ACCOUNT) else None

    @property
    def opportunity(self) -> str | None:
        return self.subject.removeprefix(_TRIAL) if self.subject.startswith(_TRIAL) else None


def account(name: str) -> str:
    return _ACCOUNT + name


def trial(opportunity: str) -> str:
    return _TRIAL + opportunity


async def mark(
    connection: AsyncConnection, first_days: Mapping[str, date], import_id: str = "", due_at: datetime = AT_ONCE
) -> None:
    """Note that days of these subjects changed, from the given day on; it is nobody's work before `due_at`."""
    rows = sorted(first_days.items())  # one order everywhere: two writers cannot lock each other out
    for start in range(0, len(rows), _AT_A_TIME):
        await _mark(connection, rows[start : start + _AT_A_TIME], import_id, due_at)


async def _mark(
    connection: AsyncConnection, rows: Sequence[tuple[str, date]], import_id: str, due_at: datetime
) -> None:
    await connection.execute(
        text("""
            INSERT INTO metrics.dirty AS d (subject, shard, import_id, first_day, due_at)
            SELECT subject, shard, :import_id, day, :due_at
            FROM unnest(CAST(:subject AS text[]), CAST(:shard AS int[]), CAST(:day AS date[]))
                 AS new(subject, shard, day)
            ON CONFLICT (subject, import_id) DO UPDATE
            SET first_day = LEAST(d.first_day, excluded.first_day), due_at = LEAST(d.due_at, excluded.due_at),
                marked = d.marked + 1, marked_at = now()"""),
        {
            "import_id": import_id,
            "subject": [subject for subject, _ in rows],
            "shard": [shard_of(subject.partition(":")[2]) for subject, _ in rows],
            "day": [day for _, day in rows],
            "due_at": due_at,
        },
    )


#: Subjects that an unfinished import still changes: nothing is published of them meanwhile. An import that goes on with
#: other subjects is not abandoned.
_HELD = """
    SELECT subject FROM (
        SELECT subject, usage_sequence, max(marked_at) OVER (PARTITION BY import_id) AS newest
        FROM metrics.dirty LEFT JOIN metrics.import_job USING (import_id) WHERE import_id <> ''
    ) AS of_import
    WHERE (usage_sequence IS NULL OR usage_sequence > :counted) AND newest >= now() - CAST(:abandoned AS interval)"""


async def due(
    connection: AsyncConnection, now: datetime, counted: int, limit: int, shards: Iterable[int] = range(SHARDS)
) -> list[Work]:
    """Work of these shards that no unfinished import holds, oldest first.

    `counted` = the sequence up to which USAGE is counted. A trial is its opportunity's shard's, so that it is one's.
    """
    rows = await connection.execute(
        text(f"""
            SELECT subject, import_id, first_day, marked FROM metrics.dirty
            WHERE due_at <= :now AND shard = ANY(CAST(:shards AS int[])) AND subject NOT IN ({_HELD})
            ORDER BY marked_at LIMIT :limit"""),  # noqa: S608  # our own constant
        {"now": now, "counted": counted, "abandoned": ABANDONED_AFTER, "limit": limit, "shards": list(shards)},
    )
    return [Work(*row) for row in rows]


async def held(connection: AsyncConnection, counted: int) -> set[str]:
    rows = await connection.execute(text(_HELD), {"counted": counted, "abandoned": ABANDONED_AFTER})
    return set(rows.scalars())


async def done(connection: AsyncConnection, work: Work) -> None:
    """Strike the work off, unless it was marked again meanwhile."""
    await connection.execute(
        text("""
            DELETE FROM metrics.dirty
            WHERE subject = :subject AND import_id = :import_id AND marked = :marked"""),
        {"subject": work.subject, "import_id": work.import_id, "marked": work.marked},
    )


async def put_off(connection: AsyncConnection, work: Work, until: datetime) -> None:
    """It is nobody's work before `until`, or before it is marked again."""
    await connection.execute(
        text("""
            UPDATE metrics.dirty SET due_at = :until
            WHERE subject = :subject AND import_id = :import_id AND marked = :marked"""),
        {"until": until, "subject": work.subject, "import_id": work.import_id, "marked": work.marked},
    )


async def pending(connection: AsyncConnection, import_id: str) -> int:
    """How many subjects of an import still wait for their evaluation."""
    rows = await connection.execute(
        text("SELECT count(*) FROM metrics.dirty WHERE import_id = :import_id"), {"import_id": import_id}
    )
    return int(rows.scalar_one())
