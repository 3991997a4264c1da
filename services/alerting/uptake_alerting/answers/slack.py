"""`POST /api/v1/slack/actions`: somebody pressed a button under one of our messages. Decides nothing about alerts.

Only what Slack signed within the last five minutes is believed:
https://docs.slack.dev/authentication/verifying-requests-from-slack/.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter, BackgroundTasks, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.config import ConfigFile
from uptake.problems import Problem
from uptake_alerting import handling_store
from uptake_alerting.channels import SlackAppChannel
from uptake_alerting.handling import Action, Verb
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes
from uptake_alerting.senders import Outlet, posting
from uptake_alerting.senders.slack_form import ACK, SNOOZE, escaped

SKEW_S = 300
MAX_BODY_BYTES = 256 * 1024
SNOOZE_LASTS = timedelta(days=7)
_VERBS: dict[str, Verb] = {ACK: "ack", SNOOZE: "snooze"}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Press:
    """`user`: Slack's id of who pressed. `reply_to`: an address that Slack gave us to answer them; a secret."""

    verb: Verb
    episode: str
    user: str
    reply_to: str | None


def router(
    engine: AsyncEngine, routes: ConfigFile[Routes], roster: ConfigFile[Roster], clock: Callable[[], datetime]
) -> APIRouter:
    answers = APIRouter(prefix="/api/v1")

    @answers.post("/slack/actions")
    async def actions(
        request: Request,
        background: BackgroundTasks,
        signature: Annotated[str, Header(alias="X-Slack-Signature")] = "",
        timestamp: Annotated[str, Header(alias="X-Slack-Request-Timestamp")] = "",
    ) -> Response:
        """What Slack calls when a button is pressed. Pressed twice, it is done once."""
        body, now = await _body(request), clock()
        channel = next((c for c in _apps(routes.current()) if _signed(c, signature, timestamp, body, now)), None)
        if channel is None:
            raise Problem(401, "invalid_signature", "not signed by Slack for any channel of routes.yml, or too old")
        press = parse(body)
        if press is not None:
            said = await _do(engine, press, who(roster.current(), press.user), clock)
            background.add_task(_answer, request.app.state.outlet, channel, press, said)
        return Response(status_code=200)

    return answers


def is_signed(key: bytes, signature: str, timestamp: str, body: bytes, now: datetime) -> bool:
    """Whether Slack sent it, and not long ago."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now.timestamp() - int(timestamp)) > SKEW_S:
        return False
    due = "v0=" + hmac.new(key, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(due.encode(), signature.encode())


def parse(body: bytes) -> Press | None:
    """Null: a button without work for us, such as the link to the account. Raises Problem for what is no press."""
    try:
        payload = json.loads(parse_qs(body.decode(), strict_parsing=True)["payload"][0])
        pressed = next((one for one in payload["actions"] if one["action_id"] in _VERBS), None)
        if payload["type"] != "block_actions" or pressed is None:
            return None
        reply_to = payload.get("response_url")
        return Press(
            _VERBS[pressed["action_id"]],
            str(pressed["value"]),
            str(payload["user"]["id"]),
            reply_to if isinstance(reply_to, str) else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise Problem(400, "invalid_request", "the payload is none of Slack's block actions") from None


def who(roster: Roster, user: str) -> str:
    """The person of the roster with this id in Slack, else the id itself."""
    return next((person.name for person in roster.people if person.slack == user), f"slack:{user[:40]}")


async def _do(engine: AsyncEngine, press: Press, by: str, clock: Callable[[], datetime]) -> str:
    """What came of it, in a sentence; a refusal is one too."""
    action = Action(press.verb, by, "slack", lasts=SNOOZE_LASTS if press.verb == "snooze" else None)
    try:
        async with engine.begin() as connection:
            return (await handling_store.handle(connection, press.episode, action, clock)).said
    except Problem as refused:
        return f"Not done: {refused}."


def _apps(routes: Routes) -> Iterator[SlackAppChannel]:
    return (channel for channel in routes.channels.values() if isinstance(channel, SlackAppChannel))


def _signed(channel: SlackAppChannel, signature: str, timestamp: str, body: bytes, now: datetime) -> bool:
    try:
        key = channel.signing_key()
    except (OSError, UnicodeError) as error:
        log.error("a signing secret cannot be read", error=type(error).__name__)
        return False
    return key is not None and key != b"" and is_signed(key, signature, timestamp, body, now)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise Problem(413, "too_large", f"a press has at most {MAX_BODY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


async def _answer(outlet: Outlet, channel: SlackAppChannel, press: Press, said: str) -> None:
    """Tells whoever pressed, and only them. It is a courtesy: when it fails, what was done is done."""
    if press.reply_to is None:
        return
    text: dict[str, Any] = {"response_type": "ephemeral", "replace_original": False, "text": escaped(said)}
    request = posting.Request(press.reply_to, {"Content-Type": "application/json"}, json.dumps(text).encode())
    sent = await posting.post(outlet.client, request, allow_private=channel.allow_private)
    if sent.outcome != "delivered":
        log.warning("a press was not answered", reason=sent.reason, alert=press.episode)
