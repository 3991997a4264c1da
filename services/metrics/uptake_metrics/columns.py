"""Usage batches of one shard, laid end to end; which of their events name no account. Judges none; pure, no I/O."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Self

import numpy as np

from uptake_metrics.activity import HUMAN, PRODUCTION
from uptake_metrics.batches import HOUR_US, Batch, rows, split
from uptake_metrics.userdays import I64

#: The hour of events that a rewritten message brings: those of the message that it stands for were booked.
IN_NO_BOOK: Final = -1


def _hour(batch: Batch) -> int:
    return IN_NO_BOOK if batch.rewrite_of else batch.received_at // HOUR_US


@dataclass(frozen=True, slots=True)
class Unattributed:
    """One event that names an instance and no account."""

    instance: str
    user: str
    feature: str
    environment: str
    actor: str
    instant_us: int
    import_id: str = ""


@dataclass(slots=True)
class Columns:
    """Events of one shard. `environments` is null while all are of production, `actors` while all are human.

    Texts are UTF-8, and read batch by batch: a column of them from end to end would not fit into the cache.
    """

    batches: list[Batch] = field(default_factory=list)  # of events that name an account
    environments: list[str] | None = None
    actors: list[str] | None = None
    unattributed: list[Unattributed] = field(default_factory=list)
    unattributed_hours: Counter[int] = field(default_factory=Counter)
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
        """The hours in which the events were received, and how many of them in a row; `IN_NO_BOOK` for a rewrite."""
        return [(_hour(batch), len(batch)) for batch in self.batches]

    def append(self, batch: Batch) -> None:
        if batch.instances is not None and not all(split(batch.accounts_utf8)):
            batch = self._put_aside(batch)
        self.environments = self._extended(self.environments, batch.environments, PRODUCTION, len(batch))
        self.actors = self._extended(self.actors, batch.actors, HUMAN, len(batch))
        self.batches.append(batch)
        self._size += len(batch)

    def _extended(self, column: list[str] | None, more: list[str] | None, default: str, n: int) -> list[str] | None:
        """Still null when all of it is the default."""
        if column is None and more is None:
            return None
        column = [default] * len(self) if column is None else column
        column += [default] * n if more is None else more
        return column

    def _put_aside(self, batch: Batch) -> Batch:
        """Keep the events without an account, and return the batch of the others."""
        nameless = [not account for account in split(batch.accounts_utf8)]
        aside = rows(batch, nameless)
        n = len(aside)
        self.unattributed_hours[_hour(batch)] += n
        self.unattributed += map(
            Unattributed,
            [str(instance) for instance in aside.instances or ()],
            aside.users,
            aside.features,
            aside.environments or [PRODUCTION] * n,
            aside.actors or [HUMAN] * n,
            aside.instants.tolist(),
            [batch.import_id or ""] * n,
        )
        return rows(batch, [not n for n in nameless])
