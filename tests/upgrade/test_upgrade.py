"""Today's code on the data of an earlier version: the same numbers, people, trials and alerts; and it goes on."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import cursor, database, subjects
from uptake.messages.facts import Fact
from uptake.messages.kpi import AccountSnapshot
from uptake.messages.usage import UsageBatch
from uptake.reader import Cursor, Entry
from uptake.settings import DatabaseSettings
from uptake_alerting import evaluation, listing, store
from uptake_alerting.listing import Choice
from uptake_alerting.rule_file import RulesFile
from uptake_local import database_copy
from uptake_metrics import http
from uptake_metrics.answers.asking import Asking
from uptake_metrics.board import Board
from uptake_metrics.books import Books
from uptake_metrics.config import Config
from uptake_metrics.counting import Counting
from uptake_metrics.evaluation import Evaluation
from uptake_metrics.publishing import Publisher
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.register import Register
from uptake_metrics.tally import Tally

HERE = Path(__file__).parent
COMMITS = sorted(file.stem for file in HERE.glob("*.dump"))


class Upgraded:
    """The parts of metrics over the restored database, at the time at which it was dumped."""

    def __init__(self, engine: AsyncEngine, told: dict[str, Any]) -> None:
        self.engine, self.told = engine, told
        self.now = datetime.fromisoformat(told["now"])
        self.register = self._empty_register()
        self.counting = Counting(engine, self.register.zone_of, self.clock, self._fail)
        self.tally = Tally(engine, self.counting)
        self.evaluation = Evaluation(self.register, Config(None), self.clock)
        self.board = Board(self.counting, self.register, self.tally, self.evaluation, self.clock)
        self.publisher = Publisher(
            engine, self.counting, self.register, self.tally, self.evaluation, "UTC", self.clock, current_to=self.clock
        )

    def clock(self) -> datetime:
        return self.now

    async def _fail(self, entry: Entry, error: Exception) -> None:
        raise error

    def _empty_register(self) -> Register:
        return Register(self.engine, "UTC", self._fail)

    async def load(self) -> None:
        await self.register.load()
        await self.counting.load()
        await self.board.refresh()

    async def ask(self, path: str) -> Any:
        asking = Asking(
            self.engine,
            self.counting,
            self.register,
            self.tally,
            self.board,
            self.evaluation,
            "UTC",
            self.clock,
        )
        books = Books(self.engine, self.counting)
        rebuilding = Rebuilding(self.engine, self.counting, self.register, self._empty_register, self.clock)
        app = http.build(asking, books, rebuilding, ready=lambda: True)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    async def rows(self, query: str) -> list[Any]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(query))]


@pytest.fixture(params=COMMITS)
def commit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def upgraded(commit: str, postgres_server: Any, database_url: str) -> AsyncIterator[Upgraded]:
    name, dump = database_url.rpartition("/")[2], (HERE / f"{commit}.dump").read_bytes()
    await database_copy.load(postgres_server.port, "test", name, [dump])
    settings = DatabaseSettings(database_url=SecretStr(database_url))
    for schema in ("metrics", "alerting"):
        await asyncio.to_thread(database.migrate, settings, f"uptake_{schema}", schema)
    engine = database.engine(settings)
    upgraded = Upgraded(engine, json.loads(gzip.decompress((HERE / f"{commit}.json.gz").read_bytes())))
    await upgraded.load()
    yield upgraded
    await engine.dispose()


def differences(told: Any, found: Any, at: str = "") -> list[str]:
    """What was told then and is not so now; what is told in addition today is none."""
    if isinstance(told, dict) and isinstance(found, dict):
        return [one for key in told for one in differences(told[key], found.get(key), f"{at}.{key}")]
    if at.endswith(".flags"):  # a trial may have got one that did not exist then
        return [f"{at}: {flag!r} is gone" for flag in told if flag not in found]
    if isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        return [one for n, pair in enumerate(zip(told, found, strict=True)) for one in differences(*pair, f"{at}[{n}]")]
    return [] if told == found else [f"{at}: {told!r} then, {found!r} now"]


async def test_every_answer_is_what_it_was(upgraded: Upgraded) -> None:
    answers = upgraded.told["answers"]
    assert sum(len(answer) for path, answer in answers.items() if "/history" in path) > 100
    for path, told in answers.items():
        assert differences(told, await upgraded.ask(path)) == [], path


async def test_the_positions_are_where_they_were(upgraded: Upgraded) -> None:
    usage, facts = upgraded.counting.position, upgraded.register.position
    assert facts is not None
    assert [usage.stream_uuid, usage.sequence] == upgraded.told["usage_position"]
    assert [facts.stream_uuid, facts.sequence] == upgraded.told["facts_position"]


async def test_nothing_stored_is_lost(upgraded: Upgraded) -> None:
    later = {"alerting.instance": "WHERE rule <> '*'"}  # the row of each account itself
    for table, rows in upgraded.told["rows"].items():
        count = f"SELECT count(*) FROM {table} {later.get(table, '')}"  # noqa: S608  # our own names
        assert await upgraded.rows(count) == [(rows,)], table
    work = await upgraded.rows("SELECT subject, import_id, first_day FROM metrics.dirty ORDER BY subject, import_id")
    assert [[subject, import_id, day.isoformat()] for subject, import_id, day in work] == upgraded.told["dirty"]


async def test_every_alert_is_what_it_was(upgraded: Upgraded) -> None:
    async with upgraded.engine.connect() as connection:
        found = [await listing.alert(connection, told["id"], upgraded.now) for told in upgraded.told["alerts"]]
    assert len(found) == 2
    for told, now in zip(upgraded.told["alerts"], found, strict=True):
        assert now is not None
        assert differences(told, json.loads(now.model_dump_json(by_alias=True))) == []


async def test_usage_goes_on_from_the_position(upgraded: Upgraded) -> None:
    """Two events that were counted before the upgrade are no news, two new ones are; a restart says the same."""
    (before,) = await upgraded.ask("/api/v1/accounts/acme/history?from=2026-08-25&to=2026-08-25")
    known = (await upgraded.ask("/api/v1/accounts/acme/users?as_of=2026-08-25&window=dau"))["users"]
    assert known
    users = [*known, "new-1", "new-2"]
    noon = int(upgraded.now.timestamp() * 1_000_000)
    batch = UsageBatch(
        id="new",
        source="demo",
        received_at=noon,
        accounts=["acme"] * len(users),
        users=users,
        features=["edit"] * len(users),
        instants=[noon] * len(users),
    )
    at = upgraded.counting.position
    subject = subjects.usage(subjects.shard_of("acme"))
    entry = Entry(at.sequence + 1, subject, batch.model_dump_json().encode(), upgraded.now)
    await upgraded.counting.apply(Counting.prepare([entry]), at, Cursor(at.stream_uuid, at.sequence + 1, upgraded.now))
    restarted = Upgraded(upgraded.engine, upgraded.told)
    await restarted.load()
    for process in (upgraded, restarted):
        (after,) = await process.ask("/api/v1/accounts/acme/history?from=2026-08-25&to=2026-08-25")
        assert (after["dau"], after["mau"]) == (before["dau"] + 2, before["mau"] + 2)
        found = (await process.ask("/api/v1/accounts/acme/users?as_of=2026-08-25&window=dau"))["users"]
        assert found == sorted(users)


async def test_facts_go_on_from_the_position(upgraded: Upgraded) -> None:
    event = {"id": "new", "type": "account.updated", "occurred_at": upgraded.now, "account": "acme", "owner": "ce-9"}
    fact = Fact.model_validate({"source": "crm", "received_at": upgraded.now, "event": event})
    at = upgraded.register.position
    assert at is not None
    entry = Entry(at.sequence + 1, "fact.v1.x.y", fact.model_dump_json(exclude_unset=True).encode(), upgraded.now)
    await upgraded.register.apply([entry], at, Cursor(at.stream_uuid, at.sequence + 1, upgraded.now))
    assert upgraded.register.account("acme").owner == "ce-9"
    assert upgraded.register.account("acme").name == "Acme"


async def test_the_work_that_was_left_is_done(upgraded: Upgraded) -> None:
    """What the open import holds stays; the late day of the other account is published as a new revision."""
    await upgraded.publisher.evaluate()
    left = await upgraded.rows("SELECT subject, import_id FROM metrics.dirty WHERE subject = 'account:bolt'")
    assert left == []
    (latest,) = await upgraded.rows(
        "SELECT max(revision) FROM metrics.snapshot WHERE subject = 'account:bolt' AND day = '2026-08-19'"
    )
    assert latest == (2,)


async def test_alerting_goes_on_with_the_next_closed_day(upgraded: Upgraded) -> None:
    """The alert that fires goes on, and no second one is opened."""
    (body,) = await upgraded.rows(
        "SELECT CAST(body AS text) FROM metrics.snapshot WHERE subject = 'account:acme'"
        " ORDER BY day DESC, revision DESC LIMIT 1"
    )
    newest = AccountSnapshot.model_validate_json(body[0])
    day = newest.kpis.as_of + timedelta(days=1)
    after = newest.model_copy(update={"kpis": newest.kpis.model_copy(update={"as_of": day, "revision": 1})})
    async with upgraded.engine.begin() as connection:
        at = await cursor.load(connection, "alerting", "kpi")
        await cursor.advance(connection, "alerting", "kpi", at, Cursor(at.stream_uuid, at.sequence + 1, upgraded.now))
        await evaluation.take(connection, [after], RulesFile(None).current(), upgraded.now)
        samples = await store.load_samples(connection, ["acme"])
        alerts = await listing.alerts(connection, Choice(state="open"), 10, upgraded.now)
    assert samples["acme"][-1].kpis.as_of == day
    known = {told["rule"]: told["id"] for told in upgraded.told["alerts"]}
    assert {alert.rule: alert.episode for alert in alerts if alert.rule in known} == known
    assert len({alert.rule for alert in alerts}) == len(alerts)
