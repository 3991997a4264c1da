"""A shard's log of events: what USAGE holds of it up to a position, and since when that is all. Counts nothing.

Whoever reads it changes what is stored by what it says, so that silence must never pass for the end of the log.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from nats.js import JetStreamContext
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake import subjects
from uptake.consumer import Consumer, Cursor, Entry
from uptake.streams import stream_uuid
from uptake_metrics import erasure_store
from uptake_metrics.batches import Batch, decode_all

_MESSAGES = 64
_SILENCES = 5  # in a row: each is a request that the broker answered with nothing, or not at all


def decode(entries: Sequence[Entry]) -> list[Batch | ValueError]:
    """What `decode_all` says of these messages, each batch with the sequence of the one that first brought it."""
    batches = decode_all([(entry.data, entry.stored_at) for entry in entries])
    for entry, batch in zip(entries, batches, strict=True):
        if isinstance(batch, Batch):
            batch.sequence = batch.rewrite_of or entry.sequence
    return batches


class LogUnread(Exception):
    """The broker has messages for us and does not hand them out."""


async def read(js: JetStreamContext, number: int, after: int, until: Cursor) -> AsyncIterator[list[Entry]]:
    """All that is stored of a shard from after one sequence up to and with a position; raises, or leaves nothing out.

    What is stored up to the position was there before the consumer was made, so that its count of what is pending has
    all of it.
    """
    async for entries in _read(js, subjects.USAGE, subjects.usage(number), after, until):
        yield entries


async def read_all(js: JetStreamContext, stream: str, subject: str, after: int = 0) -> AsyncIterator[list[Entry]]:
    """The same of all that any stream holds of some subjects at this moment, from after a sequence on."""
    info = await js.stream_info(stream)
    if info.state.last_seq > after:
        async for entries in _read(js, stream, subject, after, Cursor(stream_uuid(info), info.state.last_seq)):
            yield entries


async def _read(
    js: JetStreamContext, stream: str, subject: str, after: int, until: Cursor
) -> AsyncIterator[list[Entry]]:
    consumer = await Consumer.create(js, stream, [subject], after)
    silences = 0
    try:
        await consumer.verify(until)
        while consumer.pending and after < until.sequence:  # what arrives meanwhile is not waited for
            entries = await consumer.fetch(_MESSAGES, 0.05)
            silences = 0 if entries else silences + 1
            if silences == _SILENCES:
                raise LogUnread(f"{subject} after {after}: {consumer.pending} messages are not handed out")
            if entries:
                after = entries[-1].sequence
                yield [entry for entry in entries if entry.sequence <= until.sequence]
    finally:
        await consumer.drop()


async def whole_since(js: JetStreamContext, connection: AsyncConnection, number: int, now: datetime) -> datetime | None:
    """From when on nothing that the shard ever counted is gone from USAGE; null when nothing ever went.

    Asked after the log was read, since its oldest may go meanwhile.
    """
    row = await connection.execute(
        text("SELECT restarted_at FROM metrics.shard WHERE shard = :shard"), {"shard": number}
    )
    restarted_at: datetime | None = row.scalar_one()
    oldest = await _oldest(js, connection, now)
    return max((at for at in (restarted_at, oldest) if at), default=None)


async def _oldest(js: JetStreamContext, connection: AsyncConnection, now: datetime) -> datetime | None:
    """When the oldest message arrived that USAGE still holds; null while none was ever dropped.

    One that named an erased person is not gone: another one stands for it.
    """
    state = (await js.stream_info(subjects.USAGE)).state
    if state.first_seq - 1 <= await erasure_store.gone_before(connection, subjects.USAGE, state.first_seq):
        return None
    if not state.messages:
        return now
    return (await js.get_msg(subjects.USAGE, state.first_seq)).time or now
