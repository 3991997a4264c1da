"""The signed webhook: JSON, an idempotency key, and a signature that its receiver can check."""

import hashlib
import hmac
import json
from datetime import datetime

from uptake_alerting.channels import WebhookChannel
from uptake_alerting.patience import Sent
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet
from uptake_alerting.senders.posting import MAX_BODY_BYTES, Request, post


async def send(outlet: Outlet, channel: WebhookChannel, letter: Letter, now: datetime) -> Sent:
    return await post(outlet.client, request(channel, letter, now), allow_private=channel.allow_private)


def request(channel: WebhookChannel, letter: Letter, now: datetime) -> Request:
    """Every attempt of a delivery has the same body and `Idempotency-Key`; only the signature's time moves."""
    body = _bounded(letter)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "uptake-alerting",
        "Idempotency-Key": letter.delivery,
    }
    key = channel.key()
    if key is not None:
        headers["Uptake-Signature"] = signature(key, body, int(now.timestamp()))
    return Request(channel.target(), headers, body)


def _bounded(letter: Letter) -> bytes:
    """A digest after a storm may carry thousands: better the first of them than none."""
    items, lines = len(letter.items), len(letter.notice.lines)
    while len(body := json.dumps(form(letter, items, lines), ensure_ascii=False).encode()) > MAX_BODY_BYTES:
        if not items and not lines:
            break  # it is refused as too large
        items, lines = (items // 2, lines) if items else (0, lines // 2)
    return body


def form(letter: Letter, items: int, lines: int) -> dict[str, object]:
    """What the receiver reads. A digest has `items` and no `alert`; `left_out`: how many more it stands for."""
    return {
        "delivery": letter.delivery,
        "kind": letter.kind,
        "sequence": letter.sequence,
        "created_at": letter.created_at.isoformat().replace("+00:00", "Z"),
        "person": letter.person.name if letter.person is not None else None,
        "headline": letter.notice.headline,
        "lines": letter.notice.lines[:lines],
        "why": letter.why,
        "alert": letter.data.model_dump(mode="json") if letter.data is not None else None,
        "items": [item.model_dump(mode="json") for item in letter.items[:items]],
        "left_out": len(letter.items) - items,
    }


def signature(key: bytes, body: bytes, timestamp: int) -> str:
    """`t=<seconds since 1970>,v1=<hex HMAC-SHA256 of "<t>.<body>">`: refuse what is old, compare in constant time."""
    return f"t={timestamp},v1={hmac.new(key, str(timestamp).encode() + b'.' + body, hashlib.sha256).hexdigest()}"
