"""Accepted usage gathers into whole batches, as columns. Pure: when a batch leaves is decided elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from uptake.messages.events import Usage
from uptake.messages.usage import MAX_BATCH_EVENTS, UsageBatch
from uptake.subjects import shard_of

MAX_BATCH_BYTES = 256 * 1024  # of JSON as received: far under the broker's 1 MiB, whatever the columns make of it

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lane:
    """What the events of one batch have in common."""

    shard: int
    source: str
    import_id: str | None = None


def lane_of(event: Usage, source: str, import_id: str | None = None) -> Lane:
    return Lane(shard_of(event.account or event.instance or ""), source, import_id)


def microseconds(instant: datetime) -> int:
    """Since 1970, UTC; exact, which a float of seconds is not."""
    return (instant - _EPOCH) // _MICROSECOND


@dataclass(slots=True)
class Draft:
    """A batch that is still open: plain columns, no event objects that the garbage collector would walk."""

    lane: Lane
    accounts: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    instants: list[int] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    actors: list[str] = field(default_factory=list)
    instances: list[str | None] = field(default_factory=list)
    properties: list[dict[str, float]] = field(default_factory=list)
    size: int = 0

    def add(self, event: Usage, size: int) -> None:
        """`size` is the event's JSON as received, in bytes."""
        self.accounts.append(event.account or "")
        self.users.append(event.user)
        self.features.append(event.feature)
        self.instants.append(microseconds(event.occurred_at))
        self.environments.append(event.environment)
        self.actors.append(event.actor)
        self.instances.append(event.instance)
        self.properties.append(event.properties)
        self.size += size

    def takes(self, size: int) -> bool:
        return len(self.accounts) < MAX_BATCH_EVENTS and self.size + size <= MAX_BATCH_BYTES

    @property
    def full(self) -> bool:
        return not self.takes(0)

    def close(self, batch_id: str, received_at: datetime) -> UsageBatch:
        return UsageBatch(
            id=batch_id,
            source=self.lane.source,
            received_at=microseconds(received_at),
            import_id=self.lane.import_id,
            accounts=self.accounts,
            users=self.users,
            features=self.features,
            instants=self.instants,
            environments=_unless_all(self.environments, "production"),
            actors=_unless_all(self.actors, "human"),
            instances=_unless_all(self.instances, None),
            properties=_unless_all(self.properties, {}),
        )


def _unless_all(column: Sequence[T], default: T) -> list[T] | None:
    return None if all(value == default for value in column) else list(column)
