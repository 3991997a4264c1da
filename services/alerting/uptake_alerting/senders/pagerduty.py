"""PagerDuty Events v2: one incident per episode, by its `dedup_key`; PagerDuty itself drops what comes twice."""

import json
from datetime import datetime
from typing import Any

from uptake_alerting.channels import PagerDutyChannel, fingerprint
from uptake_alerting.patience import Sent
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet
from uptake_alerting.senders.posting import Request, post

_MAX_SUMMARY, _MAX_TEXT = 1024, 20_000


async def send(outlet: Outlet, channel: PagerDutyChannel, letter: Letter, now: datetime) -> Sent:
    """A digest pages nobody. The end uses the key of its trigger: another one would not find the incident."""
    if letter.kind == "digest":
        return Sent("failed", "no_digests")
    key = channel.key((letter.thread or {}).get("key"))
    if key is None:
        return Sent("failed", "key_changed")
    reference = {"key": fingerprint(key), "dedup_key": dedup_key(letter)}
    body = json.dumps({"routing_key": key} | event(letter), ensure_ascii=False).encode()
    request = Request(channel.url, {"Content-Type": "application/json"}, body)
    sent = await post(outlet.client, request, allow_private=channel.allow_private)
    return Sent("delivered", "ok", reference=reference) if sent.outcome == "delivered" else sent


def event(letter: Letter) -> dict[str, Any]:
    """The event without its key. An update or a reminder is the trigger again: PagerDuty adds it to the incident."""
    if letter.kind == "terminal":
        return {"event_action": "resolve", "dedup_key": dedup_key(letter)}
    data, notice = letter.data, letter.notice
    payload: dict[str, Any] = {
        "summary": notice.headline[:_MAX_SUMMARY],
        "source": "uptake",
        "severity": data.severity if data is not None else "critical",
        "timestamp": letter.created_at.isoformat(),
        "custom_details": {"text": "\n".join(notice.lines)[:_MAX_TEXT], "why": letter.why},
    }
    if data is not None:
        payload |= {"class": data.rule, "component": data.subject, "group": data.account or ""}
    links = [{"href": url, "text": name} for name, url in (data.links if data is not None else {}).items()]
    return {
        "event_action": "trigger",
        "dedup_key": dedup_key(letter),
        "client": "Uptake",
        "payload": payload,
        "links": links,
    }


def dedup_key(letter: Letter) -> str:
    if letter.thread is not None and "dedup_key" in letter.thread:
        return str(letter.thread["dedup_key"])
    return f"uptake-{letter.data.episode if letter.data is not None else letter.delivery}"
