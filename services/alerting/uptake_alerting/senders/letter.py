"""One notice on its way to one destination, and whom it is for. Pure: sends nothing, reads no file."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from uptake.messages.alerts import AlertData
from uptake_alerting.notices import Addressee, NoticeKind
from uptake_alerting.wording import Notice


@dataclass(frozen=True, slots=True)
class Letter:
    """What a channel's form is made of. `delivery` is for ever the same for one notice to one destination.

    `thread`: the reference that the channel gave back for the trigger; null where nothing was delivered before.
    `ambiguous`: an earlier attempt may have arrived. `ended`: and its episode is over, so that a channel which can
    find out does so and sends nothing more. `parts`: what several notices say that go together; `notice` is their head
    line then, and `data` null.
    """

    delivery: str
    kind: NoticeKind
    sequence: int
    created_at: datetime
    why: str
    person: Addressee | None
    destination: str
    thread: Mapping[str, Any] | None
    data: AlertData | None  # null: a digest, a notice to operators, or several
    notice: Notice
    items: tuple[AlertData, ...] = ()
    attempts: int = 1
    ambiguous: bool = False
    ended: bool = False
    parts: tuple[Notice, ...] = ()

    @property
    def pages(self) -> tuple[Notice, ...]:
        """All that is to be read, in order."""
        return (self.notice, *self.parts)
