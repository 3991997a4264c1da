"""The answers of alerting that are none: each with its status, a bounded word and what to do."""

import httpx2
import pytest
from fastapi import FastAPI

from uptake import database, problems
from uptake.settings import DatabaseSettings
from uptake_alerting import http

DOORS = ("/api/v1/alerts", "/api/v1/alerts/some")


@pytest.fixture
async def ask():
    """Asks the doors of alerting over an engine."""

    async def run(engine, path):
        app = FastAPI()
        problems.install(app)
        app.include_router(http.router(engine))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://alerting", trust_env=False) as client:
            return await client.get(path)

    return run


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/v1/alerts/nothing", 404, "unknown_alert"),
        ("/api/v1/alerts/%00", 400, "invalid_request"),
        ("/api/v1/alerts?state=sideways", 400, "invalid_request"),
        ("/api/v1/alerts?limit=0", 400, "invalid_request"),
        ("/api/v1/nothing", 404, "not_found"),
    ],
)
async def test_a_question_that_has_no_answer(engine, ask, path, status, error):
    answer = await ask(engine, path)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "detail"}


@pytest.mark.parametrize("path", DOORS)
async def test_while_the_database_is_away_it_says_when_to_ask_again(ask, free_port, path):
    away = database.engine(DatabaseSettings(database_url=f"postgresql+asyncpg://u@127.0.0.1:{free_port()}/x"), "test")
    answer = await ask(away, path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "unavailable", "detail": "the database does not answer; see /readyz"}
    await away.dispose()
