"""The HTTP answers of alerting. Reads only; the pages of FastAPI are off, since they load scripts from elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.problems import Problem
from uptake_alerting import listing
from uptake_alerting.listing import Alert, AlertDetail, StateFilter


def router(engine: AsyncEngine) -> APIRouter:
    routes = APIRouter(prefix="/api/v1")

    @routes.get("/alerts")
    async def alerts(
        state: StateFilter | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 200
    ) -> list[Alert]:
        """Episodes, the newest first. `open` = firing or recovering."""
        async with engine.connect() as connection:
            return await listing.alerts(connection, state, limit)

    @routes.get("/alerts/{alert_id}")
    async def alert(alert_id: str) -> AlertDetail:
        """One episode with its history, its notices, and why they went where they went."""
        async with engine.connect() as connection:
            found = await listing.alert(connection, alert_id)
        if found is None:
            raise Problem(404, "unknown_alert", f"no alert {alert_id!r} is on record")
        return found

    return routes
