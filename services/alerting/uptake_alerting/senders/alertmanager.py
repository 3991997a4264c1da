"""Alertmanager v2: an alert is its labels, so these stay as they were when it was first told; the rest may change.

Alertmanager forgets what is not said again: `resend` tells open alerts anew, the terminal says `endsAt`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from uptake.messages.alerts import AlertData
from uptake_alerting.channels import AlertmanagerChannel
from uptake_alerting.patience import Sent
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet
from uptake_alerting.senders.posting import Request, post
from uptake_alerting.wording import Notice

RESEND_S = 60.0
KEPT = timedelta(minutes=15)  # it stays firing through that much silence of ours, such as an upgrade
_MAX_BYTES = 4 * 1024 * 1024
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")

Labels = Mapping[str, str]


async def send(outlet: Outlet, channel: AlertmanagerChannel, letter: Letter, now: datetime) -> Sent:
    """The same labels twice are one alert: nothing arrives twice."""
    if letter.data is None:
        return Sent("failed", "no_digests")
    known = (letter.thread or {}).get("labels")
    told: Labels = known if isinstance(known, Mapping) else labels(channel, letter.data)
    ended_at = now if letter.kind == "terminal" else None
    sent = await put(outlet, channel, [alert(letter.data, letter.notice, told, now, ended_at)])
    return Sent("delivered", "ok", reference={"labels": dict(told)}) if sent.outcome == "delivered" else sent


async def put(outlet: Outlet, channel: AlertmanagerChannel, alerts: Sequence[Mapping[str, Any]]) -> Sent:
    headers = {"Content-Type": "application/json"}
    token = channel.bearer()
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    url = f"{channel.target().rstrip('/')}/api/v2/alerts"
    body = json.dumps(list(alerts), ensure_ascii=False).encode()
    return await post(outlet.client, Request(url, headers, body, _MAX_BYTES), allow_private=channel.allow_private)


def alert(data: AlertData, notice: Notice, told: Labels, now: datetime, ended_at: datetime | None) -> dict[str, Any]:
    """`ended_at` null: it is firing, and stays so for a while if we fall silent."""
    found = {
        "labels": dict(told),
        "annotations": annotations(data, notice),
        "startsAt": _rfc3339(data.fired_at or data.detected_at),
        "endsAt": _rfc3339(ended_at or now + KEPT),
    }
    url = data.links.get("alert", "")
    return found | {"generatorURL": url} if url else found


def labels(channel: AlertmanagerChannel, data: AlertData) -> dict[str, str]:
    """What may be routed by. Severity is the one it was first told with: another label would be another alert."""
    own = {
        "alertname": data.rule,
        "subject_kind": data.subject_kind,
        "subject": data.subject,
        "account": data.account or "",
        "region": data.region or "",
        "severity": data.severity,
        "source": "uptake",
    }
    found = {_NOT_IN_A_NAME.sub("_", name): value for name, value in data.labels.items()}
    return {name: value for name, value in (found | dict(channel.labels) | own).items() if value}


def annotations(data: AlertData, notice: Notice) -> dict[str, str]:
    found = {
        "summary": notice.headline,
        "description": "\n".join(notice.lines),
        "next_step": data.next_step,
        "severity": data.severity,
        "owner": data.owner or "",
        "episode": data.episode,
        "runbook_url": data.annotations.get("runbook_url", ""),
    }
    return {name: value for name, value in found.items() if value}


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
