"""What a reader cannot understand, in REFUSED: whole if it fits, once however often it is tried."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from uptake import broker
from uptake.messages.refusals import MAX_MESSAGE_BYTES, Refusal
from uptake.provision import provision
from uptake.reader import Entry
from uptake.refusing import refuse
from uptake.settings import BrokerSettings
from uptake.subjects import REFUSED

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)


def entry(sequence: int, data: bytes = b"{ broken") -> Entry:
    return Entry(sequence, "fact.v1.some.key", data, NOW)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "why"),
        (MAX_MESSAGE_BYTES, "why"),
        (MAX_MESSAGE_BYTES + 1, "why (the first 524288 of 524289 bytes are kept)"),
    ],
)
def test_a_message_is_kept_whole_unless_it_is_huge(size: int, said: str) -> None:
    data = b"\xff" * size
    refusal = Refusal.of_message("metrics", "not_understood", "why", NOW, data)
    assert (refusal.detail, refusal.body_is_base64) == (said, True)
    assert base64.b64decode(refusal.body) == data[:MAX_MESSAGE_BYTES]


async def test_every_message_that_the_broker_takes_can_be_refused_and_a_retry_is_no_second_one(
    nats_server: Any,
) -> None:
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    js = client.jetstream()
    await provision(js)
    error = ValueError("\x01" * 5000)  # six bytes each in JSON
    for reader in ("metrics-FACTS", "metrics-USAGE", "metrics-FACTS"):
        for one in (entry(1), entry(2, b"\xff" * 2**20)):
            await refuse(js, reader, one, error, source="metrics", reason="not_understood")
    assert (await js.stream_info(REFUSED)).state.messages == 4
    stored = await js.get_msg(REFUSED, 1)
    assert (stored.subject, stored.headers) == (
        "refused.v1.metrics.not_understood",
        {"Nats-Msg-Id": "metrics-FACTS-1", "Nats-Expected-Stream": REFUSED},
    )
    detail = json.loads(stored.data or b"")["detail"]
    assert detail.startswith("metrics-FACTS: fact.v1.some.key at 1: ValueError: ")
    await client.close()
