"""Many deliveries at once leave others their turn, at both doors: a probe of health is answered in between."""

import asyncio
import gc
import hashlib
import json
import time
from datetime import UTC, datetime

import pytest
from starlette.requests import Request

from uptake_ingestion.body import Budget
from uptake_ingestion.http import HttpDoor
from uptake_ingestion.keys import KeyRing
from uptake_ingestion.raw_door import RawDoor
from uptake_ingestion.reception import Reception

DELIVERIES = 64
PLAIN = [
    {"id": f"e{number}", "type": "usage", "occurred_at": datetime.now(UTC).isoformat()}
    | {"account": "acme", "user": f"u{number}", "feature": "merge"}
    for number in range(500)
]


class Shelf:
    async def publish(self, stream, subject, payload, message_id=None, keep_h=None):
        return 1


class Message:
    subject = "raw.v1.crm.usage"
    reply = f"$JS.ACK.RAW.ingestion.1.1.1.{time.time_ns()}.0"

    def __init__(self, data):
        self.data = data

    async def ack(self):
        pass


class Batch:
    def __init__(self, messages):
        self.raw_message = messages


def requests(body):
    async def receive():
        return {"type": "http.request", "body": body}

    scope = {"type": "http", "headers": [(b"authorization", b"Bearer key")], "query_string": b""}
    return [Request(scope, receive) for _ in range(DELIVERIES)]


async def turns_s(ways):
    """How long each round of the loop took, in time of this thread's own: how busy the machine is does not matter."""
    tasks, took_s = [asyncio.create_task(way) for way in ways], []
    gc.disable()  # it would take its time in some round or other
    try:
        while not all(task.done() for task in tasks):
            began = time.thread_time()
            await asyncio.sleep(0)
            took_s.append(time.thread_time() - began)
        await asyncio.gather(*tasks)
    finally:
        gc.enable()
    return took_s


@pytest.mark.parametrize("events", [PLAIN, [*PLAIN, {}]], ids=["plain", "one by one"])
async def test_many_requests_at_once_leave_others_their_turn(tmp_path, events):
    keys = tmp_path / "keys"
    keys.write_text(json.dumps({"producer": "crm", "key_sha256": hashlib.sha256(b"key").hexdigest()}) + "\n")
    door = HttpDoor(Reception(Shelf()), KeyRing(keys), Budget())
    took_s = await turns_s(door.events(request) for request in requests(json.dumps(events).encode()))
    assert max(took_s) < sum(took_s) / 3


@pytest.mark.parametrize("events", [PLAIN, [*PLAIN, {}]], ids=["plain", "one by one"])
async def test_many_messages_at_once_leave_others_their_turn(events):
    messages = [Message(json.dumps(events).encode()) for _ in range(DELIVERIES)]
    took_s = await turns_s([RawDoor(Reception(Shelf())).take(Batch(messages))])
    assert max(took_s) < sum(took_s) / 3
