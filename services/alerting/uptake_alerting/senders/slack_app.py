"""Slack's Web API: one message per alert, the rest in its thread, its head line kept true.

Slack has no idempotency key. Each message carries its delivery's id as metadata, so that an attempt of which nobody
knows whether it arrived is looked for before it is made again.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from uptake_alerting.channels import SlackAppChannel
from uptake_alerting.patience import Sent
from uptake_alerting.senders import slack_answers, slack_form
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet
from uptake_alerting.senders.posting import Request, exchange

SKEW = timedelta(minutes=5)  # between Slack's clock and ours
PAGES, PAGE = 20, 100

Answer = Mapping[str, Any]


async def send(outlet: Outlet, channel: SlackAppChannel, letter: Letter, now: datetime) -> Sent:
    api = _Api(outlet, channel, now)
    if letter.ambiguous:
        found = await _find(api, letter)
        if found is not None:
            return found
    if slack_form.in_thread(letter) and letter.kind in ("update", "terminal"):
        edited = await api.call("chat.update", slack_form.head(letter))
        if isinstance(edited, Sent) and edited.outcome == "retry":
            return replace(edited, ambiguous=False)  # an edit made twice is one edit, and nothing was posted yet
    return await _post(api, letter)


async def _post(api: "_Api", letter: Letter) -> Sent:
    where = _where(api.channel, letter)
    if where is None:
        return Sent("failed", "no_address")
    shared = api.channel.channel is not None
    answer = await api.call("chat.postMessage", slack_form.message(letter, where, shared=shared))
    if isinstance(answer, Sent) and answer.reason == "slack_invalid_blocks":
        answer = await api.call("chat.postMessage", slack_form.message(letter, where, shared=shared, blocks=False))
    if isinstance(answer, Sent) and answer.reason == "slack_thread_not_found":
        lost = replace(letter, thread=None)  # somebody deleted the head: better a message of its own than none
        answer = await api.call("chat.postMessage", slack_form.message(lost, where, shared=shared))
    if isinstance(answer, Sent):
        return answer
    return _delivered(answer.get("channel"), answer.get("ts"))


def _delivered(where: Any, ts: Any) -> Sent:
    return Sent("delivered", "ok", reference={"channel": str(where), "ts": str(ts)})


def _where(channel: SlackAppChannel, letter: Letter) -> str | None:
    """The end goes where the trigger went, whoever the roster names by now."""
    if slack_form.in_thread(letter) and letter.thread is not None:
        return str(letter.thread["channel"])
    return channel.channel or (letter.person.slack if letter.person is not None else None)


async def _find(api: "_Api", letter: Letter) -> Sent | None:
    """An earlier attempt, if it arrived; null: it did not, or we may not look, so it has to be sent."""
    where = await _conversation(api, letter)
    if isinstance(where, Sent):
        return where if where.outcome == "retry" else None
    oldest = f"{(letter.created_at - SKEW).astimezone(UTC).timestamp():.6f}"
    asked = {"channel": where, "limit": PAGE, "oldest": oldest, "include_all_metadata": "true"}
    method = "conversations.history"
    if letter.thread is not None and slack_form.in_thread(letter):
        method, asked = "conversations.replies", asked | {"ts": letter.thread["ts"]}
    for _ in range(PAGES):
        answer = await api.read(method, asked)
        if isinstance(answer, Sent):
            return replace(answer, ambiguous=True) if answer.outcome == "retry" else None
        for message in answer.get("messages") or ():
            if slack_form.is_ours(message, letter.delivery):
                return _delivered(where, message.get("ts"))
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            break
        asked = asked | {"cursor": cursor}
    return Sent("skipped", "episode_ended") if letter.ended else None


async def _conversation(api: "_Api", letter: Letter) -> str | Sent:
    """The id whose history can be read: a person's id takes messages, but has no history."""
    where = _where(api.channel, letter)
    if where is None:
        return Sent("failed", "no_address")
    if where[0] not in "UW":
        return where
    answer = await api.call("conversations.open", {"users": where})
    if isinstance(answer, Sent):
        return replace(answer, ambiguous=True) if answer.outcome == "retry" else answer
    return str((answer.get("channel") or {}).get("id"))


class _Api:
    """The methods of one workspace."""

    def __init__(self, outlet: Outlet, channel: SlackAppChannel, now: datetime) -> None:
        self.channel = channel
        self._outlet, self._now, self._token = outlet, now, channel.bearer()

    async def call(self, method: str, said: Mapping[str, Any]) -> Answer | Sent:
        return await self._exchange(method, "application/json; charset=utf-8", json.dumps(said).encode())

    async def read(self, method: str, asked: Mapping[str, Any]) -> Answer | Sent:
        """The methods that read take no JSON."""
        return await self._exchange(method, "application/x-www-form-urlencoded", urlencode(asked).encode())

    async def _exchange(self, method: str, content_type: str, body: bytes) -> Answer | Sent:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        request = Request(f"{self.channel.api}/{method}", headers, body)
        answer = await exchange(self._outlet.client, request, allow_private=self.channel.allow_private, read=True)
        if isinstance(answer, Sent):
            return answer
        return slack_answers.read(answer.status, answer.retry_after, answer.body, self._now)
