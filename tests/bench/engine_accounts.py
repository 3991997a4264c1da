"""What an event costs with 20,000 accounts and with 200, decoded and counted, of equally many events. No I/O."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import NamedTuple

import msgspec
import numpy as np

from uptake import subjects
from uptake_metrics.batches import decode_all
from uptake_metrics.columns import Columns
from uptake_metrics.shard import Shard

from .frame import Contestant, Measure, Size

NAMES = ("cost_per_event",)
MANY, FEW = 20_000, 200
AT_LEAST = 1 / 1.3
FEATURES = ("edit", "view", "share", "export", "comment")
FRONT, DAYS = 20_029, 3  # the front, and how many days the events are of
MESSAGE, CHECKPOINT = 100, 200  # events in a message of USAGE, messages in a checkpoint
STORED_AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=FRONT, hours=12)

Messages = list[tuple[int, bytes]]  # shard, data


class Scale(NamedTuple):
    events: int
    users: int


SCALES = {Size.SMALL: Scale(60_000, 40_000), Size.FULL: Scale(400_000, 200_000)}


def measures(size: Size) -> Iterator[Measure]:
    many, few = Case(MANY, SCALES[size]), Case(FEW, SCALES[size])
    yield Measure(
        NAMES[0],
        "cost of an event, 20,000 accounts",
        "us",
        False,
        Contestant("uptake", many.run),
        (Contestant("uptake, 200 accounts", few.run, AT_LEAST),),
    )


class Case:
    """The shards of one process that have met every account, feature and user before the clock starts."""

    def __init__(self, accounts: int, scale: Scale) -> None:
        self.accounts, self.scale = accounts, scale
        self.names = [f"account-{number:05}" for number in range(accounts)]
        self.users = [f"user-{number:07}" for number in range(scale.users)]
        self.shard_of = [subjects.shard_of(name) for name in self.names]
        self.shards = [Shard(number, FRONT) for number in range(subjects.SHARDS)]
        self._random = np.random.default_rng(accounts)
        pairs = list(product(range(accounts), range(len(FEATURES))))
        self._take(self._messages([account for account, _ in pairs], [feature for _, feature in pairs]))
        self._take(self._some())

    def run(self) -> float:
        messages = self._some()
        began = time.perf_counter()
        self._take(messages)
        return (time.perf_counter() - began) / self.scale.events * 1e6

    def _some(self) -> Messages:
        """A user always works in one account."""
        users = self._random.integers(0, self.scale.users, self.scale.events)
        features = self._random.integers(0, len(FEATURES), len(users))
        return self._messages((users % self.accounts).tolist(), features.tolist(), users.tolist())

    def _messages(
        self, accounts: Sequence[int], features: Sequence[int], users: Sequence[int] | None = None
    ) -> Messages:
        """In order of arrival within each shard, and the shards in turn."""
        users = users or accounts
        of_shard: list[list[int]] = [[] for _ in self.shards]
        for row, account in enumerate(accounts):
            of_shard[self.shard_of[account]].append(row)
        days = self._random.integers(FRONT - DAYS + 1, FRONT, len(accounts)).tolist()
        found: list[tuple[int, int, bytes]] = []
        for shard, rows in enumerate(of_shard):
            for at in range(0, len(rows), MESSAGE):
                part = rows[at : at + MESSAGE]
                found.append((at, shard, self._message(part, accounts, users, features, days)))
        return [(shard, data) for _, shard, data in sorted(found)]

    def _message(
        self, rows: list[int], accounts: Sequence[int], users: Sequence[int], features: Sequence[int], days: list[int]
    ) -> bytes:
        return msgspec.json.encode(
            {
                "id": f"{rows[0]:032x}",
                "source": "bench",
                "received_at": int(STORED_AT.timestamp() * 1e6),
                "accounts": [self.names[accounts[row]] for row in rows],
                "users": [self.users[users[row]] for row in rows],
                "features": [FEATURES[features[row]] for row in rows],
                "instants": [days[row] * 86_400_000_000 + row for row in rows],
            }
        )

    def _take(self, messages: Messages) -> None:
        for at in range(0, len(messages), CHECKPOINT):
            part = messages[at : at + CHECKPOINT]
            of_shard: dict[int, list[bytes]] = {}
            for shard, data in part:
                of_shard.setdefault(shard, []).append(data)
            for shard, datas in of_shard.items():
                batches = []
                for batch in decode_all([(data, STORED_AT) for data in datas]):
                    if isinstance(batch, ValueError):
                        raise batch
                    batches.append(batch)
                change = self.shards[shard].absorb(Columns.of(batches), lambda _: "UTC")
                self.shards[shard].settle(change)
