"""Publishes alert events from their outbox to ALERT. The same event may be published twice, under one message id."""

import asyncio
from datetime import datetime

import nats.errors
import nats.js.errors
import structlog
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.clock import utc_now
from uptake.database import is_unavailable
from uptake.messages.alerts import AlertEvent
from uptake.subjects import ALERT
from uptake_alerting import outbox

POLL_S, BACKOFF_S = 0.5, 3.0
PUBLISH_S = 5.0

log = structlog.get_logger(__name__)


async def run(engine: AsyncEngine, js: JetStreamContext) -> None:
    """Until cancelled."""
    while True:
        try:
            wait_s = 0.0 if await relay_once(engine, js, utc_now()) else POLL_S
        except Exception as error:
            expected = isinstance(error, nats.errors.Error | nats.js.errors.Error) or is_unavailable(error)
            log.warning("events wait in the outbox", error=type(error).__name__, exc_info=not expected)
            wait_s = BACKOFF_S
        await asyncio.sleep(wait_s)


async def relay_once(engine: AsyncEngine, js: JetStreamContext, now: datetime) -> int:
    """How many events were published. What was published before an error is published again, and refused as known."""
    async with engine.begin() as connection:
        rows = await outbox.unpublished(connection)
        for row in rows:
            body = AlertEvent.model_validate(row.body).model_dump_json().encode()
            await js.publish(row.subject, body, timeout=PUBLISH_S, stream=ALERT, headers={"Nats-Msg-Id": row.id})
        if rows:
            await outbox.mark_published(connection, [row.position for row in rows], now)
    return len(rows)
