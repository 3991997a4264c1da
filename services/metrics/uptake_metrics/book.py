"""The book: how many users each window holds on each day, kept as differences. Knows masks and columns, no users.

One user, a window of 3 days, active on days a, b and e. They count from an active day until 3 days after it:

    day       a  b  c  d  e  f  g  h  i
    active    x  x  .  .  x  .  .  .  .
    counted   1  1  1  1  1  1  1  0  0
    booked   +1                   -1        +1 where a stay begins, -1 where it has expired

A stay begins on an active day with none in the 3 days before it. Its last active day has none in the 3 days after it,
and 3 days after that it has expired. The expiry is booked together with the day: nothing runs at midnight. A change
of a mask books the difference between its edges before and after, so days come and go in any order, several at once.

The level on day D depends on the days (D - window, D] alone. So the ring may forget its oldest days in the masks: they
are then missing in `before` and in `after`, and cancel out for every D whose window still lies in the ring.
"""

from typing import Final

import numpy as np

from uptake_metrics.userdays import EPOCH_DAYS, I32, U64, WINDOWS

ROWS: Final = 2 * EPOCH_DAYS  # the ring's days and as many ahead, where what is active today expires
PASS: Final = 1 << 12  # masks a pass, so that the intermediate columns stay in the cache
SMALLEST_ROOM: Final = 64
#: By kind of edge, which are two for each window, the first and the last day of a stay: the row that its first day has,
#: from window to window, and what is added there.
_ORIGINS: Final = np.array([plane * ROWS + delay for plane, window in enumerate(WINDOWS) for delay in (0, window)])
_SIGNS: Final = np.array([1, -1] * len(WINDOWS), dtype=np.int32)


class Book:
    """Differences by window, day (row 0 is the ring's oldest day) and column. Masks are aligned to it: bit k, row k."""

    def __init__(self) -> None:
        self.columns = 0
        self._rows: I32 = np.zeros((len(WINDOWS), ROWS, 0), dtype=np.int32)
        self._base: I32 = np.zeros((len(WINDOWS), 0), dtype=np.int32)

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._base.nbytes

    def grow(self, columns: int) -> None:
        """Have `columns` columns. The room doubles, so that one at a time is cheap too."""
        self.columns = columns
        room = self._base.shape[1]
        if columns > room:
            more = max(SMALLEST_ROOM, 2 * room, columns) - room
            self._rows = np.pad(self._rows, ((0, 0), (0, 0), (0, more)))
            self._base = np.pad(self._base, ((0, 0), (0, more)))

    def clear(self) -> None:
        self._rows[:] = 0
        self._base[:] = 0

    def advance(self, days: int) -> None:
        """Move the rows on: the oldest ones fold into the base."""
        days = min(days, ROWS)
        self._base += self._rows[:, :days].sum(axis=1, dtype=np.int32)
        self._rows[:, : ROWS - days] = self._rows[:, days:]
        self._rows[:, ROWS - days :] = 0

    def change(self, column: I32, before: U64, after: U64) -> None:
        """Book that the masks of users in `column` (which may repeat) were `before` and are `after`."""
        for at in range(0, len(column), PASS):
            part = slice(at, at + PASS)
            self._change(column[part], before[part], after[part])

    def _change(self, column: I32, before: U64, after: U64) -> None:
        was, now = _edges(before), _edges(after)
        self._book(now & ~was, column, 1)
        self._book(was & ~now, column, -1)

    def _book(self, edges: U64, column: I32, sign: int) -> None:
        """Book every day set in `edges` [kind of edge, mask]. One round per day of the busiest mask."""
        flat, room = self._rows.reshape(-1), self._base.shape[1]
        days = edges.reshape(-1)
        some = np.flatnonzero(days)
        kind, mask = np.divmod(some, max(1, len(column)))
        days, origin, signs = days.take(some), _ORIGINS.take(kind) * room + column.take(mask), _SIGNS.take(kind) * sign
        while len(days):
            below = days - np.uint64(1)
            row = np.bitwise_count(~days & below).astype(np.int64)  # number of the lowest set bit
            np.add.at(flat, row * room + origin, signs)  # of the same type, or it would be 25 times slower
            days = days & below
            some = np.flatnonzero(days)
            days, origin, signs = days.take(some), origin.take(some), signs.take(some)

    def levels(self, first: int, last: int, columns: int | slice) -> I32:
        """[window, day, columns] on the days of rows `first..last`; one column by number has no axis."""
        before: I32 = self._base[:, columns] + self._rows[:, :first, columns].sum(axis=1, dtype=np.int32)
        run: I32 = self._rows[:, first : last + 1, columns].cumsum(axis=1, dtype=np.int32)
        return before[:, None] + run


def _edges(mask: U64) -> U64:
    """[kind, mask], two for each window: the active days that begin a stay, and those that end one."""
    edges = np.empty((2 * len(WINDOWS), len(mask)), np.uint64)
    earlier, later, reach = mask << np.uint64(1), mask >> np.uint64(1), 1
    for plane, window in enumerate(WINDOWS):
        while reach < window:
            step = min(reach, window - reach)
            earlier |= earlier << np.uint64(step)
            later |= later >> np.uint64(step)
            reach += step
        edges[2 * plane] = mask & ~earlier
        edges[2 * plane + 1] = mask & ~later
    return edges
