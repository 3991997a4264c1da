"""Usage batches of one shard, laid end to end as columns. Pure; no counting, no I/O."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress
from typing import Self

from uptake.messages.usage import UsageBatch
from uptake_metrics.activity import COUNTED_ACTOR, COUNTED_ENVIRONMENTS, PRODUCTION


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
    unattributed: list[Unattributed] = field(default_factory=list)
    not_counted: Counter[str] = field(default_factory=Counter)

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
