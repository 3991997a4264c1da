"""What was refused goes into REFUSED with its reason, so that it can be cured and sent again. Judges nothing."""

import base64
from datetime import datetime

from uptake.messages.refusals import Refusal
from uptake.subjects import REFUSED, refused
from uptake_ingestion.intake import Refused
from uptake_ingestion.publishing import Publisher

MAX_BODY_BYTES = 64 * 1024  # the worst escaping makes six bytes of one, and a message has to stay under 1 MiB


class RefusalLog:
    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def put(self, source: str, verdict: Refused, raw: bytes, now: datetime) -> None:
        """Raises NotStored. The same item refused twice is there twice: both were refused."""
        message = refusal(source, verdict, raw, now)
        subject = refused(source, verdict.reason)
        await self._publisher.publish(REFUSED, subject, message.model_dump_json().encode())


def refusal(source: str, verdict: Refused, raw: bytes, now: datetime) -> Refusal:
    """The item as it came: text, or base64 when it is none. Of a huge one only the beginning is kept."""
    kept, detail = raw[:MAX_BODY_BYTES], verdict.detail
    if len(raw) > len(kept):
        detail += f" (the first {MAX_BODY_BYTES} of {len(raw)} bytes are kept)"
    body, is_base64 = _as_text(kept)
    return Refusal(
        source=source,
        reason=verdict.reason,
        detail=detail,
        refused_at=now,
        body=body,
        body_is_base64=is_base64,
        event_id=verdict.event_id,
    )


def _as_text(raw: bytes) -> tuple[str, bool]:
    try:
        return raw.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), True
