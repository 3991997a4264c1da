"""Erasures in PostgreSQL: who was erased, the jobs and their receipts, the messages that wait. Decides nothing.

Whoever writes a row of `erased`, and whoever stores facts, holds the row of FACTS' position: so no fact that names an
erased person is stored behind the back of its erasure.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake import subjects
from uptake.consumer import Entry
from uptake.messages.events import UserDeleted, UserLinked, UserUnlinked
from uptake.messages.facts import Fact
from uptake_metrics.suppression import Erased, Suppression, digest

WAITING, DONE = "waiting", "done"
_LATER = ""  # the job of messages that came after their person was erased


class Job(NamedTuple):
    """`user` is null once nothing is left to do. `state`: what is to be done next."""

    id: str
    account: str
    user: str | None
    state: str
    asked_at: datetime
    finished_at: datetime | None
    receipt: dict[str, Any]


class Named(NamedTuple):
    """A message that names an erased person, the job that found it, and the message that was stored instead."""

    stream: str
    sequence: int
    erasure: str
    subject: str
    copy: int | None


async def key(connection: AsyncConnection) -> bytes:
    """The key of this installation, made at the first call."""
    await connection.execute(
        text("INSERT INTO metrics.erasure_key (name, key) VALUES ('digest', :new) ON CONFLICT DO NOTHING"),
        {"new": secrets.token_bytes(32)},
    )
    return await _key(connection)


async def _key(connection: AsyncConnection) -> bytes:
    return bytes((await connection.execute(text("SELECT key FROM metrics.erasure_key"))).scalar_one())


async def suppression(connection: AsyncConnection, shard: int) -> Suppression:
    """The erased people of a shard. What was counted from another stream is no message of this one."""
    rows = await connection.execute(
        text("""
            SELECT account, digest, tombstone, CASE WHEN e.stream_uuid = s.stream_uuid THEN until ELSE 0 END AS until
            FROM metrics.erased AS e JOIN metrics.shard AS s USING (shard) WHERE shard = :shard"""),
        {"shard": shard},
    )
    return await _suppression(connection, rows.all())


async def everybody(connection: AsyncConnection) -> Suppression:
    """The erased people of all shards: for messages, which may name several."""
    rows = await connection.execute(text("SELECT account, digest, tombstone, until FROM metrics.erased"))
    return await _suppression(connection, rows.all())


async def _suppression(connection: AsyncConnection, rows: Sequence[Any]) -> Suppression:
    if not rows:
        return Suppression()
    erased = {(row.account, bytes(row.digest)): Erased(row.tombstone, row.until) for row in rows}
    return Suppression(await _key(connection), erased)


async def lock_facts(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT 1 FROM metrics.cursor WHERE name = 'FACTS' FOR UPDATE"))


async def bury(connection: AsyncConnection, job: Job, tombstone: str, stream_uuid: str | None, until: int) -> str:
    """Whom nobody is to name any more; returns the tombstone, which is the first one if there was one before."""
    assert job.user is not None  # noqa: S101  # a job that is not done
    values = {
        "account": job.account,
        "digest": digest(await key(connection), job.account, job.user),
        "shard": subjects.shard_of(job.account),
        "tombstone": tombstone,
        "uuid": stream_uuid,
        "until": until,
    }
    await connection.execute(
        text("""
            INSERT INTO metrics.erased (account, digest, shard, tombstone, stream_uuid, until, erased_at)
            VALUES (:account, :digest, :shard, :tombstone, :uuid, :until, now()) ON CONFLICT DO NOTHING"""),
        values,
    )
    kept = text("SELECT tombstone FROM metrics.erased WHERE account = :account AND digest = :digest")
    return str((await connection.execute(kept, {name: values[name] for name in ("account", "digest")})).scalar_one())


async def screen(connection: AsyncConnection, arrived: Sequence[tuple[Entry, Fact]]) -> list[tuple[Entry, Fact]]:
    """The facts to store: an erasure that is asked for becomes a job, and what names an erased person is left out.

    Within the transaction that moves the position in FACTS.
    """
    names = {fact.event.account for _, fact in arrived if isinstance(fact.event, _ABOUT_PEOPLE)}
    if not names:
        return list(arrived)
    known = await _suppression_of(connection, names)
    kept = []
    for entry, fact in arrived:
        event = fact.event
        if isinstance(event, UserDeleted):
            await _ask(connection, entry, fact, event)
        if isinstance(event, _ABOUT_PEOPLE) and any(known.find(event.account, user) for user in _people(event)):
            await _note(connection, subjects.FACTS, subjects.shard_of(event.account), entry.subject, [entry.sequence])
        else:
            kept.append((entry, fact))
    return kept


_ABOUT_PEOPLE = (UserDeleted, UserLinked, UserUnlinked)


def _people(event: UserDeleted | UserLinked | UserUnlinked) -> list[str]:
    return [event.user] if isinstance(event, UserDeleted) else [event.user, event.other]


async def _suppression_of(connection: AsyncConnection, accounts: set[str]) -> Suppression:
    rows = await connection.execute(
        text("""
            SELECT account, digest, tombstone, until FROM metrics.erased
            WHERE account = ANY(CAST(:names AS text[]))"""),
        {"names": sorted(accounts)},
    )
    return await _suppression(connection, rows.all())


async def _ask(connection: AsyncConnection, entry: Entry, fact: Fact, event: UserDeleted) -> None:
    await connection.execute(
        text("""
            INSERT INTO metrics.erasure (id, fact, account, shard, user_id, state, asked_at, receipt)
            VALUES (:id, :fact, :account, :shard, :user, :state, :at, '{}') ON CONFLICT DO NOTHING"""),
        {
            "id": entry.subject.rpartition(".")[2],
            "fact": subjects.token(event.id),
            "account": event.account,
            "shard": subjects.shard_of(event.account),
            "user": event.user,
            "state": WAITING,
            "at": fact.received_at,
        },
    )


async def note_usage(connection: AsyncConnection, named: Mapping[int, Sequence[int]]) -> None:
    """Messages of USAGE, by shard, that came after a person in them was erased."""
    for shard, sequences in sorted(named.items()):
        await _note(connection, subjects.USAGE, shard, subjects.usage(shard), sequences)


async def note_later(connection: AsyncConnection, subject: str, sequence: int) -> None:
    """The same of one message, that came through an installation."""
    await _note(connection, subjects.USAGE, int(subject.rpartition(".")[2]), subject, [sequence])


async def note(connection: AsyncConnection, job: Job, stream: str, messages: Iterable[tuple[int, str]]) -> None:
    """Messages (sequence, subject) that are to be replaced for a job."""
    shard = subjects.shard_of(job.account)
    for sequence, subject in messages:
        await _note(connection, stream, shard, subject, [sequence], job.id)


async def _note(
    connection: AsyncConnection, stream: str, shard: int, subject: str, sequences: Sequence[int], erasure: str = _LATER
) -> None:
    await connection.execute(
        text("""
            INSERT INTO metrics.erased_message (stream, sequence, erasure, shard, subject)
            SELECT :stream, sequence, :erasure, :shard, :subject
            FROM unnest(CAST(:sequences AS bigint[])) AS new(sequence)
            ON CONFLICT (stream, sequence, erasure) DO UPDATE
            SET subject = excluded.subject, copy = NULL, replaced = false WHERE erased_message.replaced"""),
        {"stream": stream, "sequences": list(sequences), "erasure": erasure, "shard": shard, "subject": subject},
    )


async def named(connection: AsyncConnection, shards: Sequence[int]) -> list[Named]:
    """The messages of these shards that wait, oldest first."""
    rows = await connection.execute(
        text("""
            SELECT stream, sequence, erasure, subject, copy FROM metrics.erased_message
            WHERE NOT replaced AND shard = ANY(CAST(:shards AS int[]))
            ORDER BY stream, sequence, erasure LIMIT 1000"""),
        {"shards": list(shards)},
    )
    return [Named(*row) for row in rows]


async def copied(connection: AsyncConnection, message: Named, sequence: int) -> None:
    """Another message stands for it."""
    await connection.execute(
        text("""
            UPDATE metrics.erased_message SET copy = :copy
            WHERE stream = :stream AND sequence = :sequence AND erasure = :erasure"""),
        {
            "stream": message.stream,
            "sequence": message.sequence,
            "erasure": message.erasure,
            "copy": sequence,
        },
    )


async def replaced(connection: AsyncConnection, message: Named) -> None:
    """The message is gone."""
    await connection.execute(
        text("""
            UPDATE metrics.erased_message SET replaced = true
            WHERE stream = :stream AND sequence = :sequence AND erasure = :erasure"""),
        {"stream": message.stream, "sequence": message.sequence, "erasure": message.erasure},
    )


async def is_waiting(connection: AsyncConnection, job: Job) -> bool:
    """Whether messages of a job are still to be replaced."""
    rows = await connection.execute(
        text("SELECT 1 FROM metrics.erased_message WHERE erasure = :id AND NOT replaced LIMIT 1"), {"id": job.id}
    )
    return rows.first() is not None


async def gone_before(connection: AsyncConnection, stream: str, sequence: int) -> int:
    """How many messages before this one are missing because they named an erased person."""
    rows = await connection.execute(
        text("""
            SELECT count(DISTINCT sequence) FROM metrics.erased_message
            WHERE stream = :stream AND sequence < :sequence AND replaced"""),
        {"stream": stream, "sequence": sequence},
    )
    return int(rows.scalar_one())


async def count_rows(connection: AsyncConnection, job: Job, changed: Mapping[str, int], found: bool) -> None:
    """For the receipt: how many rows of each table were rewritten; `found`: anything but the wish named the person."""
    await connection.execute(
        text("UPDATE metrics.erasure SET receipt = CAST(:receipt AS jsonb) WHERE id = :id"),
        {"id": job.id, "receipt": json.dumps({"tables": changed, "found": found})},
    )


async def proceed(connection: AsyncConnection, job: Job, state: str) -> None:
    """Note what is to be done next."""
    await connection.execute(
        text("UPDATE metrics.erasure SET state = :state WHERE id = :id"), {"id": job.id, "state": state}
    )


async def finish(connection: AsyncConnection, job: Job) -> None:
    """The receipt stands; the id goes."""
    await connection.execute(
        text("""
            UPDATE metrics.erasure SET state = :done, user_id = NULL, finished_at = now(),
                receipt = receipt || jsonb_build_object('streams', of_streams, 'found',
                    CAST(receipt->'found' AS boolean) OR of_streams ? CAST(:usage AS text))
            FROM (
                SELECT COALESCE(jsonb_object_agg(stream, messages), CAST('{}' AS jsonb)) AS of_streams FROM (
                    SELECT stream, count(*) AS messages FROM metrics.erased_message
                    WHERE erasure = :id AND replaced GROUP BY stream
                ) AS of_stream
            ) AS counted
            WHERE id = :id"""),
        {"id": job.id, "done": DONE, "usage": subjects.USAGE},
    )


_JOB = "SELECT id, account, user_id, state, asked_at, finished_at, receipt FROM metrics.erasure"


async def unfinished(connection: AsyncConnection, shards: Sequence[int]) -> list[Job]:
    rows = await connection.execute(
        text(f"{_JOB} WHERE finished_at IS NULL AND shard = ANY(CAST(:shards AS int[])) ORDER BY asked_at, id"),
        {"shards": list(shards)},
    )
    return [Job(*row) for row in rows]


async def jobs(connection: AsyncConnection, fact: str | None = None) -> list[Job]:
    """All of them, or those that a fact of this id asked for; the newest first."""
    rows = await connection.execute(
        text(f"{_JOB} WHERE CAST(:fact AS text) IS NULL OR fact = :fact ORDER BY asked_at DESC, id"),
        {"fact": subjects.token(fact) if fact else None},
    )
    return [Job(*row) for row in rows]


async def job(connection: AsyncConnection, name: str) -> Job | None:
    row = (await connection.execute(text(f"{_JOB} WHERE id = :id"), {"id": name})).first()
    return Job(*row) if row else None
