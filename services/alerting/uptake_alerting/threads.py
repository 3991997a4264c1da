"""What one destination has been told of one alert: the thread that planning goes on with. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from uptake.messages.alerts import Severity
from uptake_alerting.notices import NoticeKind

Status = Literal["collected", "pending", "sending", "delivered", "failed", "skipped"]
Destination = tuple[str, str]  # a channel, and whom or what it reaches there

OPENERS = ("trigger", "escalation")
#: Why planning itself takes a notice back that nobody has seen: it may come again under the same id.
WITHDRAWN = ("held", "silenced", "inhibited", "snoozed", "acked", "superseded", "episode_ended")
RETRY_DEAD = timedelta(days=1)  # what failed for good is tried anew, should nobody have heard by then
RETRY_MOVED = timedelta(minutes=1)  # a file was edited, or half edited: that says nothing about the channel
MOVED = ("channel_removed", "destination_changed", "recipient_left")


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery of an alert. `digest`: it goes, or went, as a line of a digest; `carried`: of one that is made."""

    id: str
    kind: NoticeKind
    sequence: int
    channel: str
    channel_type: str
    destination: str
    person: str | None
    status: Status
    created_at: datetime
    ambiguous: bool = False
    done_at: datetime | None = None
    reason: str | None = None
    severity: Severity | None = None  # which it tells
    why: str = ""
    digest: bool = False
    carried: bool = False

    @property
    def is_open(self) -> bool:
        """Its outcome is not known yet."""
        return self.status in ("collected", "pending", "sending")

    @property
    def can_be_withdrawn(self) -> bool:
        """It waits, and surely nobody has seen it."""
        return not self.ambiguous and (self.status == "pending" or (self.status == "collected" and not self.carried))

    @property
    def counts(self) -> bool:
        return self.status not in ("skipped", "failed")

    def told_at(self) -> datetime:
        return self.done_at or self.created_at


@dataclass(slots=True)
class Thread:
    """All deliveries of one alert to one destination, the oldest first."""

    destination: Destination
    told: list[Told] = field(default_factory=list)

    @property
    def opener(self) -> Told | None:
        """What opened it, or is about to; None where the destination knows nothing."""
        return next((t for t in self.told if t.kind in OPENERS and t.counts), None)

    @property
    def heard(self) -> Told | None:
        """What opened it, once that has arrived."""
        opener = self.opener
        return opener if opener is not None and opener.status == "delivered" else None

    @property
    def withdrawn(self) -> Told | None:
        """What would have opened it, had no gate shut meanwhile."""
        return next(
            (t for t in self.told if t.kind in OPENERS and t.status == "skipped" and t.reason in WITHDRAWN), None
        )

    @property
    def waits(self) -> bool:
        """Something is under way; what follows comes after it."""
        return any(t.is_open for t in self.told)

    @property
    def newest(self) -> Told | None:
        """The latest that told how things are, or tried to."""
        return max(
            (t for t in self.told if t.status != "skipped" and t.kind not in ("terminal", "digest")),
            key=lambda t: (t.told_at(), t.sequence),
            default=None,
        )

    def next_of(self, kind: NoticeKind) -> int:
        """The sequence of the next notice of a kind. A withdrawn one leaves its own free."""
        return 1 + sum(t.kind == kind and t.status != "skipped" for t in self.told)


def threads_of(told: Iterable[Told]) -> dict[Destination, Thread]:
    found: dict[Destination, Thread] = {}
    for one in sorted(told, key=lambda t: (t.created_at, t.id)):
        key = (one.channel, one.destination)
        found.setdefault(key, Thread(key)).told.append(one)
    return found


def tried(told: Iterable[Told], now: datetime) -> frozenset[Destination]:
    """Destinations that no opener reached, for good, within the last day."""
    dead = {
        (t.channel, t.destination)
        for t in told
        if t.kind in OPENERS
        and (t.status == "failed" or (t.status == "skipped" and t.reason not in WITHDRAWN))
        and now - t.told_at() < (RETRY_MOVED if t.reason in MOVED else RETRY_DEAD)
    }
    return frozenset(dead)
