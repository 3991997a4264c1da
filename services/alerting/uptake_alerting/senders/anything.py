"""Channels that only the package `apprise` knows. It is imported when such a channel is used, never before."""

import importlib
import logging
from datetime import datetime
from typing import Any

from uptake_alerting.channels import AppriseChannel
from uptake_alerting.patience import Sent
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet

_NOTIFY_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


async def send(outlet: Outlet, channel: AppriseChannel, letter: Letter, now: datetime) -> Sent:
    """It says only yes or no: a no is tried again. After a crash between send and record there may be one more copy."""
    found = _apprise()
    if found is None:
        return Sent("failed", "not_installed")
    notifier = found.Apprise()
    if not notifier.add(channel.target()):
        return Sent("failed", "bad_url")
    parts = ["\n".join((one.headline, *one.lines)) for one in letter.parts]
    body = "\n\n".join(parts or ["\n".join(letter.notice.lines)]) or letter.notice.headline
    said = await notifier.async_notify(body=body, title=letter.notice.headline, notify_type=_notify_type(letter))
    return Sent("delivered", "ok") if said else Sent("retry", "apprise")


def _apprise() -> Any:
    try:
        found = importlib.import_module("apprise")
    except ModuleNotFoundError:
        return None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it may log addresses, and these are secrets
    return found


def _notify_type(letter: Letter) -> str:
    """The worst of what is open; of a digest, which is news and no alarm, none."""
    if letter.kind == "digest":
        return "info"
    told = [letter.data] if letter.data is not None else letter.items
    severities = {one.severity for one in told if one.state not in ("resolved", "closed")}
    worst = next((one for one in ("critical", "warning", "info") if one in severities), None)
    return "success" if told and worst is None else _NOTIFY_TYPES[worst or "info"]
