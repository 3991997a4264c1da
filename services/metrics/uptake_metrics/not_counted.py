"""Events that the activity policy refused, in PostgreSQL: how many, by account, local day and reason. Judges none.

Counts deliveries as they came, under the policy that was in force then, or when they were counted anew; no person is
named. Kept as long as the days can change that are told of: nobody looks at refused events of long ago.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake_metrics.activity import Refusal
from uptake_metrics.shard import Change
from uptake_metrics.zones import to_day, to_number

#: The 30 days that end on each of the 35 days which late events can still change, in any zone.
KEPT_DAYS: Final = 66

Refused = Mapping[tuple[str, int, Refusal], int]  # events by account, local day since 1970, and reason


def kept_from(now: datetime) -> date:
    """The first local day of which refused events are told."""
    return now.date() - timedelta(days=KEPT_DAYS)


async def save(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    """Within the transaction of a checkpoint; nothing is written where nothing was refused."""
    found = Counter[tuple[str, int, Refusal]]()
    for change in changes:
        found.update(change.not_counted)
    await _add(connection, found)


async def _add(connection: AsyncConnection, found: Refused) -> None:
    rows = sorted(found.items())
    if rows:
        await connection.execute(
            text("""
                INSERT INTO metrics.not_counted AS n (account, day, reason, events)
                SELECT * FROM unnest(CAST(:account AS text[]), CAST(:day AS date[]), CAST(:reason AS text[]),
                                     CAST(:events AS bigint[]))
                ON CONFLICT (account, day, reason) DO UPDATE SET events = n.events + excluded.events"""),
            {
                "account": [account for (account, _, _), _ in rows],
                "day": [to_day(day) for (_, day, _), _ in rows],
                "reason": [reason for (_, _, reason), _ in rows],
                "events": [events for _, events in rows],
            },
        )


async def replace(connection: AsyncConnection, accounts: Collection[str], first: date, found: Refused) -> None:
    """What is told of these accounts from a day on is `found`, as far as it is of these days."""
    await connection.execute(
        text("DELETE FROM metrics.not_counted WHERE account = ANY(CAST(:accounts AS text[])) AND day >= :first"),
        {"accounts": sorted(accounts), "first": first},
    )
    await _add(connection, {key: events for key, events in found.items() if key[1] >= to_number(first)})


async def stored(connection: AsyncConnection, accounts: Collection[str], first: date) -> Refused:
    """All that is told of these accounts from a day on."""
    rows = await connection.stream(
        text("""
            SELECT account, day, reason, events FROM metrics.not_counted
            WHERE account = ANY(CAST(:accounts AS text[])) AND day >= :first"""),
        {"accounts": sorted(accounts), "first": first},
    )
    return {(account, to_number(day), reason): events async for account, day, reason, events in rows}


async def prune(connection: AsyncConnection, now: datetime) -> None:
    await connection.execute(text("DELETE FROM metrics.not_counted WHERE day < :first"), {"first": kept_from(now)})


async def of(
    connection: AsyncConnection, account: str, first: date, last: date, now: datetime
) -> dict[str, int] | None:
    """Events by reason, of the local days `first..last`; null where some of these are no longer told of."""
    if first < kept_from(now):
        return None
    rows = await connection.execute(
        text("""
            SELECT reason, CAST(sum(events) AS bigint) FROM metrics.not_counted
            WHERE account = :account AND day BETWEEN :first AND :last GROUP BY reason ORDER BY reason"""),
        {"account": account, "first": first, "last": last},
    )
    return {reason: events for reason, events in rows}
