"""What becomes of one delivery when a part of it fails. That everything is stored, the doors are tested for."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from uptake.subjects import REFUSED
from uptake_ingestion.items import Item
from uptake_ingestion.publishing import NotStored
from uptake_ingestion.reception import Reception

BEAT = {"id": "h1", "type": "instance.heartbeat", "occurred_at": "2026-01-05T10:00:00Z", "instance": "i1"}


class Publisher:
    """Fails for what is refused and takes for ever for what is not."""

    def __init__(self, error):
        self.error, self.given_up = error, []

    async def publish(self, stream, subject, payload, message_id=None, keep_h=None):
        if stream == REFUSED:
            raise self.error
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up.append(stream)
            raise


@pytest.mark.parametrize("error", [NotStored("away"), RuntimeError("a mistake of ours")])
async def test_what_is_left_of_a_delivery_is_given_up_when_one_part_fails(error):
    publisher = Publisher(error)
    items = [Item(json.dumps(BEAT).encode()), Item(b"no json")]
    with pytest.raises(type(error)):
        await Reception(publisher).take("http", "crm", items, datetime(2026, 5, 10, tzinfo=UTC))
    await asyncio.sleep(0)
    assert publisher.given_up == ["FACTS"]
