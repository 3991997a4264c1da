"""Rewrites what the tables of metrics hold of an erased person. Within the caller's transaction; decides nothing.

Every user-day stays where it was, under the hash of the tombstone; so no count can change.
"""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake import subjects
from uptake_metrics import activity_store, archive, erasure_store, mask_store
from uptake_metrics.activity import ERASED
from uptake_metrics.counting import MAX_DAY
from uptake_metrics.erasure_store import Job
from uptake_metrics.shard import Shard, user_hash
from uptake_metrics.suppression import NOBODY, Through, without
from uptake_metrics.userdays import Masks

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def rewrite(
    connection: AsyncConnection, shard: Shard, job: Job, tombstone: str, instances: Collection[str]
) -> None:
    """All tables; the shard's deltas were folded before. How many rows changed goes into the receipt.

    `instances`: the installations of the account.
    """
    links, facts = await _rewrite_facts(connection, job, tombstone)
    changed = {
        "activity_mask": await _rewrite_masks(connection, shard, job, tombstone),
        "person": await _rename(connection, job, tombstone),
        "unattributed_usage": await _rewrite_unattributed(connection, job, tombstone, instances),
    }
    found = bool(links or any(changed.values()))
    await erasure_store.count_rows(connection, job, {**changed, "fact": facts}, found)


async def _rewrite_masks(connection: AsyncConnection, shard: Shard, job: Job, tombstone: str) -> int:
    """Of all years and series. A sign of life is nobody's: the contact series names no person."""
    was, now = np.uint64(user_hash(str(job.user))), np.uint64(user_hash(tombstone))
    series = [number for number in shard.of_account(job.account) if shard.keys[number].kind != "contact"]
    stored = await mask_store.masks(connection, shard.number, 0, MAX_DAY, series)
    theirs = stored.user == was
    touched = np.unique(stored.series[theirs]).tolist()
    if touched:
        some = np.isin(stored.series, touched)
        user = np.where(theirs, now, stored.user)
        new = archive.merge(Masks(stored.series[some], stored.epoch[some], user[some], stored.mask[some]))
        await mask_store.replace_masks(connection, shard.number, touched, new)
    return int(np.count_nonzero(theirs))


async def _rename(connection: AsyncConnection, job: Job, tombstone: str) -> int:
    """A list stays as long as its count: where it named the person, it has the tombstone."""
    gone = await connection.execute(
        text("DELETE FROM metrics.person WHERE account = :account AND user_id = :user"),
        {"account": job.account, "user": job.user},
    )
    if gone.rowcount:
        await activity_store.save_people(connection, [(job.account, user_hash(tombstone), tombstone)])
    return int(gone.rowcount)


async def _rewrite_unattributed(
    connection: AsyncConnection, job: Job, tombstone: str, instances: Collection[str]
) -> int:
    """What came through the account's installations, whether it was given to the account already or is about to be."""
    changed = await connection.execute(
        text("""
            UPDATE metrics.unattributed_usage AS u SET user_id = :tombstone
            WHERE user_id = :user AND (
                attributed_to = :account
                OR (attributed_to IS NULL AND instance = ANY(CAST(:instances AS text[]))))"""),
        {"account": job.account, "user": job.user, "tombstone": tombstone, "instances": sorted(instances)},
    )
    return int(changed.rowcount)


async def counted_through(connection: AsyncConnection, usage: Collection[Through]) -> set[Through]:
    """Which of this usage counts as a tombstone's; all else of these people is nobody's."""
    if not usage:
        return set()
    rows = await connection.execute(
        text("""
            SELECT DISTINCT u.instance, u.user_id, u.feature, u.occurred_at FROM metrics.unattributed_usage AS u
            JOIN unnest(CAST(:instance AS text[]), CAST(:user AS text[]), CAST(:feature AS text[]),
                        CAST(:at AS timestamptz[])) AS wanted(instance, user_id, feature, occurred_at)
                USING (instance, user_id, feature, occurred_at)"""),
        {
            "instance": [one.instance for one in usage],
            "user": [one.tombstone for one in usage],
            "feature": [one.feature for one in usage],
            "at": [_EPOCH + one.instant_us * _MICROSECOND for one in usage],
        },
    )
    return {Through(box, user, feature, (at - _EPOCH) // _MICROSECOND) for box, user, feature, at in rows}


async def attributed_since(
    connection: AsyncConnection, accounts: Sequence[str], since: datetime
) -> tuple[list[tuple[str, str]], datetime | None]:
    """Whose usage these accounts were given since then (account, user), and when the last of it."""
    rows = await connection.execute(
        text("""
            SELECT attributed_to, user_id, max(attributed_at) FROM metrics.unattributed_usage
            WHERE attributed_at >= :since AND attributed_to = ANY(CAST(:accounts AS text[])) GROUP BY 1, 2"""),
        {"since": since, "accounts": accounts},
    )
    found = rows.all()
    return [(account, user) for account, user, _ in found], max((at for _, _, at in found), default=None)


async def forget_attributed(connection: AsyncConnection, account: str, user: str) -> None:
    """It stays a sign of life, of nobody: two people of one instant may become one row."""
    await connection.execute(
        text("""
            WITH gone AS (
                DELETE FROM metrics.unattributed_usage WHERE attributed_to = :account AND user_id = :user RETURNING *
            )
            INSERT INTO metrics.unattributed_usage
                (instance, user_id, feature, environment, actor, occurred_at, import_id, stored_at, attributed_to,
                 attributed_at)
            SELECT instance, :nobody, feature, environment, :erased, occurred_at, import_id, stored_at, attributed_to,
                   attributed_at FROM gone
            ON CONFLICT DO NOTHING"""),
        {"account": account, "user": user, "nobody": NOBODY, "erased": ERASED},
    )


async def _rewrite_facts(connection: AsyncConnection, job: Job, tombstone: str) -> tuple[int, int]:
    """How many links and facts of any kind name the person; their messages are to be replaced too."""
    rows = await connection.execute(
        text("""
            SELECT subject, sequence, type, body FROM metrics.fact
            WHERE account = :account AND type LIKE 'user.%'
              AND (body->'event'->>'user' = :user OR body->'event'->>'other' = :user)"""),
        {"account": job.account, "user": job.user},
    )
    found = rows.all()
    for row in found:
        body = without(row.body, str(job.user), tombstone)
        await connection.execute(
            text("UPDATE metrics.fact SET body = CAST(:body AS jsonb) WHERE subject = :subject"),
            {"subject": row.subject, "body": json.dumps(body)},
        )
    messages = [(row.sequence, row.subject) for row in found]
    await erasure_store.note(connection, job, subjects.FACTS, messages)
    return sum(row.type != "user.deleted" for row in found), len(found)


async def link(connection: AsyncConnection, subject: str) -> str | None:
    """The fact that is to stand in FACTS under a subject: a link is, a wish to be erased is done with."""
    rows = await connection.execute(
        text("SELECT CAST(body AS text) FROM metrics.fact WHERE subject = :subject AND type <> 'user.deleted'"),
        {"subject": subject},
    )
    body = rows.scalar()
    return str(body) if body else None
