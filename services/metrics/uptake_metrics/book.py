"""The book: how many users each window holds on each day, kept as differences. Knows masks and columns, no users.

One user, a window of 3 days, active on days a, b and e. They count from an active day until 3 days after it:

    day       a  b  c  d  e  f  g  h  i
    active    x  x  .  .  x  .  .  .  .
    counted   1  1  1  1  1  1  1  0  0
    booked   +1                   -1        +1 where a stay begins, -1 where it has expired

A stay begins on an active day with none in the 3 days before it. Its last active day has none in the 3 days after it,
and 3 days after that it has expired. The expiry is booked together with the day: nothing runs at midnight.

Whole masks are booked by these edges (`add`), single days by what they change (`flip`): a day d between the active days
p < d < n counts from max(d, p + window) until min(d + window, n). So days come and go in any order, several at once.

The level on day D depends on the days (D - window, D] alone. So the ring may forget its oldest days in the masks: they
are then missing in `before` and in `after`, and cancel out for every D whose window still lies in the ring.
"""

from typing import Final

import numpy as np

from uptake_metrics.userdays import EPOCH_DAYS, I32, I64, U64, WINDOWS

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

    def add(self, column: I32, mask: U64) -> None:
        """Book users whose masks were empty and are `mask` now; `column` may repeat."""
        for at in range(0, len(column), PASS):
            part = slice(at, at + PASS)
            self._add(column[part], mask[part])

    def _add(self, column: I32, mask: U64) -> None:
        """Every edge of the masks. One round per edge of the busiest one."""
        flat, room = self._rows.reshape(-1), self._base.shape[1]
        days = _edges(mask).reshape(-1)
        some = np.flatnonzero(days)
        kind, owner = np.divmod(some, max(1, len(column)))
        days, origin, signs = days.take(some), _ORIGINS.take(kind) * room + column.take(owner), _SIGNS.take(kind)
        while len(days):
            below = days - np.uint64(1)
            row = np.bitwise_count(~days & below).astype(np.int64)  # number of the lowest set bit
            np.add.at(flat, row * room + origin, signs)  # of the same type, or it would be 25 times slower
            days = days & below
            some = np.flatnonzero(days)
            days, origin, signs = days.take(some), origin.take(some), signs.take(some)

    def flip(self, column: I32, row: I64, full: U64, rest: U64, sign: int) -> None:
        """Book one day per row, in the mask `full` of its user and not in `rest`: added (`sign` 1) or removed (-1).

        Several days of one user are so many rows with the same masks: as if added one by one, the oldest first."""
        for at in range(0, len(column), PASS):
            part = slice(at, at + PASS)
            self._flip(column[part], row[part], full[part], rest[part], np.int32(sign))

    def _flip(self, column: I32, row: I64, full: U64, rest: U64, sign: np.int32) -> None:
        """In each window, a day adds what no earlier active day covers, until the next one covers it as well."""
        flat, room = self._rows.reshape(-1), self._base.shape[1]
        shift = row.astype(np.uint64)
        earlier = full << np.uint64(1) << np.uint64(63) - shift  # the day before is the highest bit
        later = rest >> shift >> np.uint64(1)  # the day after is the lowest bit
        # By the widest window's reach: the days that the one before covers from here on, 0 if none does.
        covered = np.frexp((earlier >> np.uint64(65 - WINDOWS[-1])).astype(np.float64))[1].astype(np.int64)
        alone = np.bitwise_count(~later & (later - np.uint64(1))).astype(np.int64) + 1
        cell = row * room + column
        for plane, window in enumerate(WINDOWS):
            begin = np.maximum(covered - (WINDOWS[-1] - window), 0)
            end = np.maximum(np.minimum(alone, window), begin)
            origin = cell + plane * ROWS * room
            np.add.at(flat, origin + begin * room, sign)
            np.subtract.at(flat, origin + end * room, sign)

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
