"""Alertmanager's API v2 as far as alerts go: an alert is its labels; one that is not said again ends by itself."""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.alerting.fakes.http import Asked, HttpFake

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass
class FakeAlertmanager(HttpFake):
    alerts: dict[tuple[tuple[str, str], ...], dict[str, Any]] = field(default_factory=dict)

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        if asked.path != "/api/v2/alerts":
            return 404, {}, b""
        alerts = json.loads(asked.body)
        for alert in alerts:
            labels = alert["labels"]
            if "alertname" not in labels or not all(_NAME.fullmatch(name) and labels[name] for name in labels):
                return 400, {}, b'"invalid label set"'
            if datetime.fromisoformat(alert["endsAt"]) < datetime.fromisoformat(alert["startsAt"]):
                return 400, {}, b'"start time must be before end time"'
        for alert in alerts:
            self.alerts[tuple(sorted(alert["labels"].items()))] = alert
        return 200, {}, b""

    def firing(self, now: datetime) -> list[str]:
        return sorted(
            alert["labels"]["subject"]
            for alert in self.alerts.values()
            if datetime.fromisoformat(alert["endsAt"]) > now
        )
