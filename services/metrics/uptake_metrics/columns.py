"""Usage batches of one shard, laid end to end as columns. Pure; no counting, no I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import compress
from typing import Self

from uptake.messages.usage import UsageBatch
from uptake_metrics.activity import COUNTED_ACTOR, COUNTED_ENVIRONMENTS, PRODUCTION

#: No zone is on a day before 1970-01-01 then, so every local day has a number from 0 on.
FIRST_INSTANT_US = 86_400_000_000
#: An event of a local day that has begun nowhere on earth yet comes from a broken clock, and would empty the rings.
FUTURE_SLACK = timedelta(hours=14, minutes=10)


class ImpossibleBatch(ValueError):
    """JSON of the right shape that nobody can count: an instant out of time, a text that PostgreSQL cannot hold."""


def decoded(data: bytes, stored_at: datetime) -> UsageBatch:
    """The batch that USAGE took at `stored_at`; the same answer whenever it is read.

    Raises pydantic's ValidationError, or `ImpossibleBatch`.
    """
    batch = UsageBatch.model_validate_json(data)
    if not batch.instants:
        return batch
    latest_us = int((stored_at + FUTURE_SLACK).timestamp() * 1_000_000)
    if not FIRST_INSTANT_US <= min(batch.instants) <= max(batch.instants) <= latest_us:
        raise ImpossibleBatch(f"batch {batch.id}: an instant is before 1970-01-02, or long after it was stored")
    if b"\\u0000" in data and any("\0" in text for text in _texts(batch)):
        raise ImpossibleBatch(f"batch {batch.id}: an id holds a NUL character")
    if any(not account and not instance for account, instance in zip(batch.accounts, _instances(batch), strict=True)):
        raise ImpossibleBatch(f"batch {batch.id}: an event names neither an account nor an instance")
    return batch


Batch = UsageBatch


def decode_all(messages: Sequence[tuple[bytes, datetime]]) -> list[Batch | ValueError]:
    """The batch of each message, or why nobody can count it."""
    found: list[Batch | ValueError] = []
    for data, stored_at in messages:
        try:
            found.append(decoded(data, stored_at))
        except ValueError as error:
            found.append(error)
    return found


def _texts(batch: UsageBatch) -> Iterator[str]:
    columns = (batch.accounts, batch.users, batch.features, batch.environments, batch.actors, batch.instances)
    return (text for column in columns for text in column or () if text)


def _instances(batch: UsageBatch) -> Iterable[str | None]:
    return batch.instances or [None] * len(batch.accounts)


@dataclass(frozen=True, slots=True)
class Unattributed:
    """One event that names an instance and no account."""

    instance: str
    user: str
    feature: str
    environment: str
    actor: str
    instant_us: int


@dataclass(slots=True)
class Columns:
    """`n` events of one shard. `counted` is False where an event is a sign of life only (actor, environment)."""

    accounts: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    instants_us: list[int] = field(default_factory=list)
    environments: list[str] = field(default_factory=list)
    counted: list[bool] = field(default_factory=list)
    received: list[tuple[int, int]] = field(default_factory=list)  # of each batch: hour, events with an account
    unattributed: list[Unattributed] = field(default_factory=list)
    not_counted: Counter[str] = field(default_factory=Counter)
    nameless: Counter[int] = field(default_factory=Counter)  # events without an account, by hour

    @classmethod
    def of(cls, batches: Iterable[UsageBatch]) -> Self:
        columns = cls()
        for batch in batches:
            columns.append(batch)
        return columns

    def __len__(self) -> int:
        return len(self.accounts)

    def append(self, batch: UsageBatch) -> None:
        if batch.instances is not None:
            batch = self._put_aside(batch)
        n = len(batch.accounts)
        self.received.append((batch.received_at // 3_600_000_000, n))
        counted = [True] * n
        if batch.actors is not None:
            counted = self._only(counted, "actor", [actor == COUNTED_ACTOR for actor in batch.actors])
        if batch.environments is not None:
            counted = self._only(counted, "environment", [e in COUNTED_ENVIRONMENTS for e in batch.environments])
        self.accounts += batch.accounts
        self.users += batch.users
        self.features += batch.features
        self.instants_us += batch.instants
        self.environments += batch.environments or [PRODUCTION] * n
        self.counted += counted

    def _only(self, counted: list[bool], reason: str, allowed: list[bool]) -> list[bool]:
        self.not_counted[reason] += sum(c and not a for c, a in zip(counted, allowed, strict=True))
        return [c and a for c, a in zip(counted, allowed, strict=True)]

    def _put_aside(self, batch: UsageBatch) -> UsageBatch:
        """Keep the events without an account, and return the batch of the others."""
        nameless = [not account for account in batch.accounts]
        aside = rows(batch, nameless)
        n = len(aside.accounts)
        self.nameless[batch.received_at // 3_600_000_000] += n
        self.unattributed += map(
            Unattributed,
            [str(instance) for instance in aside.instances or ()],
            aside.users,
            aside.features,
            aside.environments or [PRODUCTION] * n,
            aside.actors or [COUNTED_ACTOR] * n,
            aside.instants,
        )
        return rows(batch, [not n for n in nameless])


def rows(batch: UsageBatch, wanted: list[bool]) -> UsageBatch:
    """The batch of those events that are wanted."""
    columns = ("accounts", "users", "features", "instants", "environments", "actors", "instances")
    update = {}
    for name in columns:
        column = getattr(batch, name)
        update[name] = None if column is None else list(compress(column, wanted))
    return batch.model_copy(update=update)
