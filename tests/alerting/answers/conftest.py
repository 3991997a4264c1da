"""Asks the doors of alerting over a real PostgreSQL, at a time that the test sets."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import problems
from uptake_alerting import http
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.routes import RoutesFile
from uptake_alerting.rule_file import RulesFile


@dataclass
class Clock:
    now: datetime = datetime(2026, 5, 4, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def call(engine: AsyncEngine, clock: Clock, tmp_path: Path) -> Callable[..., Awaitable[httpx2.Response]]:
    """`call("GET", "/alerts", state="open")`, `call("POST", path, body)`; `roster` and `routes` are texts of files.

    `plain` goes as text/plain.
    """

    async def run(
        method: str,
        path: str,
        body: Any = None,
        roster: str = "people: []",
        routes: str = "channels: {}",
        plain: str | None = None,
        **query: str,
    ) -> httpx2.Response:
        (tmp_path / "roster.yml").write_text(roster)
        (tmp_path / "routes.yml").write_text(routes)
        app = FastAPI()
        problems.install(app)
        rosters = RosterFile(tmp_path / "roster.yml")
        app.include_router(http.router(engine, RulesFile(None), rosters, RoutesFile(tmp_path / "routes.yml"), clock))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://alerting", trust_env=False) as client:
            sent: dict[str, Any] = {"json": body}
            if plain is not None:
                sent = {"content": plain, "headers": {"Content-Type": "text/plain"}}
            return await client.request(method, f"/api/v1{path}", params=query, **sent)

    return run
