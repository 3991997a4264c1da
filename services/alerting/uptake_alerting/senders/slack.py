"""A Slack incoming webhook: one text, no markup from customers, neither threads nor buttons."""

import json
from datetime import datetime

from uptake_alerting.channels import SlackChannel
from uptake_alerting.patience import Sent
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet
from uptake_alerting.senders.posting import Request, post
from uptake_alerting.wording import slack_text


async def send(outlet: Outlet, channel: SlackChannel, letter: Letter, now: datetime) -> Sent:
    """It has no idempotency key: after a crash between send and record there may be one more copy."""
    body = json.dumps(form(letter)).encode()
    request = Request(channel.target(), {"Content-Type": "application/json"}, body)
    return await post(outlet.client, request, allow_private=channel.allow_private)


def form(letter: Letter) -> dict[str, object]:
    said = "\n\n".join(map(slack_text, letter.pages))
    return {"text": said, "unfurl_links": False, "unfurl_media": False, "link_names": False}
