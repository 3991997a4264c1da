"""A closed day of 10,000 accounts under all shipped rules: from the bytes that the broker brings to committed alerts.

No broker: what is read from it is what metrics publishes. One process decodes, judges, folds and writes; the clock
runs until PostgreSQL has committed the last batch. One account in ten is below its target, so that alerts fire too.
In a storm all of them are, while the dispatcher runs beside; the clock then stops at the operators' notice.
"""

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

from nats.aio.client import Client
from pydantic import SecretStr
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import database
from uptake.reader import Cursor, Entry
from uptake.settings import DatabaseSettings
from uptake_alerting import storms
from uptake_alerting.app import BATCH, Intake, spare_the_collector
from uptake_alerting.dispatch import Dispatch, InForce
from uptake_alerting.roster import Roster
from uptake_alerting.routes import RoutesFile
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.tables import SCHEMA, delivery, episode
from uptake_alerting.telemetry import Telemetry

from . import servers
from .frame import Contestant, Measure, Size

NAMES = ("alerts_first", "alerts_close", "alerts_storm")

_ACCOUNTS = {Size.SMALL: 1_000, Size.FULL: 10_000}
_FIRST = date(2026, 3, 2)
_ENGINEERS = 50
_ROUTES = """
channels:
  all: {type: webhook, url: "http://127.0.0.1:9/", allow_private: true, serves: ["*"]}
  ops: {type: webhook, url: "http://127.0.0.1:9/ops", allow_private: true}
default: [ops]
operators: [ops]
"""
_BEFORE = 3  # closed days that are known when a close is measured: as long as a rule waits


def measures(size: Size) -> Iterator[Measure]:
    accounts = _ACCOUNTS[size]
    with ExitStack() as stack:
        server = stack.enter_context(servers.postgres(stack.enter_context(servers.folder()) / "data"))
        server.sql("CREATE DATABASE alerts")
        database.migrate(DatabaseSettings(database_url=SecretStr(server.url("alerts"))), "uptake_alerting", SCHEMA)

        def first_s() -> float:
            with server.database("alerts") as name:
                return asyncio.run(_taken_s(server.url(name), accounts, 1))

        def close_s() -> float:
            with server.database("alerts") as name:
                return asyncio.run(_taken_s(server.url(name), accounts, _BEFORE + 1))

        def storm_s() -> float:
            with server.database("alerts") as name:
                return asyncio.run(_storm_s(server.url(name), accounts))

        about = f"a closed day of {accounts:,} accounts under the shipped rules"
        yield Measure(NAMES[0], f"{about}, none of which is known", "s", False, Contestant("uptake", first_s), limit=10)
        yield Measure(NAMES[1], f"{about}, the next day", "s", False, Contestant("uptake", close_s), limit=2)
        storm = f"{accounts:,} accounts below their target at once, until operators are told"
        yield Measure(NAMES[2], storm, "s", False, Contestant("uptake", storm_s), limit=60)


async def _storm_s(url: str, accounts: int) -> float:
    """Until one notice waits for operators, and none for anybody else; then it is let go, one digest an engineer."""
    engine = database.engine(DatabaseSettings(database_url=SecretStr(url)), "alerting")
    rules, routes = RulesFile(None), RoutesFile(None, _ROUTES).current()
    intake = Intake(engine, Client(), rules, Telemetry())
    in_force = InForce(rules.current().by_name, Roster(), routes)
    at = await intake.position()
    for number in range(_BEFORE - 1):
        at = await _taken(intake, [_storm_entry(n, number, accounts) for n in range(accounts)], at)
    days = [_storm_entry(n, _BEFORE - 1, accounts) for n in range(accounts)]
    dispatch = asyncio.create_task(Dispatch(engine, lambda: in_force, settle_s=5).run())
    began = time.perf_counter()
    await _taken(intake, days, at)
    while not (told := await _waiting(engine)):  # noqa: ASYNC110  # a table is asked
        await asyncio.sleep(0.1)
    took_s = time.perf_counter() - began
    await _released(engine, told)
    dispatch.cancel()
    await asyncio.gather(dispatch, return_exceptions=True)
    await engine.dispose()
    return took_s


async def _released(engine: AsyncEngine, told: list[tuple[str, str | None]]) -> None:
    """Raises AssertionError where somebody hears more than the promise allows."""
    assert told == [("ops", None)], told
    async with engine.begin() as connection:
        await storms.release(connection, "adoption-below-target", "bench", datetime.now(UTC))
    due = select(func.count()).select_from(episode).where(episode.c.look_at <= func.now())
    while await _scalar(engine, due):  # noqa: ASYNC110  # a table is asked
        await asyncio.sleep(0.5)
    collected = select(func.count(func.distinct(delivery.c.person))).where(delivery.c.status == "collected")
    assert await _scalar(engine, collected) == _ENGINEERS
    assert [to for to in await _waiting(engine) if to[1] is not None] == []


