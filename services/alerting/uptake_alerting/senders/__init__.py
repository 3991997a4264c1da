"""From a notice to its channel, and what came of it. Decides nothing about trying again."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog

from uptake_alerting.channels import Channel
from uptake_alerting.patience import Sent
from uptake_alerting.senders import alertmanager, anything, email, pagerduty, slack, slack_app, webhook
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet, new_client, new_outlet

__all__ = ["ATTEMPT_S", "Letter", "Outlet", "new_client", "new_outlet", "send"]

ATTEMPT_S = 40.0  # some channels need several requests; the lease of a delivery is longer

_SENDERS: dict[str, Callable[[Outlet, Any, Letter, datetime], Awaitable[Sent]]] = {
    "webhook": webhook.send,
    "slack": slack.send,
    "slack_app": slack_app.send,
    "email": email.send,
    "pagerduty": pagerduty.send,
    "alertmanager": alertmanager.send,
    "apprise": anything.send,
}

log = structlog.get_logger(__name__)


async def send(outlet: Outlet, channel: Channel, letter: Letter, now: datetime) -> Sent:
    """One attempt. Never raises for anything that the other side, the notice or the channel's settings did wrong."""
    try:
        async with asyncio.timeout(ATTEMPT_S):
            return await _SENDERS[channel.type](outlet, channel, letter, now)
    except TimeoutError:
        return Sent("retry", "timeout", ambiguous=True)
    except (OSError, UnicodeError):
        return Sent("failed", "not_configured")  # a secret's file that cannot be read
    except Exception as error:  # one broken template or answer stops no other notice
        # Its words may hold a secret, such as the address; its type does not.
        log.error("a sender broke", channel_type=channel.type, delivery=letter.delivery, error=type(error).__name__)
        return Sent("failed", "broken")
