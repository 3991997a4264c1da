"""The table (series, user) -> mask of 64 days: open addressing, whole batches at once. Knows no calendar, no counts.

A slot is found by the full pair, never by a mix of it, so no two users merge. Probing takes one round per collision
for the whole batch; triangular steps visit every slot of a power of two. Slots are freed only when the table is
rebuilt: what no longer has a bit set is left behind then.
"""

from typing import Final

import numpy as np

from uptake_metrics.userdays import I32, I64, U64, Flags, starts

EMPTY: Final = np.int32(-1)  # in the series column, so that every user hash is legal
ABSENT: Final = -1
MAX_LOAD: Final = 0.6  # beyond it the number of rounds climbs
REBUILD_LOAD: Final = 0.45  # at most this after a rebuild, so that the next one is far away
SMALLEST_BITS: Final = 10


class Table:
    """Columns `series`, `user`, `mask` by slot. The owner writes `mask`; slot numbers hold until the next `claim`."""

    def __init__(self, users: int = 0) -> None:
        self._clear(_bits_for(users, MAX_LOAD))

    def _clear(self, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        self._last_slot = (1 << bits) - 1
        self._used = 0
        self.series: I32 = np.full(1 << bits, EMPTY, dtype=np.int32)
        self.user: U64 = np.zeros(1 << bits, dtype=np.uint64)
        self.mask: U64 = np.zeros(1 << bits, dtype=np.uint64)

    @property
    def nbytes(self) -> int:
        return self.series.nbytes + self.user.nbytes + self.mask.nbytes

    def live(self) -> I64:
        """Slots with at least one day."""
        return np.flatnonzero(self.mask)

    def find(self, series: I32, user: U64) -> I64:
        """The slot of each row, ABSENT where there is none. Most are found at home, or a free slot is."""
        slots = self._home(series, user)
        rows = np.flatnonzero((self.series.take(slots) != series) | (self.user.take(slots) != user))
        step = 0
        while len(rows):
            at = slots.take(rows)
            on = np.flatnonzero(self.series.take(at) != EMPTY)
            slots[rows] = ABSENT
            step += 1
            rows, at = rows.take(on), (at.take(on) + step) & self._last_slot
            slots[rows] = at
            other = (self.series.take(at) != series.take(rows)) | (self.user.take(at) != user.take(rows))
            rows = rows[other]
        return slots

    def claim(self, series: I32, user: U64, slots: I64 | None = None) -> I64:
        """The slot of each row, taking new ones as needed; earlier slot numbers end here. Rows may repeat.

        `slots`: what `find` says of them, if that is known."""
        slots = self.find(series, user) if slots is None else slots
        missing = np.flatnonzero(slots == ABSENT)
        if not len(missing):
            return slots
        if self._used + len(missing) > MAX_LOAD * len(self.mask):
            self._rebuild(len(missing))
            slots = self.find(series, user)
            missing = np.flatnonzero(slots == ABSENT)
        slots[missing] = self._fill(series[missing], user[missing])
        return slots

    def _fill(self, series: I32, user: U64) -> I64:
        """The slots of rows that had none; rows may repeat."""
        at = self._home(series, user)
        slots = np.empty(len(at), dtype=np.int64)
        rows = np.arange(len(at))
        step = 0
        while len(rows):
            free = self.series.take(at) == EMPTY
            if free.any():
                self._take(at[free], series[free], user[free])
            hit: Flags = (self.series.take(at) == series) & (self.user.take(at) == user)
            slots[rows[hit]] = at[hit]
            more = np.flatnonzero(~hit)
            step += 1
            rows, series, user = rows.take(more), series.take(more), user.take(more)
            at = (at.take(more) + step) & self._last_slot
        return slots

    def _take(self, at: I64, series: I32, user: U64) -> None:
        """Rows that want the same free slot: the last one wins in both columns, the others see it and probe on."""
        self.series[at] = series
        self.user[at] = user
        self._used += len(starts(np.sort(at)))

    def _home(self, series: I32, user: U64) -> I64:
        mixed = user ^ series.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
        mixed ^= mixed >> np.uint64(32)
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        mixed >>= self._shift
        return mixed.view(np.int64)

    def _rebuild(self, wanted: int) -> None:
        live = self.live()
        series, user, mask = self.series[live], self.user[live], self.mask[live]
        self._clear(_bits_for(len(live) + wanted, REBUILD_LOAD))
        self.mask[self._fill(series, user)] = mask


def _bits_for(users: int, load: float) -> int:
    bits = SMALLEST_BITS
    while users > load * (1 << bits):
        bits += 1
    return bits
