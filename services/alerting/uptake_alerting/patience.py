"""What an attempt's outcome means: try again and when, or give it up. Pure: the time and the dice are arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

SHORTEST_S, LONGEST_S = 5.0, 900.0
RETRY_AFTER_CAP_S = 3600.0
GIVE_UP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one attempt. `reason` is one of a few words, fit for a metric label.

    `ambiguous`: no answer came, so it may have arrived all the same. `reference`: what the channel gave us to edit,
    thread or resolve it by; never a secret.
    """

    outcome: Literal["delivered", "retry", "failed", "skipped"]
    reason: str
    retry_after_s: float | None = None
    ambiguous: bool = False
    reference: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of the delivery; `pause_until` holds back the whole destination."""

    status: Literal["delivered", "pending", "failed", "skipped"]
    reason: str
    due_at: datetime | None = None
    pause_until: datetime | None = None
    ambiguous: bool = False
    reference: Mapping[str, Any] | None = None


def after(sent: Sent, attempts: int, created_at: datetime, now: datetime, jitter: float) -> Next:
    """`attempts` includes the one that was just made; `jitter` is in [0, 1)."""
    if sent.outcome != "retry":
        return Next(sent.outcome, sent.reason, ambiguous=sent.ambiguous, reference=sent.reference)
    if now - created_at >= GIVE_UP:
        return Next("failed", "gave_up", ambiguous=sent.ambiguous)
    wait_s = _wait_s(attempts, jitter)
    if sent.reason != "http_429":
        return Next("pending", sent.reason, now + timedelta(seconds=wait_s), ambiguous=sent.ambiguous)
    # 0, or a date in the past, says nothing: it would be tried dozens of times a second.
    asked_s = wait_s if not sent.retry_after_s else max(SHORTEST_S, min(sent.retry_after_s, RETRY_AFTER_CAP_S))
    until = now + timedelta(seconds=asked_s)
    return Next("pending", sent.reason, until, pause_until=until)


def judge(status: int, retry_after: str | None, now: datetime) -> Sent:
    """What an answer means for the next attempt."""
    if 200 <= status < 300:
        return Sent("delivered", "ok")
    if status == 429:
        return Sent("retry", "http_429", retry_after_s=retry_after_s(retry_after, now))
    if status >= 500:
        return Sent("retry", "http_5xx")
    return Sent("failed", "redirect" if 300 <= status < 400 else "http_4xx")


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds from now, from either of the header's two forms; None when it is absent or unreadable."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])  # nine digits: it is capped anyway
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds())


def _wait_s(attempts: int, jitter: float) -> float:
    """Full jitter over an exponentially growing span, so that a thousand notices do not come back together."""
    longest = min(LONGEST_S, SHORTEST_S * float(2 ** min(attempts, 10)))
    return SHORTEST_S + jitter * (longest - SHORTEST_S)
