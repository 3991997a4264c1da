"""A closed day of 10,000 accounts under all shipped rules: from the bytes that the broker brings to committed alerts.

No broker: what is read from it is what metrics publishes. One process decodes, judges, folds and writes; the clock
runs until PostgreSQL has committed the last batch. One account in ten is below its target, so that alerts fire too.
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

from uptake import database
from uptake.reader import Cursor, Entry
from uptake.settings import DatabaseSettings
from uptake_alerting.app import BATCH, Intake, spare_the_collector
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.tables import SCHEMA
from uptake_alerting.telemetry import Telemetry

from . import servers
from .frame import Contestant, Measure, Size

NAMES = ("alerts_first", "alerts_close")

_ACCOUNTS = {Size.SMALL: 1_000, Size.FULL: 10_000}
_FIRST = date(2026, 3, 2)
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

        about = f"a closed day of {accounts:,} accounts under the shipped rules"
        yield Measure(NAMES[0], f"{about}, none of which is known", "s", False, Contestant("uptake", first_s), limit=10)
        yield Measure(NAMES[1], f"{about}, the next day", "s", False, Contestant("uptake", close_s), limit=2)


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
        writing = asyncio.create_task(asyncio.sleep(0))
        for start in range(0, accounts, BATCH):  # as the reader does: one is prepared while another is written
            part = entries[start : start + BATCH]
            prepared = intake.prepare(part)
            await writing
            before, at = at, Cursor("bench", part[-1].sequence, part[-1].stored_at)
            writing = asyncio.create_task(intake.apply(prepared, before, at))
            await asyncio.sleep(0)
        await writing
        took_s = time.perf_counter() - began
    await engine.dispose()
    return took_s


def _entry(account: int, day: date, sequence: int) -> Entry:
    return Entry(sequence, f"kpi.account.v1.{account}", _snapshot(account, day), datetime.now(UTC))


def _snapshot(number: int, day: date) -> bytes:
    """Day 200 and later of a ladder; every tenth account is off target."""
    seats = 100
    mau = 20 if number % 10 == 0 else 80
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
        "account": kpis["account"], "name": f"Account {number}", "region": "emea", "owner": f"ce-{number % 50}",
        "production_date": "2025-01-01", "contract_start": "2025-01-01", "seat_grace_until": None,
        "published_at": closed.isoformat(), "closed_at": closed.isoformat(), "kpis": kpis, "use_cases": use_cases,
    }  # fmt: skip
    return json.dumps(snapshot).encode()
