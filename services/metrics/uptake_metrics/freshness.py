"""Whether what is known of an account is fresh: when it was last heard of, and how long silence may last. Pure.

Source: the domain definition, "Telemetry tiers and silence": stale after 48 h where heartbeats exist, 5 days where only
user events do, 8 days for pings. All are elapsed hours, also over days of 23 and 25.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from uptake.messages.kpi import DataHealth
from uptake_metrics.zones import DAY, day_start

HEARTBEATS_LIMIT: Final = timedelta(hours=48)
EVENTS_LIMIT: Final = timedelta(days=5)
PINGS_LIMIT: Final = timedelta(days=8)
#: A kind of message exists for an account while one of it came in so many days: an installation that was taken down
#: years ago must not hold its successor to its own rhythm.
EXISTS_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest instant of each kind before the end of a day, in UTC; null when there never was one.

    Of user events only the local day is stored: `event` is the last instant of that day, so that silence is told once
    it is certain.
    """

    event: datetime | None = None
    heartbeat: datetime | None = None
    ping: datetime | None = None

    @property
    def newest(self) -> datetime | None:
        return max((at for at in (self.event, self.heartbeat, self.ping) if at), default=None)


def limit(heard: Heard, end: datetime) -> timedelta:
    """How long the account may be silent before `end`."""

    def exists(at: datetime | None) -> bool:
        return at is not None and end - at <= EXISTS_FOR

    if exists(heard.heartbeat):
        return HEARTBEATS_LIMIT
    return PINGS_LIMIT if exists(heard.ping) else EVENTS_LIMIT


def judged_at(as_of: date, zone: str, now: datetime) -> datetime:
    """The end of the local day, in UTC; `now` while it is not over."""
    return min(now.astimezone(UTC), day_start(as_of + DAY, zone))


def events_are_fresh(heard: Heard, end: datetime) -> bool:
    """Whether the events alone would be fresh: by the rule for accounts of which nothing else ever came."""
    return data_health(Heard(event=heard.event), end) == "fresh"


def turns_at(heard: Heard, at: datetime) -> datetime | None:
    """The next instant after which health may be judged otherwise though nothing more is heard; null: never again."""
    kinds = [one for one in (heard.event, heard.heartbeat, heard.ping) if one]
    limits = (HEARTBEATS_LIMIT, EVENTS_LIMIT, PINGS_LIMIT, EXISTS_FOR)
    return min((turn for one in kinds for limit in limits if (turn := one + limit) >= at), default=None)


def data_health(heard: Heard, end: datetime) -> DataHealth:
    """Judged at `end`, in UTC; what came later is known already and makes it fresh."""
    if heard.newest is None:
        return "none"
    return "stale" if end - heard.newest > limit(heard, end) else "fresh"
