"""An accepted business event, kept for ever. The broker holds one message per (source, id)."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from uptake.messages.events import BusinessEvent
from uptake.messages.fields import Instant, Message, Slug
from uptake.messages.imports import ImportFinished, ImportStarted

FactEvent = Annotated[BusinessEvent | ImportStarted | ImportFinished, Field(discriminator="type")]


class Fact(Message):
    """Subject: `fact.v1.<type>.<key of (source, id)>`. `event` alone decides between duplicate and conflict.

    On the wire `event` holds only the fields that were sent, so that `account.updated` can tell "left as it was"
    from "cleared".
    """

    source: Slug
    received_at: Instant
    event: FactEvent

    @property
    def occurred_at(self) -> datetime:
        return self.event.occurred_at
