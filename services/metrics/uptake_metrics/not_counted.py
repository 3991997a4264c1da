"""Events that the activity policy refused, in PostgreSQL: how many, by account, local day and reason. Judges none.

Counts deliveries as they came, under the policy that was in force then; no person is named.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake_metrics.activity import Refusal
from uptake_metrics.shard import Change
from uptake_metrics.zones import to_day


async def save(connection: AsyncConnection, changes: Sequence[Change]) -> None:
    """Within the transaction of a checkpoint; nothing is written where nothing was refused."""
    found = Counter[tuple[str, int, Refusal]]()
    for change in changes:
        found.update(change.not_counted)
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


async def of(connection: AsyncConnection, account: str, first: date, last: date) -> dict[str, int]:
    """Events by reason, of the local days `first..last`."""
    rows = await connection.execute(
        text("""
            SELECT reason, CAST(sum(events) AS bigint) FROM metrics.not_counted
            WHERE account = :account AND day BETWEEN :first AND :last GROUP BY reason ORDER BY reason"""),
        {"account": account, "first": first, "last": last},
    )
    return {reason: events for reason, events in rows}
