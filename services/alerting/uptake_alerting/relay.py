"""Publishes alert events from their outbox to ALERT. The same event may be published twice, under one message id."""

from collections.abc import Callable
from datetime import datetime

import structlog
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.clock import utc_now
from uptake.loops import forever
from uptake.messages.alerts import AlertData, AlertEvent
from uptake.streams import MAX_ALERT_BYTES
from uptake.subjects import ALERT
from uptake_alerting import outbox

POLL_S = 0.5
PUBLISH_S = 5.0
HEADERS_BYTES = 1024  # more than ours have
MAX_BODY_BYTES = MAX_ALERT_BYTES - HEADERS_BYTES

Completed = Callable[[AlertData], AlertData]

log = structlog.get_logger(__name__)


def _as_it_is(data: AlertData) -> AlertData:
    return data


async def run(engine: AsyncEngine, js: JetStreamContext, completed: Completed = _as_it_is) -> None:
    """Until cancelled. `completed`: what stands in no row, such as links."""

    async def step() -> float:
        return 0.0 if await relay_once(engine, js, utc_now(), completed) else POLL_S

    await forever("publishing alert events", step)


async def relay_once(engine: AsyncEngine, js: JetStreamContext, now: datetime, completed: Completed = _as_it_is) -> int:
    """How many events were published. What was published before an error is published again, and refused as known."""
    async with engine.begin() as connection:
        rows = await outbox.unpublished(connection)
        for row in rows:
            body = _encoded(AlertEvent.model_validate(row.body), completed)
            await js.publish(row.subject, body, timeout=PUBLISH_S, stream=ALERT, headers={"Nats-Msg-Id": row.id})
        if rows:
            await outbox.mark_published(connection, [row.position for row in rows], now)
    return len(rows)


def _encoded(event: AlertEvent, completed: Completed) -> bytes:
    """One that no message has room for goes without its numbers, and says so: it must not hold up all others."""
    body = event.model_copy(update={"data": completed(event.data)}).model_dump_json().encode()
    if len(body) <= MAX_BODY_BYTES:
        return body
    log.warning("an alert event goes without its numbers", alert=event.data.episode, event_bytes=len(body))
    slim = event.data.model_copy(update={"values": {"left_out": "too large"}, "labels": {}, "annotations": {}})
    return event.model_copy(update={"data": slim}).model_dump_json().encode()
