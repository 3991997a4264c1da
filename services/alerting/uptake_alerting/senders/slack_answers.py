"""What an answer of Slack's Web API means for the next attempt. Pure.

Sources: https://docs.slack.dev/reference/methods/chat.postMessage/#errors and
https://docs.slack.dev/apis/web-api/rate-limits/.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from uptake_alerting.patience import Sent, judge, retry_after_s

_THROTTLED = {"ratelimited", "rate_limited", "message_limit_exceeded"}
# "It's possible some aspect of the operation succeeded before the error was raised", says Slack of most of these.
_PASSING = {"fatal_error", "internal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
# Those that somebody can mend have a word of their own; a metric's labels stay bounded.
_NAMED = {
    "account_inactive",
    "cannot_dm_bot",
    "channel_not_found",
    "invalid_auth",
    "invalid_blocks",
    "is_archived",
    "message_not_found",
    "missing_scope",
    "msg_too_long",
    "not_authed",
    "not_in_channel",
    "restricted_action",
    "thread_not_found",
    "token_expired",
    "token_revoked",
    "user_disabled",
    "user_not_found",
}


def read(status: int, retry_after: str | None, body: bytes | None, now: datetime) -> Mapping[str, Any] | Sent:
    """The answer when Slack says ok, else what came of the call."""
    if status >= 500:
        return Sent("retry", "http_5xx", ambiguous=True)  # a gateway may have given up before Slack did
    if not 200 <= status < 300:
        return judge(status, retry_after, now)
    answer = _parsed(body)
    if answer is None:
        return Sent("retry", "bad_answer", ambiguous=True)
    if answer.get("ok") is True:
        return answer
    error = str(answer.get("error"))
    if error in _THROTTLED:
        return Sent("retry", "http_429", retry_after_s=retry_after_s(retry_after, now))
    if error in _PASSING:
        return Sent("retry", f"slack_{error}", ambiguous=True)
    return Sent("failed", f"slack_{error}" if error in _NAMED else "slack_error")


def _parsed(body: bytes | None) -> Mapping[str, Any] | None:
    try:
        answer = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
