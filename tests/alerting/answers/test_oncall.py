"""What alerting answers about who is on call."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from icalendar import Calendar
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.alerting.two_rules import RULES
from uptake import config, problems
from uptake_alerting import evaluation
from uptake_alerting.answers import oncall
from uptake_alerting.roster import Roster
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.routes import RoutesFile
from uptake_alerting.tables import delivery, episode

#: Monday, 10:00 in Los Angeles: bob has taken over from ann an hour ago.
NOW = datetime(2026, 11, 9, 18, tzinfo=UTC)
ROSTER = """
people:
- {name: ann, time_zone: America/Los_Angeles}
- {name: bob, away: [{from: 2026-11-12, to: 2026-11-12}], time_zone: America/Los_Angeles}
- name: cem
rotations:
  west:
    title: US West
    time_zone: America/Los_Angeles
    layers: [{people: [ann, bob], start: 2026-11-02, only: {from: "09:00", to: "17:00"}}]
  east:
    title: US
    time_zone: America/New_York
    layers: [{people: [cem], start: 2026-11-02}]
"""
ROUTES = 'channels: {hook: {type: webhook, url: "https://x.example.com", serves: [bob]}}'
Ask = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
async def ask(engine: AsyncEngine, tmp_path: Path) -> Ask:
    """Asks over a database, with a roster and routes of files."""
    (tmp_path / "roster.yml").write_text(ROSTER)
    (tmp_path / "routes.yml").write_text(ROUTES)
    app = FastAPI()
    problems.install(app)
    rosters, routes = RosterFile(tmp_path / "roster.yml"), RoutesFile(tmp_path / "routes.yml")
    app.include_router(oncall.router(engine, rosters, routes, lambda: NOW))

    async def run(path: str = "", **params: str) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://alerting", trust_env=False) as client:
            return await client.get(f"/api/v1/oncall{path}", params=params)

    return run


async def test_who_is_on_call_how_they_are_reached_and_who_is_next(ask):
    west, east = (await ask()).json()
    assert west == {
        "rotation": "west",
        "title": "US West",
        "time_zone": "America/Los_Angeles",
        "on_call": [
            {
                "person": "bob",
                "start": "2026-11-09T17:00:00Z",
                "end": "2026-11-10T01:00:00Z",
                "source": "layer 1",
                "channels": ["hook"],
            }
        ],
        "gap": False,
        "next": {
            "person": "ann",
            "start": "2026-11-16T17:00:00Z",
            "end": "2026-11-17T01:00:00Z",
            "source": "layer 1",
            "channels": [],
        },
    }
    assert (east["on_call"][0]["person"], east["next"]) == ("cem", None)


@pytest.mark.parametrize(
    ("at", "there", "gap"),
    [
        ("2026-11-09T16:59:00Z", [], False),  # before working hours
        ("2026-11-09T09:00:00-08:00", ["bob"], False),
        ("2026-11-06T18:00:00Z", ["ann"], False),
        ("2026-11-07T18:00:00Z", [], False),  # Saturday
        ("2026-11-12T18:00:00Z", [], True),  # bob is away
    ],
)
async def test_who_is_on_call_at_another_time(ask, at, there, gap):
    (west,) = (await ask(at=at, rotation="west")).json()
    assert ([one["person"] for one in west["on_call"]], west["gap"]) == (there, gap)


async def test_gaps_ahead(ask):
    assert (await ask("/gaps", days="60")).json() == [
        {
            "rotation": "west",
            "time_zone": "America/Los_Angeles",
            "start": "2026-11-12T17:00:00Z",
            "end": "2026-11-13T01:00:00Z",
        }
    ]
    assert (await ask("/gaps", days="2")).json() == []


async def test_the_next_weeks_stint_by_stint(ask):
    found = (await ask("/preview", weeks="2", rotation="west")).json()
    assert [(one["person"], one["start"], one["end"], one["hours"]) for one in found] == [
        ("bob", "2026-11-09T17:00:00Z", "2026-11-14T01:00:00Z", 32.0),  # five days but one
        ("ann", "2026-11-16T17:00:00Z", "2026-11-21T01:00:00Z", 40.0),
        ("bob", "2026-11-23T17:00:00Z", "2026-11-24T01:00:00Z", 8.0),  # cut where the weeks end
    ]


async def test_a_calendar_for_a_person(ask):
    answer = await ask("/calendar", person="ann", weeks="2")
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    starts = [event.start for event in Calendar.from_ical(answer.content).events]
    assert starts[0] == datetime(2026, 11, 2, 17, tzinfo=UTC)  # what has been is shown for a month
    assert len(starts) == 10


@pytest.mark.parametrize(
    ("path", "params", "status", "error"),
    [
        ("", {"rotation": "mars"}, 404, "unknown_rotation"),
        ("", {"at": "tomorrow"}, 400, "invalid_request"),
        ("", {"at": "0001-01-01T00:00:00Z"}, 400, "invalid_request"),
        ("/handover", {"at": "9999-12-31T23:59:59Z"}, 400, "invalid_request"),
        ("/gaps", {"days": "0"}, 400, "invalid_request"),
        ("/preview", {"weeks": "53"}, 400, "invalid_request"),
        ("/preview", {"rotation": "mars"}, 404, "unknown_rotation"),
        ("/calendar", {"person": "mars"}, 404, "unknown_person"),
        ("/calendar", {}, 400, "invalid_request"),
        ("/handover", {"rotation": "mars"}, 404, "unknown_rotation"),
    ],
)
async def test_questions_without_an_answer(ask, path, params, status, error):
    answer = await ask(path, **params)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


BY_ROTA = "this channel serves {}, who is on call for {}"


async def told(engine: AsyncEngine, name: str, person: str, why: str, **other: Any) -> None:
    """An alert that somebody was told of."""
    row = {
        "id": name,
        "rule": "adoption-below-target",
        "subject": name,
        "number": 1,
        "state": "firing",
        "reason": "off_target",
        "since": NOW.date(),
        "fired_at": NOW,
        "detected_at": NOW,
        "data": {"summary": f"{name} is low"},
        "account": name,
        "gates": [],
    }
    notice = {
        "id": f"{name}-{person}",
        "episode": name,
        "kind": "trigger",
        "person": person,
        "channel": "hook",
        "why": why,
    }
    rest = {"channel_type": "webhook", "destination": "x", "status": "delivered", "created_at": NOW, "due_at": NOW}
    async with engine.begin() as connection:
        await connection.execute(insert(episode).values(row | other))
        await connection.execute(insert(delivery).values(notice | rest))


async def test_the_alerts_that_pass_at_the_change_of_shift(ask, engine):
    await told(engine, "late", "ann", BY_ROTA.format("ann", "US West"), severity="warning", acked_by="ann")
    await told(engine, "grave", "ann", BY_ROTA.format("ann", "US West, next in turn"), severity="critical")
    await told(engine, "other", "ann", BY_ROTA.format("ann", "US"))  # of another rotation
    await told(engine, "own", "ann", "this channel serves ann, who owns the account")
    await told(engine, "taken", "ann", BY_ROTA.format("ann", "US West"), assignee="ann")
    await told(engine, "over", "ann", BY_ROTA.format("ann", "US West"), ended_at=NOW)
    await told(engine, "new", "bob", BY_ROTA.format("bob", "US West"))
    west, east = (await ask("/handover")).json()
    assert (west["from"], west["to"], west["at"]) == ("ann", "bob", "2026-11-09T17:00:00Z")
    assert [(one["id"], one["severity"], one["acked_by"]) for one in west["alerts"]] == [
        ("grave", "critical", None),
        ("late", "warning", "ann"),
    ]
    assert (east["from"], east["to"], east["alerts"]) == (None, "cem", [])


async def test_what_would_pass_at_a_change_that_is_to_come(ask, engine):
    await told(engine, "new", "bob", BY_ROTA.format("bob", "US West"))
    (west,) = (await ask("/handover", at="2026-11-16T18:00:00Z", rotation="west")).json()
    assert (west["from"], west["to"], [one["id"] for one in west["alerts"]]) == ("bob", "ann", ["new"])


async def test_what_really_went_to_somebody_by_the_rota_passes_over(ask, engine, look, account_day, routes_file):
    """Nobody owns the account: from evaluation over dispatch to the list."""
    roster = config.parse(f"{ROSTER}regions: {{amer: {{time_zone: UTC, rotation: west}}}}\n", Roster)
    friday = NOW - timedelta(days=3)
    async with engine.begin() as connection:
        late = [account_day(date(2026, 11, day), region="amer", owner=None, deputy=None) for day in (3, 4, 5)]
        await evaluation.take(connection, late, RULES, friday)
    await look(routes_file(ROUTES.replace("bob", "ann, bob")), friday, roster)
    (west,) = (await ask("/handover", rotation="west")).json()
    assert (west["from"], west["to"]) == ("ann", "bob")
    assert [(one["account"], one["why"]) for one in west["alerts"]] == [
        ("acme", "this channel serves ann, who is on call for US West")
    ]
