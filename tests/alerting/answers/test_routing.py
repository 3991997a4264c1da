"""Whom an alert would reach, as alerting answers it: from what is stored, the roster and the routes."""

from datetime import UTC, date, datetime, time

import httpx2
import pytest
from fastapi import FastAPI

from tests.alerting.two_rules import RULES
from uptake_alerting import evaluation, http
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.routes import RoutesFile
from uptake_alerting.rule_file import RulesFile

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
ROSTER = """
people:
- {name: ce-1, manager: boss}
- {name: ce-2, away: [{from: 2026-05-04, to: 2026-05-05}]}
- {name: boss}
- {name: ann}
regions: {emea: {time_zone: UTC, rotation: emea}}
rotations: {emea: {time_zone: UTC, layers: [{people: [ann], start: 2026-01-05}]}}
"""
ROUTES = """
channels:
  mail: {type: webhook, url: "https://mail.example.com/", serves: [ce-1]}
  phone: {type: webhook, url: "https://phone.example.com/", serves: [boss]}
  hook: {type: webhook, url: "https://hook.example.com/", serves: [ann]}
default: [hook]
"""


@pytest.fixture
async def ask(engine, call, account_day, trial):
    snapshots = [account_day(date(2026, 5, 2), owner="ce-9"), account_day(date(2026, 5, 3)), trial(engineer="ce-2")]
    async with engine.begin() as connection:
        await evaluation.take(connection, snapshots, RULES, NOW)

    async def run(**query):
        return await call("GET", "/route", roster=ROSTER, routes=ROUTES, **query)

    return run


async def test_each_level_with_who_was_looked_at(ask):
    found = (await ask(rule="usage-unhealthy", account="acme")).json()
    told = [[(one["person"], one["channel"]) for one in step["told"]] for step in found["steps"]]
    assert told == [[("ce-1", "mail")], [("ann", "hook")], [("boss", "phone")]]
    assert found["steps"][0]["looked_at"] == ["ce-1 owns the account: told through mail"]
    assert (found["severity"], found["at"]) == ("warning", "2026-05-04T10:00:00Z")


async def test_whoever_is_away_is_passed_over_and_that_is_said(ask):
    found = (await ask(rule="trial-breached", trial="o1")).json()
    assert found["steps"][0]["told"][0]["person"] == "ce-1"
    assert found["steps"][0]["looked_at"][0] == "ce-2 runs the trial, but is away until 2026-05-06 00:00 UTC"


@pytest.mark.parametrize(
    ("at", "severity", "told_at", "digest"),
    [
        ("2026-05-04T10:00:00Z", "warning", "2026-05-04T10:00:00Z", False),
        ("2026-05-04T20:00:00Z", "warning", "2026-05-05T09:00:00Z", False),
        ("2026-05-09T10:00:00Z", "critical", "2026-05-11T09:00:00Z", False),
        ("2026-05-04T10:00:00Z", "info", "2026-05-05T08:00:00Z", True),
    ],
)
async def test_when_it_would_go(ask, at, severity, told_at, digest):
    found = (await ask(rule="usage-unhealthy", account="acme", at=at, severity=severity)).json()
    (told,) = found["steps"][0]["told"]
    assert (told["at"], told["digest"]) == (told_at, digest)


@pytest.mark.parametrize(
    ("severity", "at", "levels"),
    [
        ("warning", "2026-05-04T10:00:00Z", ["05-04T10:00", "05-05T10:00", "05-06T10:00"]),
        ("warning", "2026-05-08T20:00:00Z", ["05-11T09:00", "05-12T09:00", "05-13T09:00"]),
        ("critical", "2026-05-04T15:00:00Z", ["05-04T15:00", "05-05T11:00", "05-05T15:00"]),
        ("info", "2026-05-04T10:00:00Z", ["05-05T08:00"]),
    ],
)
async def test_each_level_says_when_it_would_be_reached_if_nobody_acts(ask, severity, at, levels):
    """ce-1, then who is on call, then the manager: a working day later each, or four working hours."""
    found = (await ask(rule="usage-unhealthy", account="acme", at=at, severity=severity)).json()
    reached = [one["at"] for step in found["steps"] for one in step["told"]]
    assert reached == [f"2026-{level}:00Z" for level in levels]


async def test_who_knows_already_is_not_told_again_at_a_later_level(ask):
    found = (await ask(rule="usage-unhealthy", account="acme", severity="critical")).json()
    told = [(one["channel"], one["destination"]) for step in found["steps"] for one in step["told"]]
    assert len(told) == len(set(told))


async def test_a_rule_about_a_team_reaches_whom_no_account_names(ask):
    found = (await ask(rule="closure-below-target")).json()
    assert (found["account"], found["trial"]) == (None, None)
    assert found["steps"][0]["looked_at"][0] == "nobody is the manager"


async def test_the_digest_goes_at_the_hour_of_the_settings(engine, ask, tmp_path):
    await ask(rule="usage-unhealthy", account="acme")  # writes the files
    files = RulesFile(None), RosterFile(tmp_path / "roster.yml"), RoutesFile(tmp_path / "routes.yml")
    app = FastAPI()
    app.include_router(http.router(engine, *files, lambda: NOW, digest_time=time(6, 30)))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://alerting") as client:
        query = {"rule": "usage-unhealthy", "account": "acme", "severity": "info"}
        found = (await client.get("/api/v1/route", params=query)).json()
    assert found["steps"][0]["told"][0]["at"] == "2026-05-05T06:30:00Z"


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ({"rule": "nope", "account": "acme"}, 404, "unknown_rule"),
        ({"rule": "usage-unhealthy", "account": "zorg"}, 404, "unknown_account"),
        ({"rule": "trial-breached", "trial": "o9"}, 404, "unknown_trial"),
        ({"rule": "trial-breached", "account": "acme"}, 400, "invalid_request"),
        ({"rule": "usage-unhealthy"}, 400, "invalid_request"),
        ({"rule": "closure-below-target", "account": "acme"}, 400, "invalid_request"),
        ({"rule": "usage-unhealthy", "account": "acme", "trial": "o1"}, 400, "invalid_request"),
        ({"rule": "usage-unhealthy", "account": "acme", "at": "soon"}, 400, "invalid_request"),
        ({"rule": "usage-unhealthy", "account": "acme", "at": "9999-12-31T23:59:59Z"}, 400, "invalid_request"),
        ({"rule": "usage-unhealthy", "account": "acme", "at": "0001-01-01T00:00:00Z"}, 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_answered(ask, query, status, error):
    answer = await ask(**query)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
