"""However usage came in, the answers are the same to the byte: live, imported, read from the log, rebuilt from it."""

import gzip
import json
import random
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files

import pytest
from sqlalchemy import text

from uptake.clock import utc_now
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.register import Register
from uptake_metrics.tables import metadata

DATA = files("uptake_local") / "demo_data" / "oss-activity.ndjson.gz"
FIRST, LAST = date(2025, 8, 1), date(2025, 12, 31)
ZONES = ("UTC", "Asia/Tokyo", "America/Los_Angeles", "Europe/Berlin")


@pytest.fixture(scope="module")
def events(event):
    """The real activity of every third organisation in five months, in order of time."""
    with DATA.open("rb") as packed, gzip.open(packed) as file:
        rows = [json.loads(line) for line in file]
    accounts = sorted({row["account"] for row in rows})[::3]
    chosen = [row for row in rows if row["account"] in accounts and row["occurred_at"][:10] >= FIRST.isoformat()]
    found = [event(row["account"], row["user"], row["occurred_at"], row["feature"]) for row in chosen]
    return sorted(found, key=lambda one: one["at"])


@pytest.fixture
def facts(events, fact):
    """Seats, a production date and a zone of each account."""
    found = []
    for number, account in enumerate(sorted({one["account"] for one in events})):
        about = {"time_zone": ZONES[number % len(ZONES)], "production_date": "2025-09-15"}
        found.append(fact("account.updated", "2025-08-01T00:00:00Z", account=account, **about))
        found.append(fact("license.issued", "2025-08-01T00:00:00Z", account=account, license="l", seats=20 + number))
    return found


@pytest.fixture
def emptied(engine):
    """The tables as a migration leaves them."""

    async def emptied():
        tables = ", ".join(table.fullname for table in metadata.sorted_tables)
        async with engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
            await connection.execute(text("INSERT INTO metrics.shard (shard) SELECT generate_series(0, 15)"))

    return emptied


@pytest.fixture
def answers(asking):
    """What the API says of every account: all days, and the people behind some of the counts."""

    async def answers(metrics):
        await metrics.load()
        await metrics.board.refresh()
        said = {}
        async with asking(metrics) as ask:
            for account in sorted(metrics.counting.accounts()):
                _, days = await ask(f"/api/v1/accounts/{account}/history", **{"from": FIRST, "to": LAST})
                for day in days:
                    day.pop("revision")  # how often a day was published is the history of its arrival
                said[account] = days
                for window in ("dau", "wau", "mau"):
                    _, said[account, window] = await ask(
                        f"/api/v1/accounts/{account}/users", as_of="2025-11-15", window=window
                    )
        return {repr(key): json.dumps(value).encode() for key, value in said.items()}

    return answers


async def live(metrics, clock, events, facts):
    """Day by day, as it happened, published every ten days."""
    of_day = defaultdict(list)
    for one in events:
        of_day[one["at"].date()].append(one)
    for number, day in enumerate(sorted(of_day)):
        clock.now = datetime.combine(day + timedelta(days=1), time(3), UTC)
        if number == 0:
            await metrics.learn(*facts)
        await metrics.count(*of_day[day])
        if number % 10 == 0:
            await metrics.publish()


async def imported(metrics, clock, events, facts):
    """All of it at once, in any order, a tenth of it twice."""
    rng = random.Random(4)
    lines = events + rng.sample(events, len(events) // 10)
    rng.shuffle(lines)
    await metrics.learn(*reversed(facts))
    await metrics.count(*lines, import_id="history")


async def test_every_way_in_gives_the_same_answers(
    metrics_of, clock, events, facts, answers, emptied, client, send, reading
):
    said = {}
    for way in (live, imported):
        await emptied()
        metrics = metrics_of()
        await metrics.load()
        await way(metrics, clock, events, facts)
        clock.now = utc_now()
        said[way.__name__] = await answers(metrics)

    await emptied()
    metrics = metrics_of()
    await metrics.learn(*facts)
    await metrics.load()
    async with reading(metrics):
        await send(events)
    said["log"] = await answers(metrics)

    async with metrics.engine.begin() as connection:
        await connection.execute(text("DELETE FROM metrics.activity_delta WHERE shard % 2 = 0"))
    again = metrics_of()
    await again.load()
    damaged = await answers(again)

    rebuilding = Rebuilding(
        again.engine, again.counting, again.register, lambda: Register(again.engine, "UTC", again._reject), clock
    )
    rebuilding.request(check=False)
    await rebuilding.run_once(client.jetstream())
    assert rebuilding.progress.state == "done", rebuilding.progress.reason
    said["rebuilt"] = await answers(again)

    assert said["live"] == said["imported"] == said["log"] == said["rebuilt"] != damaged
    assert len(said["live"]) == 4 * len({one["account"] for one in events})
