"""Ours as a contestant of the engine: one ring that counts every account in memory, fed with columns."""

import numpy as np

from uptake_metrics import archive
from uptake_metrics.userdays import Masks, UserDays
from uptake_metrics.windows import Activity, Fresh

from .engine_rows import HISTORY_DAYS, Population, Rows


class Ours:
    """A shard's `Activity` with all accounts in it; an account has one series, its total, with the account's number."""

    name = "uptake"

    def __init__(self, population: Population, front: int) -> None:
        self._population = population
        self.activity = Activity(front)
        self.activity.grow(np.ones(population.accounts, np.bool_))

    def load(self, rows: Rows) -> None:
        """From stored masks, as after a restart."""
        self.activity.load(self.masks(rows))
        self.activity.rebook()

    def masks(self, rows: Rows) -> Masks:
        return archive.fold(self._columns(rows))

    def prepare(self, rows: Rows) -> list[UserDays]:
        return [self._columns(batch) for batch in rows.batches()]

    def _columns(self, rows: Rows) -> UserDays:
        return UserDays(rows.account, self._population.hashes[rows.user], rows.day)

    def update(self, batches: list[UserDays]) -> None:
        for batch in batches:
            self.add(batch)

    def add(self, batch: UserDays) -> Fresh:
        self.activity.advance(int(batch.day.max()))
        return self.activity.add(batch.series, batch.user, batch.day)

    def counts(self, account: int, day: int) -> tuple[int, int, int]:
        found = self.activity.history(account, day, day)
        return int(found.dau[0]), int(found.wau[0]), int(found.mau[0])

    def mau(self, day: int) -> int:
        """Of every account; returns their sum."""
        return int(self.activity.counts(day).mau.sum())

    def history(self, day: int) -> int:
        """DAU, WAU and MAU of every account on each of the 30 days that end on `day`; returns the sum of MAU."""
        days = range(day - HISTORY_DAYS + 1, day + 1)
        return int(sum(self.activity.counts(one).mau.sum() for one in days))
