"""A notice as a message of Slack's Web API: text, blocks, buttons, and the metadata by which we find it again. Pure."""

from typing import Any

from uptake.messages.alerts import AlertData
from uptake_alerting.senders.letter import Letter
from uptake_alerting.wording import slack_text

EVENT_TYPE = "alert_notice"
ACK, SNOOZE, OPEN = "ack", "snooze", "open_account"
_CALLS = ("trigger", "reminder", "escalation")
_MAX_URL = 3000


def text(letter: Letter, *, shared: bool) -> str:
    """In a channel that others read too, a notice that asks somebody to act calls them by name."""
    who = letter.person.slack if letter.person is not None and shared and letter.kind in _CALLS else None
    calls = f"<@{who}> " if who is not None and who.isalnum() else ""
    return calls + slack_text(letter.notice)


def message(letter: Letter, where: str, *, shared: bool, blocks: bool = True) -> dict[str, Any]:
    """For `chat.postMessage`. `blocks` false: the bare text, which Slack takes in any case."""
    said = text(letter, shared=shared)
    found: dict[str, Any] = {
        "channel": where,
        "text": said,
        "unfurl_links": False,
        "unfurl_media": False,
        "metadata": {"event_type": EVENT_TYPE, "event_payload": {"delivery": letter.delivery}},
    }
    if blocks:
        found["blocks"] = [_section(said), *_buttons(letter)]
    if in_thread(letter) and letter.thread is not None:
        found |= {"thread_ts": letter.thread["ts"], "reply_broadcast": letter.kind == "reminder"}
    return found


def head(letter: Letter) -> dict[str, Any]:
    """For `chat.update` of the message that opened the thread: what is true now, with buttons while it is open."""
    thread = letter.thread or {}
    said = slack_text(letter.notice)
    return {
        "channel": thread["channel"],
        "ts": thread["ts"],
        "text": said,
        "blocks": [_section(said), *_buttons(letter)],
    }


def in_thread(letter: Letter) -> bool:
    """Not if the thread was opened while the channel was of another type."""
    return letter.kind != "trigger" and letter.thread is not None and "ts" in letter.thread


def is_ours(message: Any, delivery: str) -> bool:
    """Whether a message of a channel's history is the one that an earlier attempt made."""
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return False
    payload = metadata.get("event_payload")
    return isinstance(payload, dict) and payload.get("delivery") == delivery


def escaped(said: str) -> str:
    """These three are all that can turn text into a mention or a link."""
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(said: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": said[:3000], "verbatim": True}}


def _buttons(letter: Letter) -> list[dict[str, Any]]:
    data = letter.data
    if data is None:
        return []
    handling = [] if letter.kind == "terminal" else [_button(ACK, "Ack", data), _button(SNOOZE, "Snooze 7 d", data)]
    url = data.links.get("account", "")
    if url.startswith(("https://", "http://")) and len(url) <= _MAX_URL:
        handling.append(_button(OPEN, "Open account", data) | {"url": url})
    return [{"type": "actions", "elements": handling}] if handling else []


def _button(action: str, label: str, data: AlertData) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": action,
        "text": {"type": "plain_text", "text": label},
        "value": data.episode,
    }
