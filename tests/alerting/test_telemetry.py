"""What cannot be known is missing from `/metrics`, and nothing else is."""

from datetime import UTC, datetime

from uptake import database
from uptake.settings import DatabaseSettings
from uptake_alerting.telemetry import Telemetry

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


async def test_without_a_database_the_rest_is_told(engine, free_port):
    told = Telemetry()
    told.attempt("slack", "delivered", "ok")
    assert b'uptake_alerts{rule="trial-breached",severity="warning",state="ok"} 0.0' in await told.text(engine, NOW)
    away = database.engine(DatabaseSettings(database_url=f"postgresql+asyncpg://u@127.0.0.1:{free_port()}/x"), "test")
    text = await told.text(away, NOW)
    assert b'uptake_alert_deliveries_total{channel_type="slack",outcome="delivered",reason="ok"} 1.0' in text
    assert b"uptake_alerts{" not in text
    await away.dispose()
