"""The NATS door: RAW's messages, acknowledged only when all they held is stored. Judges nothing; answers nobody."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from nats.errors import Error

from uptake.pull import instant, numbers
from uptake.streams import INGESTION_CONSUMER, RAW_CONSUMER
from uptake.subjects import RAW
from uptake_ingestion.batches import Row
from uptake_ingestion.body import MAX_BODY_BYTES
from uptake_ingestion.intake import Refused, Window, window_of
from uptake_ingestion.items import MAX_ITEMS, Item, NotJson, TooManyItems, split
from uptake_ingestion.meters import NOT_STORED
from uptake_ingestion.plain import find, is_slug
from uptake_ingestion.publishing import NotStored
from uptake_ingestion.reception import Reception

_AT_ONCE = min(2000, INGESTION_CONSUMER.max_ack_pending or 2000)  # more the broker does not hand out
_GATHER_S = 0.025  # for so long a batch waits for more after its first message
_LONGEST_DELAY_S = 60.0
_NOBODY = "unknown"  # the source of what came under a subject that names no producer

_log = structlog.get_logger(__name__)


class RawDoor:
    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def attach(self, broker: NatsBroker) -> None:
        broker.subscriber(
            "raw.v1.>",
            durable=RAW_CONSUMER,
            stream=JStream(RAW, declare=False),
            pull_sub=PullSub(batch=True, batch_size=_AT_ONCE, timeout=_GATHER_S),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,  # a producer may name any subject to answer to
            decoder=_hand_through,
        )(self.take)

    async def take(self, batch: Any) -> None:
        """Many messages. Each is acknowledged when all it held is stored, or comes again later; none is dropped."""
        messages: list[Msg] = batch.raw_message
        plain, others = _sorted_out(messages)
        together = [(theirs, self._reception.put("raw", source, rows)) for source, (rows, theirs) in plain.items()]
        one_by_one = [([message], self._store(message)) for message in others]
        await asyncio.gather(*(_settle(*part) for part in [*together, *one_by_one]))

    async def _store(self, raw: Msg) -> None:
        await self._reception.turn()
        arrived = _arrived(raw)  # not now: an event grows no older while it waits for us
        source = source_of(raw.subject)
        if source and await self._reception.take_array("raw", source, raw.data, arrived):
            return
        items = items_of(raw.data) if source else Refused("unknown_producer", "the subject is raw.v1.PRODUCER.TYPE")
        if isinstance(items, Refused):
            await self._reception.refuse_whole("raw", source or _NOBODY, items, raw.data, arrived)
        elif source:
            await self._reception.take("raw", source, items, arrived)


def _sorted_out(messages: Sequence[Msg]) -> tuple[dict[str, tuple[list[Row], list[Msg]]], list[Msg]]:
    """By producer, the messages that are one good plain usage event each; and all others."""
    arrived = [_arrived(message) for message in messages]
    # Good whenever it came: what is near an end of the window is looked at by itself.
    window = Window(window_of(max(arrived), live=True).earliest, window_of(min(arrived), live=True).latest)
    plain: dict[str, tuple[list[Row], list[Msg]]] = {}
    others = []
    for message, row in zip(messages, find([message.data for message in messages], window), strict=True):
        source = source_of(message.subject)
        if row is None or source is None:
            others.append(message)
            continue
        rows, theirs = plain.setdefault(source, ([], []))
        rows.append(row)
        theirs.append(message)
    return plain, others


async def _settle(messages: Sequence[Msg], stored: Awaitable[Any]) -> None:
    try:
        await stored
        for message in messages:
            await message.ack()
    except NotStored as error:
        _log.warning("not stored, tried again later", error=str(error), messages=len(messages))
        NOT_STORED.labels("raw").inc()
        await _again_later(messages)
    except Exception:
        _log.exception("not taken, tried again later")
        await _again_later(messages)


def _arrived(message: Msg) -> datetime:
    return instant(numbers(message.reply)[2])


def source_of(subject: str) -> str | None:
    """The producer's token of `raw.v1.<producer>.<type>`; what follows it is a hint that decides nothing."""
    tokens = subject.split(".")
    return tokens[2] if len(tokens) > 3 and is_slug(tokens[2]) else None


def items_of(body: bytes) -> list[Item] | Refused:
    """The limits of a request hold here too; over them the message is refused as a whole."""
    if len(body) > MAX_BODY_BYTES:
        return Refused("too_large", f"a message may have {MAX_BODY_BYTES} bytes; send it in parts")
    try:
        return split(body)
    except NotJson:
        return Refused("not_json", "the message is neither JSON nor lines of JSON")
    except TooManyItems:
        return Refused("too_large", f"a message may hold {MAX_ITEMS} events; send it in parts")


async def _hand_through(message: NatsMessage) -> NatsMessage:
    return message  # bytes stay bytes, and no dependency injection, which would cost a thread hop a message


async def _again_later(messages: Sequence[Msg]) -> None:
    try:
        for message in messages:
            if not message.is_acked:
                await message.nak(delay=min(_LONGEST_DELAY_S, 0.5 * 2 ** min(message.metadata.num_delivered, 10)))
    except Error as error:  # then they come again when the consumer's ack_wait is over
        _log.warning("no nak", error=repr(error))
