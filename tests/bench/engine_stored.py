"""The history as metrics stores it: the series and masks of each shard. Stores nothing itself."""

from dataclasses import dataclass

import numpy as np

from uptake import subjects
from uptake_metrics import archive
from uptake_metrics.series import SeriesKey
from uptake_metrics.shard import CONTACT_USER
from uptake_metrics.userdays import Masks, UserDays

from .engine_rows import FIRST_DAY, HISTORY_DAYS, Population

SHARDS = range(subjects.SHARDS)
DAYS = np.arange(FIRST_DAY, FIRST_DAY + HISTORY_DAYS, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Stored:
    """One shard: its accounts, two series for each (`keys`), and the masks of all of them."""

    accounts: list[str]
    masks: Masks

    @property
    def keys(self) -> list[SeriesKey]:
        return [
            key
            for name in self.accounts
            for key in (SeriesKey(name, "contact"), SeriesKey(name, "total", "production"))
        ]

    @property
    def zones(self) -> dict[str, str]:
        return dict.fromkeys(self.accounts, "UTC")


def stored(population: Population) -> list[Stored]:
    """By shard."""
    names = [f"account-{number:05}" for number in range(population.accounts)]
    shard_of = np.array([subjects.shard_of(name) for name in names])
    place = np.empty(population.accounts, np.int32)  # of each account, within its shard
    for shard in SHARDS:
        here = np.flatnonzero(shard_of == shard)
        place[here] = np.arange(len(here), dtype=np.int32)
    history = population.history
    of_row, found = shard_of[history.account], []
    for shard in SHARDS:
        accounts = [names[number] for number in np.flatnonzero(shard_of == shard)]
        rows = np.flatnonzero(of_row == shard)
        users = population.hashes[history.user[rows]]
        totals = UserDays(2 * place[history.account[rows]] + np.int32(1), users, history.day[rows])
        found.append(Stored(accounts, archive.fold(_with_contacts(totals, len(accounts)))))
    return found


def _with_contacts(totals: UserDays, accounts: int) -> UserDays:
    """And a sign of life on every day."""
    contacts = np.repeat(2 * np.arange(accounts, dtype=np.int32), len(DAYS))
    return UserDays(
        np.concatenate([contacts, totals.series]),
        np.concatenate([np.full(len(contacts), CONTACT_USER, np.uint64), totals.user]),
        np.concatenate([np.tile(DAYS, accounts), totals.day]),
    )
