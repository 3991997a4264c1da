"""The telemetry of alerting: bounded labels only, never an account, a channel's name or an address."""

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.database import is_unavailable
from uptake_alerting import listing, store
from uptake_alerting.roster_file import RosterFile, gap_days
from uptake_alerting.rules import META_RULES, Rule, Rules
from uptake_alerting.tables import alert_event, delivery, episode, silence

CONDITIONS = ("ok", "pending", "firing", "recovering")
SOON = timedelta(days=7)


class Known(Collector):
    """A gauge without labels that is absent while its value is unknown: 0 would be a claim."""

    def __init__(self, registry: CollectorRegistry, name: str, about: str, value: Callable[[], float | None]) -> None:
        self._name, self._about, self.value = name, about, value
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        yield GaugeMetricFamily(self._name, self._about)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        if (value := self.value()) is not None:
            yield GaugeMetricFamily(self._name, self._about, value)


class Telemetry:
    """Alerts and outboxes are counted in the tables: every replica tells the same, and a restart forgets nothing."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()  # its own: it is read first, then written out
        self._alerts = self._gauge("uptake_alerts", "Rule and subject pairs by condition", "rule", "state", "severity")
        self._undeliverable = self._gauge("uptake_alerts_undeliverable", "Open alerts that reached nobody", "rule")
        self._held = self._gauge("uptake_alerts_held", "Open alerts whose notices a breaker holds back", "rule")
        self._deliveries = Counter(
            "uptake_alert_deliveries_total",
            "Attempts to deliver a notice",
            ["channel_type", "outcome", "reason"],
            registry=self._registry,
        )
        self._oldest_pending = self._gauge(
            "uptake_alert_oldest_pending_seconds",
            "Age of the oldest waiting notice or event, 0 when none waits",
            "outbox",
        )
        self._last_run = self._gauge(
            "uptake_alerting_last_run_timestamp_seconds",
            "When this process last evaluated numbers, and last asked the clock",
            "what",
        )
        self._valid = self._gauge("uptake_alerting_config_valid", "1 when the file on disk is the one in force", "file")
        self._gap_days = self._gauge(
            "uptake_oncall_gap_days",
            "Days ahead on which a rotation that ought to have somebody has nobody for a while",
            "rotation",
            "within",
        )
        self._silences: int | None = None
        Known(self._registry, "uptake_alerting_silences_active", "Silences in force", lambda: self._silences)
        self._lag = Known(
            self._registry,
            "uptake_alerting_reader_lag_messages",
            "KPI snapshots that are not evaluated yet",
            lambda: None,
        )

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, registry=self._registry)

    def attempt(self, channel_type: str, outcome: str, reason: str) -> None:
        self._deliveries.labels(channel_type, outcome, reason).inc()

    def reader_lag(self, value: Callable[[], float | None]) -> None:
        """`value`: null while nobody knows how much is left to read."""
        self._lag.value = value

    def ran(self, what: Literal["evaluation", "tick"], at: datetime) -> None:
        self._last_run.labels(what).set(at.timestamp())

    def valid(self, file: Literal["rules", "routes", "roster"], valid: bool) -> None:
        self._valid.labels(file).set(valid)

    async def rota(self, rosters: RosterFile, now: datetime) -> None:
        """In a thread: two months of many rotations take longer than the event loop may be held."""
        found = await asyncio.to_thread(gap_days, rosters.current(), now)
        self._gap_days.clear()
        for rotation, days in found.items():
            soon = [day for day in days if day < (now + SOON).date()]
            self._gap_days.labels(rotation, "7d").set(len(soon))
            self._gap_days.labels(rotation, "60d").set(len(days))
        self.valid("roster", rosters.error is None)

    async def text(self, engine: AsyncEngine, rules: Rules, now: datetime) -> bytes:
        """For `/metrics`. While the database is away, what it would tell is missing, and the rest is not."""
        try:
            await self._refresh(engine, rules, now)
        except Exception as error:
            if not is_unavailable(error):
                raise
            self._forget()
        return generate_latest(self._registry)

    def _forget(self) -> None:
        """What the tables told. Of a rule that is gone nothing is told any more."""
        for gauge in (self._alerts, self._undeliverable, self._held, self._oldest_pending):
            gauge.clear()
        self._silences = None

    async def _refresh(self, engine: AsyncEngine, rules: Rules, now: datetime) -> None:
        is_open, is_held = episode.c.ended_at.is_(None), episode.c.gates.contains([{"reason": "held"}])
        waiting = delivery.c.status.in_(("pending", "sending"))
        in_force = (silence.c.starts_at <= now) & (silence.c.ends_at > now)
        async with engine.connect() as connection:
            conditions = await store.count_conditions(connection)
            about_us = await _by_rule(connection, is_open, episode.c.rule.in_(META_RULES))
            silent = await listing.undeliverable(connection)
            held = await _by_rule(connection, is_open, is_held)
            notice = await connection.scalar(select(func.min(delivery.c.created_at)).where(waiting))
            unpublished = alert_event.c.published_at.is_(None)
            event = await connection.scalar(select(func.min(alert_event.c.at)).where(unpublished))
            silences = await connection.scalar(select(func.count()).select_from(silence).where(in_force))
        self._forget()
        for rule in rules.by_name.values():
            self._undeliverable.labels(rule.name).set(silent.get(rule.name, 0))
            self._held.labels(rule.name).set(held[rule.name])
        for rule in rules.alerts:
            self._tell(rule, _counts(rule, conditions))
        for rule in META_RULES.values():
            self._tell(rule, Tally({("firing", rule.severity): about_us[rule.name]}))
        self._silences = silences
        for outbox, oldest in (("channels", notice), ("alert", event)):
            age_s = (now - oldest).total_seconds() if oldest is not None else 0.0
            self._oldest_pending.labels(outbox).set(max(0.0, age_s))

    def _tell(self, rule: Rule, counts: Tally[tuple[str, str]]) -> None:
        """Also what there is none of: a series that comes and goes cannot be counted with."""
        severities = dict.fromkeys((rule.severity, *(step.severity for step in rule.severity_when)))
        for state in CONDITIONS if rule.name not in META_RULES else ("firing",):
            for severity in severities if state in ("firing", "recovering") else (rule.severity,):
                self._alerts.labels(rule.name, state, severity).set(counts[state, severity])
        for (state, found), count in counts.items():
            self._alerts.labels(rule.name, state, found).set(count)


def _counts(rule: Rule, conditions: Iterable[tuple[str, str, str | None, int]]) -> Tally[tuple[str, str]]:
    """By state and severity. An account that is well has no row of a rule, only one of its own."""
    counts: Tally[tuple[str, str]] = Tally()
    accounts = 0
    for name, state, severity, count in conditions:
        accounts += count if name == store.SUBJECT else 0
        if name == rule.name:
            counts[state, severity or rule.severity] += count
    if rule.subject_kind == "account":
        unwell = sum(count for (state, _), count in counts.items() if state != "ok")
        counts["ok", rule.severity] = max(0, accounts - unwell)
    return counts


async def _by_rule(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> Tally[str]:
    rows = await connection.execute(select(episode.c.rule, func.count()).where(*conditions).group_by(episode.c.rule))
    return Tally({rule: count for rule, count in rows})
