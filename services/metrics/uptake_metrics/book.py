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

from collections.abc import Iterator
from typing import Final

import numpy as np

from uptake_metrics.userdays import EPOCH_DAYS, I32, U64, WINDOWS

ROWS: Final = 2 * EPOCH_DAYS  # the ring's days and as many ahead, where what is active today expires
PASS: Final = 1 << 14  # masks a pass, so that the intermediate columns stay in the cache
SMALLEST_ROOM: Final = 64


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
        was_is = zip(WINDOWS, _edges(before), _edges(after), strict=True)
        for plane, (window, (was_first, was_last), (is_first, is_last)) in enumerate(was_is):
            self._book(plane, 0, column, is_first & ~was_first, 1)
            self._book(plane, 0, column, was_first & ~is_first, -1)
            self._book(plane, window, column, is_last & ~was_last, -1)
            self._book(plane, window, column, was_last & ~is_last, 1)

    def _book(self, plane: int, delay: int, column: I32, days: U64, sign: int) -> None:
        """Add `sign` at every day set in `days`, `delay` rows later. One round per day of the busiest mask."""
        room = self._base.shape[1]
        flat = self._rows.reshape(-1)
        origin = (plane * ROWS + delay) * room
        some = np.flatnonzero(days)
        while len(some):
            days, column = days.take(some), column.take(some)
            below = days - np.uint64(1)
            row = np.bitwise_count(~days & below).astype(np.int64)  # number of the lowest set bit
            np.add.at(flat, row * room + column + origin, np.int32(sign))  # a plain 1 would be 25 times slower
            days = days & below
            some = np.flatnonzero(days)

    def levels(self, first: int, last: int, columns: int | slice) -> I32:
        """[window, day, columns] on the days of rows `first..last`; one column by number has no axis."""
        before: I32 = self._base[:, columns] + self._rows[:, :first, columns].sum(axis=1, dtype=np.int32)
        run: I32 = self._rows[:, first : last + 1, columns].cumsum(axis=1, dtype=np.int32)
        return before[:, None] + run


def _edges(mask: U64) -> Iterator[tuple[U64, U64]]:
    """For each window: the active days that begin a stay, and those that end one."""
    earlier, later, reach = mask << np.uint64(1), mask >> np.uint64(1), 1
    for window in WINDOWS:
        while reach < window:
            step = min(reach, window - reach)
            earlier |= earlier << np.uint64(step)
            later |= later >> np.uint64(step)
            reach += step
        yield mask & ~earlier, mask & ~later
