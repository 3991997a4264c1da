"""Usage batches of one shard, laid end to end: which events count, and which name no account. Pure; no I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Final, Self

import numpy as np

from uptake_metrics.activity import COUNTED_ACTOR, COUNTED_ENVIRONMENTS, PRODUCTION
from uptake_metrics.batches import HOUR_US, Batch, rows, split
from uptake_metrics.userdays import I64

#: The environment of events that are a sign of life only, whatever they name.
NOT_COUNTED: Final = ""


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
    """Events of one shard. `environments` is null while all are of production; `NOT_COUNTED` is a sign of life only.

    Texts are UTF-8, and read batch by batch: a column of them from end to end would not fit into the cache.
    """

    batches: list[Batch] = field(default_factory=list)  # of events that name an account
    environments: list[str] | None = None
    unattributed: list[Unattributed] = field(default_factory=list)
    unattributed_hours: Counter[int] = field(default_factory=Counter)
    not_counted: Counter[str] = field(default_factory=Counter)
    _size: int = 0

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> Self:
        columns = cls()
        for batch in batches:
            columns.append(batch)
        return columns

    def __len__(self) -> int:
        return self._size

    @property
    def accounts(self) -> Iterator[bytes]:
        return chain.from_iterable(split(batch.accounts_utf8) for batch in self.batches)

    @property
    def users(self) -> Iterator[bytes]:
        return chain.from_iterable(split(batch.users_utf8) for batch in self.batches)

    @property
    def features(self) -> Iterator[bytes]:
        return chain.from_iterable(split(batch.features_utf8) for batch in self.batches)

    @property
    def instants(self) -> I64:
        """Microseconds since 1970, UTC."""
        return np.concatenate([np.empty(0, np.int64), *(batch.instants for batch in self.batches)])

    @property
    def hours(self) -> list[tuple[int, int]]:
        """The hours in which the events were received, and how many of them in a row."""
        return [(batch.received_at // HOUR_US, len(batch)) for batch in self.batches]

    def append(self, batch: Batch) -> None:
        if batch.instances is not None and not all(split(batch.accounts_utf8)):
            batch = self._put_aside(batch)
        if batch.environments is not None or batch.actors is not None or self.environments is not None:
            self._append_environments(batch)
        self.batches.append(batch)
        self._size += len(batch)

    def _append_environments(self, batch: Batch) -> None:
        n, environments = len(batch), batch.environments
        if batch.actors is not None:
            named = zip(environments or repeat(PRODUCTION), batch.actors)  # noqa: B905  # `repeat` never ends
            environments = [environment if actor == COUNTED_ACTOR else NOT_COUNTED for environment, actor in named]
            self.not_counted["actor"] += n - batch.actors.count(COUNTED_ACTOR)
            n = batch.actors.count(COUNTED_ACTOR)
        if environments is not None:
            self.not_counted["environment"] += n - sum(map(environments.count, COUNTED_ENVIRONMENTS))
        if self.environments is None:
            self.environments = [PRODUCTION] * len(self)
        self.environments += environments or [PRODUCTION] * len(batch)

    def _put_aside(self, batch: Batch) -> Batch:
        """Keep the events without an account, and return the batch of the others."""
        nameless = [not account for account in split(batch.accounts_utf8)]
        aside = rows(batch, nameless)
        n = len(aside)
        self.unattributed_hours[batch.received_at // HOUR_US] += n
        self.unattributed += map(
            Unattributed,
            [str(instance) for instance in aside.instances or ()],
            aside.users,
            aside.features,
            aside.environments or [PRODUCTION] * n,
            aside.actors or [COUNTED_ACTOR] * n,
            aside.instants.tolist(),
        )
        return rows(batch, [not n for n in nameless])
