"""What cannot be known is missing from `/metrics`, and nothing else is; a scrape of everything at once is short."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from tests.alerting.two_rules import RULES
from uptake import database
from uptake.settings import DatabaseSettings
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.rules import META_RULES
from uptake_alerting.store import SUBJECT
from uptake_alerting.tables import episode, instance, silence
from uptake_alerting.telemetry import Telemetry

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


@pytest.fixture
async def away(free_port):
    """A database that does not answer."""
    found = database.engine(DatabaseSettings(database_url=f"postgresql+asyncpg://u@127.0.0.1:{free_port()}/x"), "test")
    yield found
    await found.dispose()


@pytest.fixture
def fold(engine):
    """Writes the row of a rule over a subject."""

    async def run(rule, subject, condition=None):
        row = {"rule": rule, "subject": subject, "state": {"condition": condition} if condition else None}
        async with engine.begin() as connection:
            await connection.execute(insert(instance).values(row))

    return run


def values(text, name):
    """Of one metric: labels, in the order of their names, to value."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text.decode(), re.MULTILINE)
    return {tuple(re.findall(r'"(.*?)"', labels)): float(value) for labels, value in found}


async def test_without_a_database_the_rest_is_told(engine, away):
    told = Telemetry()
    told.attempt("slack", "delivered", "ok")
    assert b'uptake_alerts{rule="trial-breached",severity="warning",state="ok"} 0.0' in await told.text(
        engine, RULES, NOW
    )
    text = await told.text(away, RULES, NOW)
    assert b'uptake_alert_deliveries_total{channel_type="slack",outcome="delivered",reason="ok"} 1.0' in text
    for name in ("alerts", "alerts_undeliverable", "alerts_held", "alert_oldest_pending_seconds"):
        assert values(text, f"uptake_{name}") == {}
    assert values(text, "uptake_alerting_silences_active") == {}


async def test_an_account_without_a_row_of_a_rule_is_well_and_one_with_an_alert_has_its_severity(engine, fold, fire):
    for account in ("a", "b", "c", "d", "e"):
        await fold(SUBJECT, account)
    await fold("usage-unhealthy", "a", "firing")
    await fire("a", rule="usage-unhealthy", severity="critical")
    await fold("usage-unhealthy", "b", "pending")
    await fire("b", rule="usage-unhealthy", severity="critical", columns={"ended_at": NOW})  # long over
    await fold("usage-unhealthy", "c", "recovering")
    await fire("c", rule="usage-unhealthy")
    await fold("trial-breached", "o1")
    told = values(await Telemetry().text(engine, RulesFile(None).current(), NOW), "uptake_alerts")
    assert {labels[1:]: count for labels, count in told.items() if labels[0] == "usage-unhealthy"} == {
        ("warning", "ok"): 2,
        ("warning", "pending"): 1,
        ("critical", "firing"): 1,
        ("warning", "firing"): 0,
        ("warning", "recovering"): 1,
        ("critical", "recovering"): 0,
    }
    assert told["account-dormant", "critical", "ok"] == 5
    assert told["trial-breached", "warning", "ok"] == 1


async def test_alerts_about_alerting_itself_are_counted_too(engine, fire):
    await fire("adoption-below-target", rule="mass-breach", severity="critical", subject_kind="rule")
    told = values(await Telemetry().text(engine, RULES, NOW), "uptake_alerts")
    ours = {labels: count for labels, count in told.items() if labels[0] in META_RULES}
    assert ours == {(rule, "critical", "firing"): float(rule == "mass-breach") for rule in META_RULES}


async def test_a_rule_that_is_gone_is_told_no_more(engine):
    told = Telemetry()
    assert ("account-dormant", "critical", "ok") in values(
        await told.text(engine, RulesFile(None).current(), NOW), "uptake_alerts"
    )
    assert "account-dormant" not in {key[0] for key in values(await told.text(engine, RULES, NOW), "uptake_alerts")}


async def test_what_a_breaker_holds_and_silences_in_force_are_counted(engine, fire):
    held = await fire("a")
    await fire("b")
    over = {"matchers": [], "created_by": "x", "comment": "", "created_at": NOW}
    async with engine.begin() as connection:
        shut = [{"reason": "held", "until": None, "what": None}]
        await connection.execute(update(episode).where(episode.c.id == held).values(gates=shut))
        for id_, starts, ends in (("now", -1, 1), ("over", -2, 0), ("later", 1, 2)):
            times = {"starts_at": NOW + timedelta(hours=starts), "ends_at": NOW + timedelta(hours=ends)}
            await connection.execute(insert(silence).values(over | times | {"id": id_}))
    text = await Telemetry().text(engine, RULES, NOW)
    assert values(text, "uptake_alerts_held")["adoption-below-target",] == 1
    assert values(text, "uptake_alerts_held")["trial-breached",] == 0
    assert values(text, "uptake_alerting_silences_active") == {(): 1}


async def test_what_has_not_happened_yet_is_absent(engine):
    told = Telemetry()
    text = await told.text(engine, RULES, NOW)
    assert values(text, "uptake_alerting_reader_lag_messages") == {}
    assert values(text, "uptake_alerting_last_run_timestamp_seconds") == {}
    told.reader_lag(lambda: 7)
    told.ran("tick", NOW)
    text = await told.text(engine, RULES, NOW)
    assert values(text, "uptake_alerting_reader_lag_messages") == {(): 7}
    assert values(text, "uptake_alerting_last_run_timestamp_seconds") == {("tick",): NOW.timestamp()}


async def test_rotations_with_gaps_are_counted_and_one_that_is_gone_is_not(engine, tmp_path):
    path = tmp_path / "roster.yml"
    path.write_text(
        """
people: [{name: ann, away: [{from: 2026-05-14, to: 2026-05-16}]}, {name: bob}]
rotations:
  west: {time_zone: UTC, layers: [{people: [ann], start: 2026-01-05}]}
  east: {time_zone: UTC, layers: [{people: [bob], start: 2026-01-05}]}
"""
    )
    told, rosters = Telemetry(), RosterFile(path)
    await told.rota(rosters, NOW)
    text = await told.text(engine, RULES, NOW)
    assert values(text, "uptake_oncall_gap_days") == {
        ("west", "7d"): 1,
        ("west", "60d"): 3,
        ("east", "7d"): 0,
        ("east", "60d"): 0,
    }
    assert b'uptake_alerting_config_valid{file="roster"} 1.0' in text
    path.write_text("people: [{name: ann, region: mars}]")
    await told.rota(rosters, NOW)
    assert b'uptake_alerting_config_valid{file="roster"} 0.0' in await told.text(engine, RULES, NOW)
    path.write_text("people: []")
    await told.rota(rosters, NOW)
    assert b"uptake_oncall_gap_days{" not in await told.text(engine, RULES, NOW)
