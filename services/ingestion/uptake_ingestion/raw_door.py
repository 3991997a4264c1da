"""The NATS door: RAW's messages, acknowledged only when all they held is stored. Judges nothing; answers nobody."""

from typing import Any

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.message import NatsMessage
from nats.aio.msg import Msg
from nats.errors import Error
from pydantic import TypeAdapter, ValidationError

from uptake.messages.fields import Slug
from uptake.streams import RAW_CONSUMER
from uptake.subjects import RAW
from uptake_ingestion.body import MAX_BODY_BYTES
from uptake_ingestion.intake import Refused
from uptake_ingestion.items import MAX_ITEMS, Item, NotJson, TooManyItems, split
from uptake_ingestion.meters import NOT_STORED
from uptake_ingestion.publishing import NotStored
from uptake_ingestion.reception import Reception

_AT_ONCE = 256  # messages being worked on; a message may have 1 MiB, most have far less
_LONGEST_DELAY_S = 60.0
_SLUG: TypeAdapter[str] = TypeAdapter(Slug)
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
            pull_sub=PullSub(batch_size=_AT_ONCE, timeout=1.0),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,  # a producer may name any subject to answer to
            decoder=_hand_through,
        )(self.take)

    async def take(self, message: Any) -> None:
        """One message. Whatever happens, it is acknowledged when stored, or comes again later, never dropped."""
        raw: Msg = message.raw_message
        try:
            await self._store(raw)
            await raw.ack()
        except NotStored as error:
            _log.warning("not stored, tried again later", error=str(error))
            NOT_STORED.labels("raw").inc()
            await _again_later(raw)
        except Exception:
            _log.exception("not taken, tried again later")
            await _again_later(raw)

    async def _store(self, raw: Msg) -> None:
        arrived = raw.metadata.timestamp  # not now: an event grows no older while it waits for us
        source = source_of(raw.subject)
        items = items_of(raw.data) if source else Refused("unknown_producer", "the subject is raw.v1.PRODUCER.TYPE")
        if isinstance(items, Refused):
            await self._reception.refuse_whole("raw", source or _NOBODY, items, raw.data, arrived)
        elif source:
            await self._reception.take("raw", source, items, arrived)


def source_of(subject: str) -> str | None:
    """The producer's token of `raw.v1.<producer>.<type>`; what follows it is a hint that decides nothing."""
    tokens = subject.split(".")
    try:
        return _SLUG.validate_python(tokens[2]) if len(tokens) > 3 else None
    except ValidationError:
        return None


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


async def _again_later(raw: Msg) -> None:
    try:
        await raw.nak(delay=min(_LONGEST_DELAY_S, 0.5 * 2 ** min(raw.metadata.num_delivered, 10)))
    except Error as error:  # then it comes again when the consumer's ack_wait is over
        _log.warning("no nak", error=repr(error))
