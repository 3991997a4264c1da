"""A Slack incoming webhook: one text, no markup from customers. Sends nothing itself."""

import json

from uptake_alerting.routes import SlackChannel
from uptake_alerting.senders.posting import Letter, Request
from uptake_alerting.wording import slack_text


def request(channel: SlackChannel, letter: Letter) -> Request:
    """Slack has no idempotency key: after a crash between send and record there may be one more copy."""
    text = {"text": slack_text(letter.notice), "unfurl_links": False, "unfurl_media": False, "link_names": False}
    return Request(channel.target(), {"Content-Type": "application/json"}, json.dumps(text).encode())
