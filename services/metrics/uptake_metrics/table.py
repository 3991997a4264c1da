"""The table (series, user) -> mask of 64 days: open addressing, whole batches at once. Knows no calendar, no counts.

A slot is found by the full pair, never by a mix of it, so no two users merge. Probing takes one round per collision
for the whole batch, by steps that grow and end as 1, so that every slot is visited. Any number of slots is possible: a
table is never much larger than what it holds. Slots are freed only when it is rebuilt: what no longer has a bit set is
left behind then.
"""

from itertools import chain, repeat
from math import ceil
from typing import Final

import numpy as np

from uptake_metrics.userdays import I32, I64, U64, starts

EMPTY: Final = np.int32(-1)  # in the series column, so that every user hash is legal
ABSENT: Final = -1
MAX_LOAD: Final = 0.7  # beyond it the number of rounds climbs
REBUILD_LOAD: Final = 0.52  # after a rebuild, so that the next one is far away
PASS: Final = 1 << 16  # rows a pass of a rebuild: what it needs beside the table stays small
SMALLEST: Final = 1 << 10
LONGEST_STEP: Final = 64  # by then a row has seen more slots than nearly any other ever needs


class Table:
    """Columns `series`, `user`, `mask` by slot. The owner writes `mask`; slot numbers hold until the next `claim`."""

    def __init__(self, users: int = 0) -> None:
        self._clear(users, MAX_LOAD)

    def _clear(self, users: int, load: float) -> None:
        slots = max(SMALLEST, ceil(users / load))
        self._used = 0
        self.series: I32 = np.full(slots, EMPTY, dtype=np.int32)
        self.user: U64 = np.zeros(slots, dtype=np.uint64)
        self.mask: U64 = np.zeros(slots, dtype=np.uint64)

    @property
    def nbytes(self) -> int:
        return self.series.nbytes + self.user.nbytes + self.mask.nbytes

    def live(self) -> I64:
        """Slots with at least one day."""
        return np.flatnonzero(self.mask)

    def find(self, series: I32, user: U64) -> I64:
        """The slot of each row, ABSENT where there is none."""
        return np.maximum(self.probe(series, user), ABSENT)

    def probe(self, series: I32, user: U64) -> I64:
        """The slot of each row; where there is none, `~` the free one at which the search ended: below 0."""
        slots = self._home(series, user)
        found = self.series.take(slots)
        rows = np.flatnonzero((found != series) | (self.user.take(slots) != user))
        at, found = slots.take(rows), found.take(rows)
        steps = chain(range(1, LONGEST_STEP), repeat(1))
        while len(rows):
            slots[rows] = ~at
            on = (found != EMPTY).nonzero()[0]
            rows, at = rows.take(on), at.take(on) + next(steps)
            at[at >= len(self.mask)] -= len(self.mask)
            slots[rows] = at
            found = self.series.take(at)
            other = ((found != series.take(rows)) | (self.user.take(at) != user.take(rows))).nonzero()[0]
            rows, at, found = rows.take(other), at.take(other), found.take(other)
        return slots

    def claim(self, series: I32, user: U64, slots: I64 | None = None) -> I64:
        """The slot of each row, taking new ones as needed; earlier slot numbers end here. Rows may repeat.

        `slots`: what `probe` says of them, if that is known."""
        slots = self.probe(series, user) if slots is None else slots
        new = np.flatnonzero(slots < 0)
        if (self._used + len(new)) / MAX_LOAD > len(self.mask):
            self._rebuild(len(new))
            slots = self.probe(series, user)
            new = np.flatnonzero(slots < 0)
        while len(new):
            at, of_series, of_user = ~slots.take(new), series.take(new), user.take(new)
            self._take(at, of_series, of_user)
            slots[new] = at
            new = new[(self.series.take(at) != of_series) | (self.user.take(at) != of_user)]
            slots[new] = self.probe(series.take(new), user.take(new))
            new = new[slots.take(new) < 0]
        return slots

    def _take(self, at: I64, series: I32, user: U64) -> None:
        """Rows that want the same free slot: the last one wins in both columns, the others have to see it."""
        self.series[at] = series
        self.user[at] = user
        self._used += len(starts(np.sort(at)))

    def _home(self, series: I32, user: U64) -> I64:
        mixed = user ^ series.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
        mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed >>= np.uint64(32)
        mixed *= np.uint64(len(self.mask))
        mixed >>= np.uint64(32)
        return mixed.view(np.int64)

    def _rebuild(self, wanted: int) -> None:
        live = self.live()
        series, user, mask = self.series[live], self.user[live], self.mask[live]
        self._clear(len(live) + wanted, REBUILD_LOAD)
        for at in range(0, len(live), PASS):
            part = slice(at, at + PASS)
            self.mask[self.claim(series[part], user[part])] = mask[part]
