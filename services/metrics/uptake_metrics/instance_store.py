"""Installations in PostgreSQL: their heartbeats by UTC day, and usage that names no account. Judges and counts nothing.

A row of usage is kept until it was attributed for longer than USAGE keeps its log: as long as an account can be
recomputed from its events, those that came through an installation have to be there too.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.events import InstanceHeartbeat
from uptake_metrics.attributed import Attributed, Row
from uptake_metrics.instances import Heard, second

#: USAGE keeps 45 days; what was attributed so long ago is older than whatever a recount reaches, in every zone.
KEPT_FOR: Final = timedelta(days=47)


async def save_heartbeats(connection: AsyncConnection, heartbeats: Iterable[tuple[int, InstanceHeartbeat]]) -> None:
    """Each with its sequence in FACTS: what a replica has not followed yet has a higher one."""
    days: dict[tuple[str, int], tuple[datetime, datetime, int]] = {}
    for sequence, beat in heartbeats:
        key, at = (beat.instance, second(beat.occurred_at) // 86_400), beat.occurred_at
        first, last, newest = days.get(key, (at, at, sequence))
        days[key] = min(first, at), max(last, at), max(newest, sequence)
    if days:
        rows = sorted(days.items())  # one order everywhere: two writers cannot lock each other out
        await connection.execute(
            text("""
                INSERT INTO metrics.heartbeat AS h (instance, day, first_at, last_at, sequence)
                SELECT instance, CAST(first AT TIME ZONE 'UTC' AS date), first, last, sequence
                FROM unnest(CAST(:instance AS text[]), CAST(:first AS timestamptz[]), CAST(:last AS timestamptz[]),
                            CAST(:sequence AS bigint[])) AS new(instance, first, last, sequence)
                ON CONFLICT (instance, day) DO UPDATE SET
                    first_at = LEAST(h.first_at, excluded.first_at), last_at = GREATEST(h.last_at, excluded.last_at),
                    sequence = GREATEST(h.sequence, excluded.sequence)"""),
            {
                "instance": [instance for (instance, _), _ in rows],
                "first": [first for _, (first, _, _) in rows],
                "last": [last for _, (_, last, _) in rows],
                "sequence": [sequence for _, (_, _, sequence) in rows],
            },
        )


async def heartbeats(connection: AsyncConnection, after: int = -1) -> list[Heard]:
    """Of each installation and UTC day that changed after a sequence in FACTS: the first and the last second."""
    rows = await connection.execute(
        text("""
            SELECT instance, CAST(floor(extract(epoch FROM first_at)) AS bigint),
                   CAST(floor(extract(epoch FROM last_at)) AS bigint)
            FROM metrics.heartbeat WHERE sequence > :after ORDER BY instance, day"""),
        {"after": after},
    )
    return [(instance, first, last) for instance, first, last in rows]


async def waiting_instances(connection: AsyncConnection) -> list[str]:
    """Those of which anything is attributed to nobody, at a look into the index each, however much waits."""
    rows = await connection.stream(
        text("""
            WITH RECURSIVE w AS (
                SELECT min(instance) AS instance FROM metrics.unattributed_usage WHERE attributed_to IS NULL
                UNION ALL
                SELECT (SELECT min(u.instance) FROM metrics.unattributed_usage AS u
                        WHERE u.attributed_to IS NULL AND u.instance > w.instance)
                FROM w WHERE w.instance IS NOT NULL
            ) SELECT instance FROM w WHERE instance IS NOT NULL""")
    )
    return [instance async for (instance,) in rows]


async def waits(connection: AsyncConnection, import_id: str, mapped: Container[str]) -> bool:
    """Whether an import brought usage of installations that are mapped by now, and that nobody was given yet."""
    theirs = [instance for instance in await waiting_instances(connection) if instance in mapped]
    if not theirs:
        return False
    rows = await connection.execute(
        text("""
            SELECT EXISTS (SELECT FROM metrics.unattributed_usage WHERE attributed_to IS NULL
                           AND instance = ANY(CAST(:theirs AS text[])) AND import_id = :import_id)"""),
        {"theirs": theirs, "import_id": import_id},
    )
    return bool(rows.scalar_one())


_ROW = "u.instance, u.user_id, u.feature, u.environment, u.actor, u.occurred_at, u.import_id"


async def waiting(connection: AsyncConnection, instances: Sequence[str], limit: int) -> list[Row]:
    """Rows of these installations that are attributed to nobody, some of each."""
    rows = await connection.execute(
        text(f"""
            SELECT {_ROW} FROM unnest(CAST(:instances AS text[])) AS wanted(instance)
            CROSS JOIN LATERAL (
                SELECT * FROM metrics.unattributed_usage AS w
                WHERE w.instance = wanted.instance AND w.attributed_to IS NULL LIMIT :limit
            ) AS u LIMIT :limit"""),  # noqa: S608  # our own constant
        {"instances": instances, "limit": limit},
    )
    return [Row(*row) for row in rows]


async def attribute(
    connection: AsyncConnection, rows: Sequence[tuple[Row, Attributed]], shard: int, now: datetime
) -> bool:
    """Note whose these rows are by now; false when another process gave one of them away, or counts them elsewhere."""
    done = await connection.execute(
        text("""
            UPDATE metrics.unattributed_usage AS u SET attributed_to = new.account, attributed_at = :now
            FROM unnest(CAST(:instance AS text[]), CAST(:account AS text[]), CAST(:user AS text[]),
                        CAST(:feature AS text[]), CAST(:environment AS text[]), CAST(:actor AS text[]),
                        CAST(:at AS timestamptz[]))
                 AS new(instance, account, user_id, feature, environment, actor, occurred_at)
            WHERE (u.instance, u.user_id, u.feature, u.environment, u.actor, u.occurred_at)
                = (new.instance, new.user_id, new.feature, new.environment, new.actor, new.occurred_at)
              AND u.attributed_to IS NULL"""),
        {
            "now": now,
            "instance": [row.instance for row, _ in rows],
            "account": [pair.account for _, pair in rows],
            "user": [row.user for row, _ in rows],
            "feature": [row.feature for row, _ in rows],
            "environment": [row.environment for row, _ in rows],
            "actor": [row.actor for row, _ in rows],
            "at": [row.occurred_at for row, _ in rows],
        },
    )
    spans: dict[Attributed, list[datetime]] = defaultdict(list)
    for row, pair in rows:
        spans[pair].append(row.occurred_at)
    known = await connection.execute(
        text("""
            INSERT INTO metrics.attribution AS a (instance, account, environment, shard, first_at, last_at)
            SELECT instance, account, environment, :shard, first, last
            FROM unnest(CAST(:instance AS text[]), CAST(:account AS text[]), CAST(:environment AS text[]),
                        CAST(:first AS timestamptz[]), CAST(:last AS timestamptz[]))
                 AS new(instance, account, environment, first, last)
            ON CONFLICT (instance, account) DO UPDATE SET
                first_at = LEAST(a.first_at, excluded.first_at), last_at = GREATEST(a.last_at, excluded.last_at)
            WHERE a.environment = excluded.environment"""),
        {
            "shard": shard,
            "instance": [pair.instance for pair in spans],
            "account": [pair.account for pair in spans],
            "environment": [pair.environment for pair in spans],
            "first": [min(instants) for instants in spans.values()],
            "last": [max(instants) for instants in spans.values()],
        },
    )
    return done.rowcount == len(rows) and known.rowcount == len(spans)


async def attributions(connection: AsyncConnection, shards: Iterable[int]) -> AsyncIterator[tuple[int, Attributed]]:
    """With the shard of the account; read in parts."""
    rows = await connection.stream(
        text("""
            SELECT shard, instance, account, environment FROM metrics.attribution
            WHERE shard = ANY(CAST(:shards AS int[])) ORDER BY shard"""),
        {"shards": list(shards)},
    )
    async for shard, *pair in rows:
        yield shard, Attributed(*pair)


async def attributed(
    connection: AsyncConnection, shard: int, accounts: Sequence[str] | None = None
) -> list[tuple[Row, Attributed]]:
    """All rows that were attributed to accounts of a shard, or to some of them, and are still kept."""
    rows = await connection.execute(
        text(f"""
            SELECT {_ROW}, p.account, p.environment FROM metrics.unattributed_usage AS u
            JOIN metrics.attribution AS p ON p.instance = u.instance AND p.account = u.attributed_to
            WHERE p.shard = :shard
              AND (CAST(:accounts AS text[]) IS NULL OR p.account = ANY(CAST(:accounts AS text[])))
            ORDER BY u.occurred_at"""),  # noqa: S608  # our own constant
        {"shard": shard, "accounts": accounts},
    )
    return [(Row(*row[:7]), Attributed(row[0], row[7], row[8])) for row in rows]


async def release(connection: AsyncConnection, pair: Attributed, since: datetime | None) -> bool:
    """The rows of the installation that the account was given wait again for whom they are; false when they do.

    Those from before `since` stay given: the account keeps the days on which they count.
    """
    await connection.execute(
        text("""
            UPDATE metrics.unattributed_usage SET attributed_to = NULL, attributed_at = NULL
            WHERE instance = :instance AND attributed_to = :account
              AND (CAST(:since AS timestamptz) IS NULL OR occurred_at >= :since)"""),
        {"instance": pair.instance, "account": pair.account, "since": since},
    )
    gone = await connection.execute(
        text("""
            DELETE FROM metrics.attribution
            WHERE (instance, account, environment) = (:instance, :account, :environment)"""),
        {"instance": pair.instance, "account": pair.account, "environment": pair.environment},
    )
    return gone.rowcount == 1


async def record_release(
    connection: AsyncConnection, pair: Attributed, now: str | None, at: datetime, kept_until: object
) -> None:
    """For the audit: which days the account keeps, since the log no longer says what the installation brought."""
    await connection.execute(
        text("""
            INSERT INTO metrics.instance_change (instance, from_account, from_environment, to_account, changed_at,
                                                 kept_until)
            VALUES (:instance, :was, :environment, :now, :at, :kept_until)"""),
        {
            "instance": pair.instance,
            "was": pair.account,
            "environment": pair.environment,
            "now": now,
            "at": at,
            "kept_until": kept_until,
        },
    )


async def moved_at(connection: AsyncConnection, account: str) -> list[datetime]:
    """When the account was given usage that had waited for a mapping, as far as it is kept, and when usage was taken
    from it; ascending."""
    rows = await connection.execute(
        text("""
            SELECT DISTINCT u.attributed_at FROM metrics.unattributed_usage AS u
            JOIN metrics.fact AS f ON f.type = 'instance.mapped' AND f.account = u.attributed_to
                                  AND f.body->'event'->>'instance' = u.instance
            WHERE u.attributed_to = :account AND u.stored_at < CAST(f.body->>'received_at' AS timestamptz)
            UNION SELECT changed_at FROM metrics.instance_change WHERE from_account = :account ORDER BY 1"""),
        {"account": account},
    )
    return list(rows.scalars())


async def prune(connection: AsyncConnection, now: datetime) -> None:
    await connection.execute(
        text("DELETE FROM metrics.unattributed_usage WHERE attributed_at < :before"), {"before": now - KEPT_FOR}
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """An installation's usage without an account: from when to when it is, how much of it waits, and since when."""

    first_at: datetime
    last_at: datetime
    waiting: int
    waiting_since: datetime | None


async def usage(connection: AsyncConnection) -> Mapping[str, Usage]:
    """By installation; what was given to an account counts in the first two only."""
    rows = await connection.stream(  # as many as there are installations: read in parts
        text("""
            SELECT instance, min(first_at), max(last_at), CAST(sum(waiting) AS bigint), min(since) FROM (
                SELECT instance, min(occurred_at) AS first_at, max(occurred_at) AS last_at, count(*) AS waiting,
                       min(stored_at) AS since
                FROM metrics.unattributed_usage WHERE attributed_to IS NULL GROUP BY instance
                UNION ALL SELECT instance, first_at, last_at, 0, NULL FROM metrics.attribution
            ) AS of_instance GROUP BY instance""")
    )
    return {instance: Usage(*row) async for instance, *row in rows}
