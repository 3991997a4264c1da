"""The published snapshots of many days at once, for whoever plays them again: `/api/v1/snapshots`. Computes nothing."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.problems import Problem
from uptake_metrics import snapshots
from uptake_metrics.answers.asking import Asking

MAX_DAYS = 1_100  # three years


def router(asking: Asking) -> APIRouter:
    found = APIRouter()

    @found.get("/api/v1/snapshots")
    async def published(
        first: Annotated[date, Query(alias="from")], last: Annotated[date, Query(alias="to")]
    ) -> StreamingResponse:
        """The newest revision of each published day of all accounts, and what was published of trials, as JSON lines
        `{"kind": "account" or "trial", "snapshot": ...}` in the order in which days closed and trials were told of."""
        if not first <= last < first + timedelta(days=MAX_DAYS):
            raise Problem(400, "invalid_range", f"'from' must be at most 'to', and at most {MAX_DAYS} days before")
        return StreamingResponse(_lines(asking.engine, first, last), media_type="application/x-ndjson")

    return found


async def _lines(engine: AsyncEngine, first: date, last: date) -> AsyncIterator[bytes]:
    async with engine.connect() as connection:
        async for kind, body in snapshots.bodies(connection, first, last):
            yield f'{{"kind": "{kind}", "snapshot": {body}}}\n'.encode()
