"""The published days of all accounts over HTTP, for whoever plays them again."""

import json
from datetime import UTC, date, datetime, timedelta

import httpx2
import pytest

from uptake_metrics import snapshots
from uptake_metrics.snapshots import Snapshot

DAY = date(2026, 8, 3)
NOW = datetime(2026, 8, 4, 2, tzinfo=UTC)
ACME = {"kind": "account", "snapshot": {"mau": 2}}
BOLT = {"kind": "account", "snapshot": {"mau": 3}}
TRIAL = {"kind": "trial", "snapshot": {"outcome": None}}


def closed(account: str, at: str) -> Snapshot:
    return Snapshot(f"account:{account}", DAY, 1, {"account": account, "closed_at": at})


def told(revision: int, at: str) -> Snapshot:
    return Snapshot("trial:x", DAY, revision, {"revision": revision, "published_at": at})


@pytest.fixture
async def get(metrics, http_app):
    """Two revisions of a day of one account, a later day of another, and a trial."""
    published = [
        Snapshot("account:acme", DAY, 1, {"mau": 1}),
        Snapshot("account:acme", DAY, 2, {"mau": 2}),
        Snapshot("account:bolt", DAY + timedelta(days=3), 1, {"mau": 3}),
        Snapshot("trial:x", DAY, 1, {"outcome": None}),
    ]
    async with metrics.engine.begin() as connection:
        await snapshots.insert(connection, published, NOW)
    transport = httpx2.ASGITransport(http_app(metrics))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:

        async def get(first, last):
            return await client.get("/api/v1/snapshots", params={"from": first, "to": last})

        yield get


@pytest.mark.parametrize(
    ("first", "last", "lines"),
    [
        ("2026-08-03", "2026-08-05", [ACME, TRIAL]),
        ("2026-08-03", "2026-08-06", [ACME, BOLT, TRIAL]),
        ("2026-08-04", "2026-08-06", [BOLT, TRIAL]),
        ("2026-08-01", "2026-08-02", []),
    ],
)
async def test_each_day_is_a_line_and_says_what_it_is_of(get, first, last, lines):
    answer = await get(first, last)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == lines


async def test_days_and_trials_come_in_the_order_of_time(get, metrics):
    """Whatever the names, and however an instant is written."""
    later = [
        closed("amsterdam", "2026-08-04T00:00:00Z"),
        closed("zagreb", "2026-08-03T22:00:00Z"),
        told(9, "2026-08-03T22:00:00.5Z"),
        told(10, "2026-08-03T23:00:00Z"),
    ]
    async with metrics.engine.begin() as connection:
        await snapshots.insert(connection, later, NOW)
    lines = [json.loads(line)["snapshot"] for line in (await get("2026-08-03", "2026-08-03")).text.splitlines()]
    named = [one.get("account") or one.get("revision") for one in lines]
    assert named[:4] == ["zagreb", 9, 10, "amsterdam"]


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [
        ("2026-08-04", "2026-08-03", "invalid_range"),
        ("2020-01-01", "2026-08-03", "invalid_range"),
        ("soon", "2026-08-03", "invalid_request"),
    ],
)
async def test_days_that_make_no_sense_are_refused(get, first, last, error):
    answer = await get(first, last)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
