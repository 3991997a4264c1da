"""What cannot be known is missing from `/metrics`, and nothing else is."""

from datetime import UTC, datetime

from tests.alerting.two_rules import RULES
from uptake import database
from uptake.settings import DatabaseSettings
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.telemetry import Telemetry

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


async def test_without_a_database_the_rest_is_told(engine, free_port):
    told = Telemetry()
    told.attempt("slack", "delivered", "ok")
    assert b'uptake_alerts{rule="trial-breached",severity="warning",state="ok"} 0.0' in await told.text(
        engine, RULES, NOW
    )
    away = database.engine(DatabaseSettings(database_url=f"postgresql+asyncpg://u@127.0.0.1:{free_port()}/x"), "test")
    text = await told.text(away, RULES, NOW)
    assert b'uptake_alert_deliveries_total{channel_type="slack",outcome="delivered",reason="ok"} 1.0' in text
    assert b"uptake_alerts{" not in text
    await away.dispose()


async def test_rotations_with_gaps_are_counted_and_one_that_is_gone_is_not(engine, tmp_path):
    path = tmp_path / "roster.yml"
    path.write_text(
        """
people: [{name: ann, away: [{from: 2026-05-10, to: 2026-05-12}]}, {name: bob}]
rotations:
  west: {time_zone: UTC, layers: [{people: [ann], start: 2026-01-05}]}
  east: {time_zone: UTC, layers: [{people: [bob], start: 2026-01-05}]}
"""
    )
    told, rosters = Telemetry(), RosterFile(path)
    told.rota(rosters, NOW)
    text = await told.text(engine, RULES, NOW)
    assert b'uptake_oncall_gap_days{rotation="west"} 3.0' in text
    assert b'uptake_oncall_gap_days{rotation="east"} 0.0' in text
    assert b"uptake_alerting_roster_valid 1.0" in text
    path.write_text("people: [{name: ann, region: mars}]")
    told.rota(rosters, NOW)
    assert b"uptake_alerting_roster_valid 0.0" in await told.text(engine, RULES, NOW)
    path.write_text("people: []")
    told.rota(rosters, NOW)
    assert b"uptake_oncall_gap_days{" not in await told.text(engine, RULES, NOW)
