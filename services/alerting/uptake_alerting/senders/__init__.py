"""From a notice to one HTTP request on its channel, and what came of it. Decides nothing about trying again."""

from datetime import datetime

import httpx2

from uptake_alerting.patience import Sent
from uptake_alerting.routes import Channel, SlackChannel
from uptake_alerting.senders import slack, webhook
from uptake_alerting.senders.posting import SEND_S, Letter, new_client, post

__all__ = ["SEND_S", "Letter", "new_client", "send"]


async def send(client: httpx2.AsyncClient, channel: Channel, letter: Letter, now: datetime) -> Sent:
    """One attempt. Never raises for anything that the other side or the channel's settings did wrong."""
    try:
        if isinstance(channel, SlackChannel):
            request = slack.request(channel, letter)
        else:
            request = webhook.request(channel, letter, now)
    except (OSError, UnicodeDecodeError):
        return Sent("failed", "not_configured")  # a url_file or secret_file that cannot be read
    return await post(client, request, allow_private=channel.allow_private)
