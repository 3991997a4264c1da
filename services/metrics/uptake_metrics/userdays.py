"""User-days as columns: the shapes that table, book, windows and archive hand to each other. No state, no counting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

WINDOWS: Final = (1, 7, 30)  # days behind DAU, WAU and MAU, ascending
EPOCH_DAYS: Final = 64  # bits of a mask


@dataclass(frozen=True, slots=True)
class UserDays:
    """One row per (series, user hash, day), no row twice. Days are local days since 1970-01-01."""

    series: I32
    user: U64
    day: I32

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, slots=True)
class Masks:
    """One row per (series, epoch, user), sorted so, no row twice, no mask empty.

    Bit `day & 63` of `mask`: active on that day of the 64-day epoch `day >> 6`."""

    series: I32
    epoch: I32
    user: U64
    mask: U64

    def __len__(self) -> int:
        return len(self.mask)


@dataclass(frozen=True, slots=True)
class Counts:
    """Distinct users in the 1, 7 and 30 days that end on a day; whoever returns them says what the axes are."""

    dau: I32
    wau: I32
    mau: I32


def starts(*keys: npt.NDArray[np.generic]) -> I64:
    """Row numbers where a new key begins, in columns sorted by that key (cheaper than `np.unique`)."""
    new = np.zeros(len(keys[0]), dtype=np.bool_)
    new[:1] = True
    for column in keys:
        new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(new)


def distinct(series: I32, user: U64, day: I32) -> UserDays:
    order = np.lexsort((day, user, series))
    series, user, day = series[order], user[order], day[order]
    first = starts(series, user, day)
    return UserDays(series[first], user[first], day[first])


def day_bits(day: I32) -> U64:
    """The bit of each day in a mask."""
    return np.left_shift(np.uint64(1), (day & 63).astype(np.uint64))


def span_bits(first: int, last: int) -> np.uint64:
    """The bits of the days `first..last` (at most 64 of them; none when last < first)."""
    ones = (1 << max(0, last - first + 1)) - 1
    turn = first & 63
    return np.uint64((ones << turn | ones >> (EPOCH_DAYS - turn)) & (2**64 - 1))


def placed(column: I32, first: int, values: Sequence[int]) -> I32:
    """The column with these values from row `first` on. Its room doubles, so that a few at a time are cheap too."""
    end = first + len(values)
    if end > len(column):
        column = np.pad(column, (0, end))
    column[first:end] = values
    return column
