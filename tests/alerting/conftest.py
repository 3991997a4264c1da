"""Builders and servers for the tests of alerting: snapshots as metrics publishes them, a receiver that misbehaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.alerting.two_rules import RULES
from uptake import database
from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountSnapshot, TrialSnapshot
from uptake.settings import DatabaseSettings
from uptake_alerting import outbox
from uptake_alerting.courier import Courier
from uptake_alerting.dispatch import Dispatch, InForce
from uptake_alerting.episodes import episode_id
from uptake_alerting.links import NO_LINKS, Links
from uptake_alerting.outbox import NewEvent
from uptake_alerting.roster import Roster
from uptake_alerting.routes import RoutesFile
from uptake_alerting.senders import new_outlet
from uptake_alerting.tables import episode


def _account_day(day: date, mau: int | None = 24, **other: Any) -> AccountSnapshot:
    """100 seats, target 50 % on day 200: `mau` 50 is on target. `other` replaces fields at any level by name."""
    known = mau is not None
    adoption = {
        "value": mau / 100 if mau is not None else None,
        "num": mau,
        "den": 100,
        "basis": "purchased",
        "target": 0.5,
        "on_target": mau >= 50 if mau is not None else None,
        "status": "unknown" if mau is None else "on_target" if mau >= 50 else "off_target",
        "n": 200,
        "policy": "ce-2022",
        "pace": None,
        "reason": None if known else "no_telemetry",
        "next_target": 0.75,
        "band_end": 270,
    }
    usage = dict.fromkeys(["value", "num", "den", "reason", "dau_mau_point", "usage_30_30"])
    kpis: dict[str, Any] = {
        "account": "acme",
        "as_of": day,
        "time_zone": "UTC",
        "partial": False,
        "revision": 1,
        "data_health": "fresh",
        "last_contact": None,
        "dau": mau,
        "wau": mau,
        "mau": mau,
        "reason": None,
        "usage": usage | {"status": "unknown", "provisional": False},
    }
    snapshot: dict[str, Any] = {
        "account": "acme",
        "name": "Acme Corp",
        "region": "emea",
        "segment": None,
        "plan": None,
        "owner": "ce-1",
        "deputy": "ce-2",
        "executive": None,
        "manager": None,
        "churned_at": None,
        "production_date": date(2025, 1, 1),
        "contract_start": None,
        "seats_changed_on": None,
        "seats_before": None,
        "seat_grace_until": None,
        "features_first_used": [],
        "published_at": datetime(2026, 5, 1, tzinfo=UTC),
        "closed_at": datetime.combine(day + timedelta(days=1), time(2), UTC),
    }
    for part in (adoption, kpis, snapshot):
        part.update({name: value for name, value in other.items() if name in part})
    return AccountSnapshot.model_validate(snapshot | {"kpis": kpis | {"adoption": adoption}})


def _trial(**other: Any) -> TrialSnapshot:
    """A standard trial since 2 February 2026: over its 21 days from 24 February on, in Berlin."""
    trial: dict[str, Any] = {
        "opportunity": "o1",
        "account": "acme",
        "complexity": "standard",
        "engineer": "ce-2",
        "state": "running",
        "started": date(2026, 2, 2),
        "stopped": None,
        "outcome": None,
        "cycle_days": 0,
        "wall_days": 0,
        "target_days": 21,
        "within": True,
        "flags": [],
    }
    snapshot: dict[str, Any] = {
        "revision": 1,
        "vendor_zone": "Europe/Berlin",
        "approaching_on": None,
        "breached_on": date(2026, 2, 24),
        "overlong_on": None,
        "policy_on": None,
        "region": "emea",
        "owner": "ce-1",
        "name": "Acme Corp",
        "published_at": datetime(2026, 2, 2, tzinfo=UTC),
    }
    for part in (trial, snapshot):
        part.update({name: value for name, value in other.items() if name in part})
    return TrialSnapshot.model_validate(snapshot | {"trial": trial})


@pytest.fixture(scope="session")
def account_day() -> Callable[..., AccountSnapshot]:
    return _account_day


@pytest.fixture(scope="session")
def trial() -> Callable[..., TrialSnapshot]:
    return _trial


@pytest.fixture
async def settings(database_url: str) -> DatabaseSettings:
    """A database with the schema of alerting."""
    found = DatabaseSettings(database_url=database_url)
    await asyncio.to_thread(database.migrate, found, "uptake_alerting", "alerting")
    return found


@pytest.fixture
async def engine(settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    made = database.engine(settings, "test")
    yield made
    await made.dispose()


@pytest.fixture
def fire(engine: AsyncEngine) -> Callable[..., Awaitable[str]]:
    """Writes an open alert of an account as evaluation does, with its event; `columns` are of the episode."""

    async def run(
        subject: str = "acme",
        at: datetime = datetime(2026, 5, 4, 9, tzinfo=UTC),
        columns: dict[str, Any] | None = None,
        **other: Any,
    ) -> str:
        known: dict[str, Any] = {
            "rule": "adoption-below-target",
            "number": 1,
            "subject_kind": "account",
            "subject": subject,
            "account": subject,
            "region": "emea",
            "severity": "warning",
            "state": "firing",
            "reason": "firing",
            "since": date(2026, 5, 1),
            "fired_at": at,
            "detected_at": at,
            "owner": "ce-1",
            "summary": f"{subject} is below its adoption target",
            "next_step": "Ask.",
            "values": {},
        }
        known |= other
        data = AlertData(episode=episode_id(known["rule"], subject, known["number"]), **known)
        same = ("rule", "subject", "number", "account", "severity", "state", "reason", "since", "fired_at")
        row = {name: known[name] for name in (*same, "detected_at")}
        row |= {"id": data.episode, "data": data.model_dump(mode="json"), "look_at": None}
        async with engine.begin() as connection:
            await connection.execute(insert(episode).values(row | (columns or {})))
            await outbox.add_events(connection, [NewEvent("firing", data)])
        return data.episode

    return run


@dataclass
class Got:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A real HTTP server. `answers` are used up one a request, then it says 200: a number is a status, `hang` accepts
    and never answers, `drop` closes after it has read, a text goes out as it stands."""

    answers: list[int | str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    port: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def keys(self) -> list[str]:
        return [one.headers["idempotency-key"] for one in self.got]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.got.append(Got(head[0].split()[1], headers, body))
            self.arrived.set()
            answer = self.answers.pop(0) if self.answers else 200
            if answer == "hang":
                await reader.read()  # until the other side gives up
            elif isinstance(answer, int):
                extra = "".join(f"{k}: {v}\r\n" for k, v in self.headers.items())
                writer.write(f"HTTP/1.1 {answer} X\r\n{extra}Content-Length: 2\r\n\r\nok".encode())
            elif answer != "drop":
                writer.write(answer.encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.talk, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
def routes_file(tmp_path: Path) -> Callable[[str], RoutesFile]:
    """Writes `routes.yml` and opens it; written again, it counts as changed."""
    path = tmp_path / "routes.yml"

    def write(text: str) -> RoutesFile:
        path.write_text(text)
        return RoutesFile(path)

    return write


@pytest.fixture
def dispatch_of(engine: AsyncEngine) -> Callable[..., Dispatch]:
    """The dispatcher of one replica; new alerts need not settle."""

    def make(routes: RoutesFile, roster: Roster | None = None) -> Dispatch:
        known = roster or Roster()
        return Dispatch(engine, lambda: InForce(RULES.by_name, known, routes.current()), 0)

    return make


@pytest.fixture
def look(dispatch_of: Callable[..., Dispatch]) -> Callable[..., Awaitable[None]]:
    """Looks at everything that is due, with these routes and this roster."""

    async def run(routes: RoutesFile, now: datetime, roster: Roster | None = None) -> None:
        dispatch = dispatch_of(routes, roster)
        while await dispatch.step(now):
            pass

    return run


@dataclass
class Outcomes:
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, channel_type: str, outcome: str, reason: str) -> None:
        self.seen.append((channel_type, outcome, reason))


@pytest.fixture
async def courier_of(engine: AsyncEngine) -> AsyncIterator[Callable[..., tuple[Courier, Outcomes]]]:
    """A courier as one replica has it, with the outcomes it counted."""
    async with contextlib.AsyncExitStack() as stack:
        outlet = await stack.enter_async_context(new_outlet())

        def make(routes: RoutesFile, links: Links = NO_LINKS) -> tuple[Courier, Outcomes]:
            outcomes = Outcomes()
            return Courier(engine, routes, outlet, outcomes, links=links), outcomes

        yield make
