"""What was not accepted, with the reason, so that it can be cured and sent again."""

import base64
from datetime import datetime
from typing import Self

from uptake.messages.fields import Instant, Message, Slug

MAX_MESSAGE_BYTES = 512 * 1024  # base64 makes four bytes of three, and a message has to stay under 1 MiB
MAX_DETAIL = 2000


class Refusal(Message):
    """Subject: `refused.v1.<producer>.<reason>`. `body` is the item as it came: text, or base64 when it is none."""

    source: Slug
    reason: Slug
    detail: str
    refused_at: Instant
    body: str
    body_is_base64: bool = False
    event_id: str | None = None

    @classmethod
    def of_message(cls, source: str, reason: str, detail: str, refused_at: datetime, data: bytes) -> Self:
        """A whole message of a stream; of a huge one only the beginning is kept."""
        kept, detail = data[:MAX_MESSAGE_BYTES], detail[:MAX_DETAIL]
        if len(data) > len(kept):
            detail += f" (the first {len(kept)} of {len(data)} bytes are kept)"
        body = base64.b64encode(kept).decode()
        return cls(source=source, reason=reason, detail=detail, refused_at=refused_at, body=body, body_is_base64=True)
