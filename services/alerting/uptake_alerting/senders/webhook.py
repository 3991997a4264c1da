"""The signed webhook: JSON, an idempotency key, and a signature that its receiver can check. Sends nothing itself."""

import hashlib
import hmac
import json
from datetime import datetime

from uptake_alerting.routes import WebhookChannel
from uptake_alerting.senders.posting import Letter, Request


def request(channel: WebhookChannel, letter: Letter, now: datetime) -> Request:
    """Every attempt of a delivery has the same body and `Idempotency-Key`; only the signature's time moves."""
    body = json.dumps(
        {
            "delivery": letter.delivery,
            "kind": letter.kind,
            "created_at": letter.created_at.isoformat().replace("+00:00", "Z"),
            "headline": letter.notice.headline,
            "lines": letter.notice.lines,
            "why": letter.why,
            "alert": letter.data.model_dump(mode="json"),
        },
        ensure_ascii=False,
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "uptake-alerting",
        "Idempotency-Key": letter.delivery,
    }
    key = channel.key()
    if key is not None:
        headers["Uptake-Signature"] = signature(key, body, int(now.timestamp()))
    return Request(channel.target(), headers, body)


def signature(key: bytes, body: bytes, timestamp: int) -> str:
    """`t=<seconds since 1970>,v1=<hex HMAC-SHA256 of "<t>.<body>">`: refuse what is old, compare in constant time."""
    return f"t={timestamp},v1={hmac.new(key, str(timestamp).encode() + b'.' + body, hashlib.sha256).hexdigest()}"
