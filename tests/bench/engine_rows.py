"""Seeded activity as columns, for every contestant of the engine alike, and what a plain recount makes of it.

A user is a number here. Ours gets a 64-bit hash of it, as of any id; ClickHouse, DuckDB and PostgreSQL get the dense
number, which suits them best and which somebody would have to keep for them; Redis gets the id as producers send it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from .frame import Size

U32 = npt.NDArray[np.uint32]
I32 = npt.NDArray[np.int32]
U64 = npt.NDArray[np.uint64]

SEED = 20_260_801
FIRST_DAY = 20_000  # days since 1970
HISTORY_DAYS = 30
BATCH = 50_000
EVENTS_A_DAY = 3.0  # of a user who is active at all that day
LATE, LATEST_DAYS = 0.05, 20
REPEATED = 0.05
NEW_TODAY = 0.02  # of the events of a steady slice: users who were not active yet that day
WINDOWS = (1, 7, 30)


class Scale(NamedTuple):
    users: int
    accounts: int


SCALES = {Size.SMALL: Scale(100_000, 200), Size.FULL: Scale(1_000_000, 2_000)}


@dataclass(frozen=True, slots=True)
class Rows:
    """Events: who was active in which account on which local day. May repeat."""

    account: I32
    user: U32
    day: I32

    def __len__(self) -> int:
        return len(self.day)

    def batches(self, size: int = BATCH) -> Iterator["Rows"]:
        for at in range(0, len(self), size):
            part = slice(at, at + size)
            yield Rows(self.account[part], self.user[part], self.day[part])


class Population:
    """The users and their accounts. Accounts differ in size, and users in how often they come."""

    def __init__(self, scale: Scale, seed: int = SEED) -> None:
        random = np.random.default_rng(seed)
        self.users, self.accounts = scale
        share = random.lognormal(size=scale.accounts)
        self.owner = random.choice(scale.accounts, scale.users, p=share / share.sum()).astype(np.int32)
        self.eagerness = random.beta(1, 2, scale.users)  # active on every third day in the mean

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:
        """As producers send them."""
        return np.array([b"user-%07d" % number for number in range(self.users)], np.object_)

    @cached_property
    def hashes(self) -> U64:
        return np.fromiter(map(xxhash.xxh3_64_intdigest, self.ids.tolist()), np.uint64, self.users)

    def day(self, day: int) -> Rows:
        """Everything that arrives on a day: some of it is about an earlier day, and some of it comes twice."""
        random = np.random.default_rng([SEED, day])
        active = np.flatnonzero(random.random(self.users) < self.eagerness).astype(np.uint32)
        user = np.repeat(active, 1 + random.poisson(EVENTS_A_DAY - 1, len(active)))
        days = np.full(len(user), day, np.int32)
        late = random.random(len(user)) < LATE
        days[late] -= random.integers(1, LATEST_DAYS + 1, int(late.sum())).astype(np.int32)
        order = random.permutation(np.concatenate([np.arange(len(user)), _some(random, len(user), REPEATED)]))
        return Rows(self.owner[user[order]], user[order], days[order])

    def steady(self, day: int, number: int) -> Rows:
        """As much again of a day on which most of today's users have been seen already: they go on working."""
        random = np.random.default_rng([SEED, day, number])
        seen = self.day(day)
        chosen = random.integers(0, len(seen), len(seen))
        user, days = seen.user[chosen], seen.day[chosen]
        new = _some(random, len(user), NEW_TODAY)
        user[new] = random.integers(0, self.users, len(new)).astype(np.uint32)
        return Rows(self.owner[user], user, days)

    @cached_property
    def history(self) -> Rows:
        """The distinct user-days of the first `HISTORY_DAYS` days, by day and account."""
        by_account = np.argsort(self.owner, kind="stable").astype(np.uint32)
        random = np.random.default_rng([SEED, 0])
        users = [by_account[random.random(self.users) < self.eagerness[by_account]] for _ in range(HISTORY_DAYS)]
        days = np.arange(FIRST_DAY, FIRST_DAY + HISTORY_DAYS, dtype=np.int32)
        user = np.concatenate(users)
        return Rows(self.owner[user], user, np.repeat(days, [len(each) for each in users]))


def _some(random: np.random.Generator, of: int, share: float) -> npt.NDArray[np.int64]:
    return random.integers(0, of, int(of * share))


class Recount:
    """The users of a few accounts in plain sets: nothing in common with the engine."""

    def __init__(self, population: Population, accounts: int = 12) -> None:
        chosen = np.random.default_rng(SEED).choice(population.accounts, accounts, replace=False)
        self.accounts = sorted(chosen.tolist())
        self._seen: dict[int, set[tuple[int, int]]] = {account: set() for account in self.accounts}

    def add(self, rows: Rows) -> None:
        here = np.flatnonzero(np.isin(rows.account, self.accounts))
        columns = (rows.account[here].tolist(), rows.user[here].tolist(), rows.day[here].tolist())
        for account, user, day in zip(*columns, strict=True):
            self._seen[account].add((user, day))

    def counts(self, day: int) -> list[tuple[int, int, int]]:
        return [self._counts(self._seen[account], day) for account in self.accounts]

    @staticmethod
    def _counts(seen: Iterable[tuple[int, int]], day: int) -> tuple[int, int, int]:
        dau, wau, mau = (len({user for user, on in seen if day - window < on <= day}) for window in WINDOWS)
        return dau, wau, mau
