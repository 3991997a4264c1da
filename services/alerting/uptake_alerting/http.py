"""The HTTP answers of alerting as one router. The pages of FastAPI are off, since they load scripts from elsewhere."""

from collections.abc import Callable
from datetime import datetime, time

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.config import ConfigFile
from uptake_alerting.answers import alerts, breakers, previews, routing, silences
from uptake_alerting.answers import rules as asked_rules
from uptake_alerting.links import NO_LINKS, Links
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes
from uptake_alerting.rules import Rules


def router(
    engine: AsyncEngine,
    rules: ConfigFile[Rules],
    rosters: ConfigFile[Roster],
    routes: ConfigFile[Routes],
    clock: Callable[[], datetime],
    links: Links = NO_LINKS,
    digest_time: time = time(8),
) -> APIRouter:
    found = APIRouter()
    found.include_router(alerts.router(engine, rosters, routes, clock))
    found.include_router(asked_rules.router(engine, rules))
    found.include_router(previews.router(engine, rules, clock, links))
    found.include_router(routing.router(engine, rules, rosters, routes, clock, digest_time))
    found.include_router(silences.router(engine, clock))
    found.include_router(breakers.router(engine, clock))
    return found
