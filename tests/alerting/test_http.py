"""The answers of alerting that are none: each with its status, a bounded word and what to do."""

import asyncio
from datetime import timedelta

import httpx2
import pytest
import uvicorn
from click.testing import CliRunner
from fastapi import FastAPI

from uptake import database, problems
from uptake.clock import utc_now
from uptake.settings import DatabaseSettings
from uptake_alerting import http
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.routes import RoutesFile
from uptake_alerting.rule_file import RulesFile
from uptake_cli.app import main

DOORS = ("alerts", "alerts/some", "silences", "silences/some", "breakers")


@pytest.fixture
async def ask():
    """Asks the doors of alerting over an engine."""

    async def run(engine, path):
        app = FastAPI()
        problems.install(app)
        app.include_router(http.router(engine, RulesFile(None), RosterFile(None), RoutesFile(None), utc_now))
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
        ("/api/v1/alerts?rule=%00", 400, "invalid_request"),
        ("/api/v1/alerts?severity=bad", 400, "invalid_request"),
        ("/api/v1/silences/nothing", 404, "unknown_silence"),
        ("/api/v1/silences?state=odd", 400, "invalid_request"),
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
    answer = await ask(away, f"/api/v1/{path}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "unavailable", "detail": "the database does not answer; see /readyz"}
    await away.dispose()


@pytest.fixture
async def command(engine, free_port, monkeypatch):
    """What `uptake` says, asking alerting on a real socket."""
    app = FastAPI()
    problems.install(app)
    app.include_router(http.router(engine, RulesFile(None), RosterFile(None), RoutesFile(None), utc_now))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    monkeypatch.setenv("UPTAKE_ALERTING_URL", f"http://127.0.0.1:{port}")

    async def run(*words):
        result = await asyncio.to_thread(CliRunner().invoke, main, list(words))
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    yield run
    server.should_exit = True
    await serving


async def test_the_command_understands_every_answer(fire, command):
    alert = await fire(columns={"route": {"level": 0, "steps": ["ce-1 owns the account: told through ops"]}})
    for words in (
        ("ack", alert, "--for", "4h", "--comment", "on it", "--by", "ann"),
        ("snooze", alert, "--until", f"{utc_now() + timedelta(days=2):%Y-%m-%d}"),
        ("note", alert, "asked the champion"),
        ("assign", alert, "bob"),
        ("unack", alert),
        ("ack", alert, "--by", "cem"),
    ):
        result = await command("alerts", *words)
        assert (result.exit_code, result.stdout.startswith(f"{alert}: ")) == (0, True), result.output
    silenced = await command("silences", "add", "account=acme", "--for", "2d", "--comment", "they migrate")
    assert silenced.stdout.endswith("1 open alert matches now.\n")
    listed = (await command("alerts", "--owner", "bob")).stdout
    assert "acked by cem" in listed
    shown = " ".join((await command("alerts", "show", alert)).stdout.split())
    for words in (
        "assigned to bob",
        "why ce-1 owns the account: told through ops",
        "held back acked (cem)",
        "ann (cli) on it",
    ):
        assert words in shown
    assert "they migrate" in (await command("silences")).stdout
    assert (await command("alerts", "--csv")).stdout.startswith("id,rule,")
    assert (await command("alerts", "close", alert, "--comment", "known")).exit_code == 0
    over = await command("alerts", "ack", alert)
    assert (over.exit_code, "is over since" in over.stderr) == (1, True)
    assert (await command("alerts", "snooze", alert, "--for", "soon")).exit_code == 2
    assert (await command("silences", "add", "acme", "--comment", "x", "--for", "1d")).exit_code == 2
    assert (await command("alerts", "release", "nothing")).exit_code == 1
    assert (await command("alerts", "storms")).stdout == "Nothing is held back.\n"
