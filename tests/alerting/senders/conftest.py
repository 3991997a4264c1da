"""Letters, and an outlet to send them through, for the tests of senders."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.alerting.fakes.tls import Authority, new_authority
from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountSnapshot
from uptake_alerting.patience import Sent
from uptake_alerting.routes import parse
from uptake_alerting.senders import Letter, Outlet, new_outlet, posting, send
from uptake_alerting.wording import Notice, values_of_account

NOW = datetime(2026, 5, 4, 2, 0, 30, tzinfo=UTC)


@dataclass
class Engineer:
    name: str = "ce-1"
    email: str | None = "ce-1@example.com"
    slack: str | None = "U0000001"
    active: bool = True


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def engineer() -> Callable[..., Engineer]:
    return Engineer


@pytest.fixture
def alert(account_day: Callable[..., AccountSnapshot]) -> Callable[..., AlertData]:
    """Below target since 1 May; `other` replaces fields."""

    def make(**other: Any) -> AlertData:
        known = {
            "episode": "e1",
            "number": 1,
            "rule": "adoption-below-target",
            "subject_kind": "account",
            "subject": "acme",
            "account": "acme",
            "region": None,
            "severity": "warning",
            "state": "firing",
            "reason": "firing",
            "since": date(2026, 5, 1),
            "fired_at": NOW,
            "detected_at": NOW,
            "owner": "ce-1",
            "summary": "<b> is low",
            "next_step": "Ask.",
            "values": values_of_account(account_day(date(2026, 5, 3)), []),
        }
        return AlertData(**known | other)

    return make


@pytest.fixture
def letter(alert: Callable[..., AlertData]) -> Callable[..., Letter]:
    """A trigger; `other` replaces fields."""

    def make(**other: Any) -> Letter:
        known: dict[str, Any] = {
            "delivery": "d1",
            "kind": "trigger",
            "sequence": 0,
            "created_at": NOW,
            "why": "this is a default channel",
            "person": None,
            "destination": "somewhere",
            "thread": None,
            "data": alert(),
            "notice": Notice("Warning: <b> is low", ("Ü & co",)),
        }
        return Letter(**known | other)

    return make


@pytest.fixture
async def outlet() -> AsyncIterator[Outlet]:
    async with new_outlet() as made:
        yield made


@pytest.fixture
def deliver(outlet: Outlet) -> Callable[..., Awaitable[Sent]]:
    """Sends through the one channel that `routes.yml` would describe so."""

    async def run(channel: str, letter: Letter, now: datetime = NOW, through: Outlet = outlet) -> Sent:
        return await send(through, parse(f"channels: {{ops: {{{channel}}}}}").channels["ops"], letter, now)

    return run


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than an instant."""
    monkeypatch.setattr(posting, "SEND_S", 0.3)
    monkeypatch.setattr(posting, "CONNECT_S", 0.3)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(Path(tmp_path_factory.mktemp("authority")))
