"""What was not accepted, with the reason, so that it can be cured and sent again."""

from uptake.messages.fields import Instant, Message, Slug


class Refusal(Message):
    """Subject: `refused.v1.<producer>.<reason>`. `body` is the item as it came: text, or base64 when it is none."""

    source: Slug
    reason: Slug
    detail: str
    refused_at: Instant
    body: str
    body_is_base64: bool = False
    event_id: str | None = None
