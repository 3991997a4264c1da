"""Puts what a reader cannot understand into REFUSED, once. Does not decide what that is."""

from nats.js import JetStreamContext

from uptake.clock import utc_now
from uptake.consumer import Entry
from uptake.messages.refusals import Refusal
from uptake.subjects import REFUSED, refused


async def refuse(
    js: JetStreamContext, reader: str, entry: Entry, error: Exception, *, source: str, reason: str
) -> None:
    """Raises while the broker cannot store it. `reader` names one reader of one stream: its retry is no second one."""
    detail = f"{reader}: {entry.subject} at {entry.sequence}: {type(error).__name__}: {error}"
    refusal = Refusal.of_message(source, reason, detail, utc_now(), entry.data)
    headers = {"Nats-Msg-Id": f"{reader}-{entry.sequence}"}
    await js.publish(
        refused(source, reason), refusal.model_dump_json().encode(), timeout=5, stream=REFUSED, headers=headers
    )
