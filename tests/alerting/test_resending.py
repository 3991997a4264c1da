"""Alertmanager hears of open alerts again and again, and of each end exactly what its terminal says."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.alerting.fakes.alertmanager import FakeAlertmanager
from tests.alerting.fakes.rows import Rows
from uptake_alerting import resending
from uptake_alerting.senders import new_outlet
from uptake_alerting.wording import values_of_account

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


@pytest.fixture
def rows(engine, account_day, routes):
    return Rows(engine, NOW, values_of_account(account_day(date(2026, 5, 7))), routes)


@pytest.fixture
async def prometheus():
    async with FakeAlertmanager().serve() as fake:
        yield fake


@pytest.fixture
def routes(routes_file, prometheus):
    return routes_file(
        f"""
        channels:
          broken: {{type: alertmanager, url_file: /nowhere}}
          prometheus: {{type: alertmanager, url: "{prometheus.url}", allow_private: true}}
        """
    )


@pytest.fixture
def tell(routes, courier_of):
    async def run(now):
        courier, _ = courier_of(routes)
        while await courier.deliver_one(now):
            pass

    return run


@pytest.fixture
def resend(engine, routes):
    async def run(now):
        async with new_outlet() as outlet:
            return await resending.resend(engine, routes, outlet, now)

    return run


async def test_open_alerts_that_it_was_told_of_stay_firing(rows, tell, resend, prometheus):
    await rows.notice("t", "acme", "prometheus", "alertmanager")
    await tell(NOW)
    await rows.notice("w", "waiting", "prometheus", "alertmanager")
    for minutes in range(1, 31):
        assert await resend(NOW + timedelta(minutes=minutes)) == 1
    assert prometheus.firing(NOW + timedelta(minutes=30)) == ["acme"]
    assert len(prometheus.alerts) == 1


async def test_what_has_ended_is_not_told_again(rows, tell, resend, prometheus):
    await rows.notice("t", "acme", "prometheus", "alertmanager")
    await tell(NOW)
    await rows.end("acme")
    await rows.notice("e", "acme", "prometheus", "alertmanager", kind="terminal")
    await tell(NOW)
    assert await resend(NOW) == 0
    assert prometheus.firing(NOW) == []


async def test_an_alert_that_ends_while_it_is_told_again_stays_ended(rows, tell, resend, prometheus, monkeypatch):
    await rows.notice("t", "acme", "prometheus", "alertmanager")
    await tell(NOW)
    put = resending._put

    async def ends_meanwhile(*args, **other):
        await rows.end("acme")
        return await put(*args, **other)

    monkeypatch.setattr(resending, "_put", ends_meanwhile)
    await resend(NOW + timedelta(minutes=1))
    assert prometheus.firing(NOW + timedelta(minutes=1)) == []


async def test_while_it_is_away_the_next_round_tells_them_all(rows, tell, resend, prometheus):
    for i in range(3):
        await rows.notice(f"t{i}", f"a{i}", "prometheus", "alertmanager")
    await tell(NOW)
    prometheus.faults = [503]
    assert await resend(NOW + timedelta(minutes=20)) == 0
    assert await resend(NOW + timedelta(minutes=21)) == 3
    assert prometheus.firing(NOW + timedelta(minutes=22)) == ["a0", "a1", "a2"]
