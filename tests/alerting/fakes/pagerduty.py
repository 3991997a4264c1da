"""PagerDuty's Events API v2: what it accepts, and what becomes of incidents."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.alerting.fakes.http import Asked, HttpFake

KEY = "a" * 32
FORMER_KEY = "b" * 32


@dataclass
class FakePagerDuty(HttpFake):
    """`incidents` by service (its key) and `dedup_key`: the state, and how often it was triggered."""

    incidents: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        event = json.loads(asked.body)
        problem = _problem(event)
        if problem:
            said = {"status": "invalid event", "message": "Event object is invalid", "errors": [problem]}
            return 400, {}, json.dumps(said).encode()
        where = (event["routing_key"], event["dedup_key"])
        if event["event_action"] == "trigger":
            incident = self.incidents.setdefault(where, {"state": "triggered", "triggers": 0})
            incident["triggers"] += 1
            incident["payload"] = event["payload"]
        elif where in self.incidents:
            self.incidents[where]["state"] = "resolved"
        said = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return 202, {}, json.dumps(said).encode()


def _problem(event: dict[str, Any]) -> str | None:
    if len(event.get("routing_key", "")) != 32:
        return "Length of 'routing_key' is incorrect (should be 32 characters)"
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        return "'event_action' is invalid"
    if len(event.get("dedup_key", "")) > 255:
        return "'dedup_key' is too long"
    if event["event_action"] != "trigger":
        return None
    payload = event.get("payload", {})
    if not payload.get("summary") or len(payload["summary"]) > 1024 or not payload.get("source"):
        return "'payload.summary' or 'payload.source' is missing or too long"
    return None if payload.get("severity") in ("critical", "error", "warning", "info") else "'severity' is invalid"
