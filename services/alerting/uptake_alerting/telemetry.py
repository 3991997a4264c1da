"""The telemetry of alerting: bounded labels only, never an account, a channel's name or an address."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.database import is_unavailable
from uptake_alerting import listing, store
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.rules import Rules
from uptake_alerting.tables import alert_event, delivery

CONDITIONS = ("ok", "pending", "firing", "recovering")


class Telemetry:
    """Alerts and outboxes are counted in the tables: every replica tells the same, and a restart forgets nothing."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()  # its own: it is read first, then written out
        self._alerts = Gauge(
            "uptake_alerts", "Rule and subject pairs by condition", ["rule", "state", "severity"], registry=registry
        )
        self._undeliverable = Gauge(
            "uptake_alerts_undeliverable", "Open alerts that reached nobody", ["rule"], registry=registry
        )
        self._deliveries = Counter(
            "uptake_alert_deliveries_total",
            "Attempts to deliver a notice",
            ["channel_type", "outcome", "reason"],
            registry=registry,
        )
        self._oldest_pending = Gauge(
            "uptake_alert_oldest_pending_seconds",
            "Age of the oldest waiting notice or event, 0 when none waits",
            ["outbox"],
            registry=registry,
        )
        self.reader_lag = Gauge(
            "uptake_alerting_reader_lag_messages", "KPI snapshots that are not evaluated yet", registry=registry
        )
        self._routes_valid = Gauge(
            "uptake_alerting_routes_valid", "1 when the routes on disk are the ones in force", registry=registry
        )
        self._roster_valid = Gauge(
            "uptake_alerting_roster_valid", "1 when the roster on disk is the one in force", registry=registry
        )
        self._gap_days = Gauge(
            "uptake_oncall_gap_days",
            "Days of the next 60 on which a rotation that ought to have somebody has nobody for a while",
            ["rotation"],
            registry=registry,
        )

    def attempt(self, channel_type: str, outcome: str, reason: str) -> None:
        self._deliveries.labels(channel_type, outcome, reason).inc()

    def routes_valid(self, valid: bool) -> None:
        self._routes_valid.set(valid)

    def rota(self, rosters: RosterFile, now: datetime) -> None:
        self._gap_days.clear()
        for rotation, days in rosters.gap_days(now).items():
            self._gap_days.labels(rotation).set(len(days))
        self._roster_valid.set(rosters.error is None)

    async def text(self, engine: AsyncEngine, rules: Rules, now: datetime) -> bytes:
        """For `/metrics`. While the database is away, what it would tell is missing, and the rest is not."""
        try:
            await self._refresh(engine, rules, now)
        except Exception as error:
            if not is_unavailable(error):
                raise
            for gauge in (self._alerts, self._undeliverable, self._oldest_pending):
                gauge.clear()
        return generate_latest(self._registry)

    async def _refresh(self, engine: AsyncEngine, rules: Rules, now: datetime) -> None:
        async with engine.connect() as connection:
            conditions = await store.count_conditions(connection)
            silent = await listing.undeliverable(connection)
            waiting = delivery.c.status.in_(("pending", "sending"))
            notice = await connection.scalar(select(func.min(delivery.c.created_at)).where(waiting))
            unpublished = alert_event.c.published_at.is_(None)
            event = await connection.scalar(select(func.min(alert_event.c.at)).where(unpublished))
        counts = {(rule, condition): count for rule, condition, count in conditions}
        for rule in rules.by_name.values():
            self._undeliverable.labels(rule.name).set(silent.count(rule.name))
            for condition in CONDITIONS:
                self._alerts.labels(rule.name, condition, rule.severity).set(counts.get((rule.name, condition), 0))
        for outbox, oldest in (("channels", notice), ("alert", event)):
            age_s = (now - oldest).total_seconds() if oldest is not None else 0.0
            self._oldest_pending.labels(outbox).set(max(0.0, age_s))
