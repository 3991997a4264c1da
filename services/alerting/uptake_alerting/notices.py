"""The kinds of notice, and what a channel needs to know of whom it is for. Nothing else; pure."""

from typing import Literal, Protocol

#: `trigger` opens the thread of an episode at a destination, `terminal` ends it; all but these two may never come.
NoticeKind = Literal["trigger", "update", "reminder", "escalation", "terminal", "digest", "operator"]


class Addressee(Protocol):
    """A person of the roster as a channel sees them; null: cannot be reached that way."""

    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str | None: ...
    @property
    def slack(self) -> str | None: ...
    @property
    def active(self) -> bool: ...