async def _waiting(engine: AsyncEngine) -> list[tuple[str, str | None]]:
    """Channel and person of each notice that would go out alone."""
    async with engine.connect() as connection:
        alone = select(delivery.c.channel, delivery.c.person).where(delivery.c.status == "pending")
        return [(row.channel, row.person) for row in await connection.execute(alone)]


async def _scalar(engine: AsyncEngine, statement: Select[tuple[int]]) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(statement) or 0)


def _storm_entry(account: int, number: int, accounts: int) -> Entry:
    day = _FIRST + timedelta(days=number)
    return Entry(
        number * accounts + account + 1, f"kpi.account.v1.{account}", _snapshot(account, day, 20), datetime.now(UTC)
    )


async def _taken_s(url: str, accounts: int, days: int) -> float:
    """How long the last of so many days takes."""
    before = gc.get_threshold()
    spare_the_collector()  # as the service does when it starts
    try:
        return await _timed_s(url, accounts, days)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


async def _timed_s(url: str, accounts: int, days: int) -> float:
    engine = database.engine(DatabaseSettings(database_url=SecretStr(url)), "alerting")
    intake = Intake(engine, Client(), RulesFile(None), Telemetry())
    took_s, at = 0.0, await intake.position()
    for number in range(days):
        day = _FIRST + timedelta(days=number)
        entries = [_entry(account, day, number * accounts + account + 1) for account in range(accounts)]
        began = time.perf_counter()
        at = await _taken(intake, entries, at)
        took_s = time.perf_counter() - began
    await engine.dispose()
    return took_s


async def _taken(intake: Intake, entries: list[Entry], at: Cursor) -> Cursor:
    """As the reader does: one batch is prepared while another is written."""
    writing = asyncio.create_task(asyncio.sleep(0))
    for start in range(0, len(entries), BATCH):
        part = entries[start : start + BATCH]
        prepared = intake.prepare(part)
        await writing
        before, at = at, Cursor("bench", part[-1].sequence, part[-1].stored_at)
        writing = asyncio.create_task(intake.apply(prepared, before, at))
        await asyncio.sleep(0)
    await writing
    return at


def _entry(account: int, day: date, sequence: int) -> Entry:
    return Entry(sequence, f"kpi.account.v1.{account}", _snapshot(account, day), datetime.now(UTC))


def _snapshot(number: int, day: date, mau: int | None = None) -> bytes:
    """Day 200 and later of a ladder; every tenth account is off target."""
    seats = 100
    mau = mau or (20 if number % 10 == 0 else 80)
    adoption = {
        "value": mau / seats, "num": mau, "den": seats, "basis": "purchased", "target": 0.75, "on_target": mau >= 75,
        "status": "on_target" if mau >= 75 else "off_target", "n": 400, "policy": "ce-2022",
        "pace": None, "reason": None,
        "policy_version": "2022-01-01", "policy_source": "default", "anchor": "2025-01-01",
    }  # fmt: skip
    usage = {
        "value": 0.4, "num": mau * 28 * 2 // 5, "den": mau * 28, "status": "healthy", "provisional": False,
        "reason": None, "dau_mau_point": 0.4, "usage_30_30": 0.4,
    }  # fmt: skip
    kpis = {
        "account": f"account-{number:05}", "as_of": str(day), "time_zone": "UTC", "partial": False, "revision": 1,
        "data_health": "fresh", "last_contact": str(day), "dau": mau // 2, "wau": mau, "mau": mau, "reason": None,
        "usage": usage, "adoption": adoption, "telemetry": "full", "source_of_counts": "events",
    }  # fmt: skip
    closed = datetime(day.year, day.month, day.day, 2, tzinfo=UTC) + timedelta(days=1)
    use_cases = [
        {"use_case": name, "mau": mau // 2, "saturation": {"value": 0.5, "num": mau // 2, "den": mau, "reason": None}}
        for name in ("edit", "review", "deploy", "test", "search")
    ]
    snapshot: dict[str, Any] = dict.fromkeys(
        ("segment", "plan", "deputy", "executive", "manager", "churned_at", "seats_changed_on", "seats_before")
    )
    snapshot |= {
        "account": kpis["account"], "name": f"Account {number}", "region": "emea", "owner": f"ce-{number % _ENGINEERS}",
        "production_date": "2025-01-01", "contract_start": "2025-01-01", "seat_grace_until": None,
        "published_at": closed.isoformat(), "closed_at": closed.isoformat(), "kpis": kpis, "use_cases": use_cases,
    }  # fmt: skip
    return json.dumps(snapshot).encode()
