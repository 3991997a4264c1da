"""Rolling windows of one shard: who was active when, and exact DAU, WAU and MAU at once. Pure: no I/O, no clock.

The 64 days up to the front (the newest local day there is) are a ring: one mask per (series, user), bit `day & 63`.
Most events find their bit set and end there. A fresh user-day sets it, and changes the book of its series (see `book`),
where any day's counts are a prefix sum. Everything is a set: order, repeats and batches cannot matter.

    day     front-63 ........... front-34 ......... front ....................... front+64
    masks   |------------------ held -----------------|
    MAU                             |-------------- exact, expiry booked ahead ----------|
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from uptake_metrics.book import Book
from uptake_metrics.table import ABSENT, Table
from uptake_metrics.userdays import (
    EPOCH_DAYS,
    I32,
    I64,
    U64,
    WINDOWS,
    Counts,
    Flags,
    Masks,
    UserDays,
    day_bits,
    distinct,
    span_bits,
    starts,
)

NOT_BOOKED: Final = -1
PASS: Final = 1 << 14  # masks a pass of `load`, which keeps what it needs beside the table small


class OutsideTheRing(ValueError):
    """The days asked for are not all in the ring: the archive has them, or they are too far ahead."""


class AheadOfTheFront(ValueError):
    """A user-day lies after the front: the caller has to `advance` first."""


class UnknownSeries(LookupError):
    """A series number that `add_series` did not give, or one that is not booked where a booked one is needed."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """User-days that a call really changed: their columns, and those too old for the ring, which are only distinct."""

    series: I32
    user: U64
    day: I32
    first: Flags  # the ring held no other day of this user in this series
    older: UserDays  # before the ring: the archive knows whether they are a change

    def __len__(self) -> int:
        return len(self.day)


class Activity:
    """The ring, its table and its book. Days are local days since 1970-01-01; users are 64-bit hashes, any value."""

    def __init__(self, front: int, users: int = 0) -> None:
        """`users` presizes the table: the (series, user) pairs to expect."""
        self.front = front
        self.series_count = 0
        self._table = Table(users)
        self._book = Book()
        self._columns: I32 = np.empty(0, dtype=np.int32)  # book column by series, with room to grow

    @property
    def oldest_day(self) -> int:
        """The first day that is held: DAU and lists are exact from here."""
        return self.front - EPOCH_DAYS + 1

    @property
    def first_exact_day(self) -> int:
        """The first day whose widest window lies in the ring: all counts are exact from here."""
        return self.front - EPOCH_DAYS + WINDOWS[-1]

    @property
    def last_exact_day(self) -> int:
        """The last day in the book; what is active today has long expired there."""
        return self.front + EPOCH_DAYS

    @property
    def booked(self) -> I32:
        """The booked series, in the order of the columns of `counts` and `daily`."""
        return np.flatnonzero(self._columns[: self.series_count] != NOT_BOOKED).astype(np.int32)

    @property
    def nbytes(self) -> int:
        return self._table.nbytes + self._book.nbytes + self._columns.nbytes

    def add_series(self, booked: bool) -> int:
        return self.grow(np.array([booked]))

    def grow(self, booked: Flags) -> int:
        """Add a series per flag and return the number of the first; the book only counts those whose flag is set."""
        first, self.series_count = self.series_count, self.series_count + len(booked)
        if self.series_count > len(self._columns):
            self._columns = np.pad(self._columns, (0, self.series_count))
        column = np.cumsum(booked, dtype=np.int32) + np.int32(self._book.columns - 1)
        self._columns[first : self.series_count] = np.where(booked, column, NOT_BOOKED)
        self._book.grow(self._book.columns + int(np.count_nonzero(booked)))
        return first

    def forget_series(self, first: int) -> None:
        """Take back `grow` from series `first` on, of which nothing is active any more."""
        self._book.columns -= int(np.count_nonzero(self._columns[first : self.series_count] != NOT_BOOKED))
        self.series_count = first

    def advance(self, day: int) -> None:
        """Move the front to `day`; never back. What leaves the ring is forgotten, its counts are not."""
        if day <= self.front:
            return
        self._table.mask &= ~span_bits(self.oldest_day, min(self.front, day - EPOCH_DAYS))
        self._book.advance(day - self.front)
        self.front = day

    def add(self, series: I32, user: U64, day: I32) -> Fresh:
        """Unite with these user-days, in any order and with repeats; returns those that were not yet known.

        Raises `AheadOfTheFront` and `UnknownSeries` before anything has changed."""
        held, older = self._split(series, user, day)
        slots = self._table.probe(held.series, held.user)
        # What is not in the table reads the mask of some slot here, and is told apart by its own.
        new = np.flatnonzero((self._table.mask.take(slots) & day_bits(held.day) == 0) | (slots < 0))
        if not len(new):
            return _nothing(older)
        slots = self._table.claim(held.series.take(new), held.user.take(new), slots.take(new))
        return self._flip(slots, held.day.take(new), older, present=False)

    def remove(self, series: I32, user: U64, day: I32) -> Fresh:
        """The opposite of `add`: returns the user-days that were known and no longer are."""
        held, older = self._split(series, user, day)
        slots = self._table.find(held.series, held.user)
        known = np.flatnonzero((self._table.mask.take(slots) & day_bits(held.day) != 0) & (slots != ABSENT))
        return self._flip(slots.take(known), held.day.take(known), older, present=True)

    def counts(self, day: int) -> Counts:
        """[booked series]: the counts of one day. Raises `OutsideTheRing` before `first_exact_day`."""
        self._check(day, day, self.first_exact_day)
        dau, wau, mau = self._levels(day, day, slice(self._book.columns))[:, 0]
        return Counts(dau, wau, mau)

    def history(self, series: int, first: int, last: int) -> Counts:
        """[day]: the counts of one booked series on the days `first..last`, from `first_exact_day` on."""
        self._check(first, last, self.first_exact_day)
        return Counts(*self._levels(first, last, self._column(series)))

    def daily(self, first: int, last: int, series: int | None = None) -> I32:
        """DAU as [day, booked series], or as [day] of one series, already from `oldest_day` on. Sums are user-days."""
        self._check(first, last, self.oldest_day)
        columns = slice(self._book.columns) if series is None else self._column(series)
        dau: I32 = self._levels(first, last, columns)[0]
        return dau

    def recount(self, series: Sequence[int] | I32, first: int, last: int) -> Counts:
        """[series, day]: the same counts as `history`, from the masks, for booked series and others (all distinct)."""
        self._check(first, last, self.first_exact_day)
        slots, place = self._slots_of(series)
        book = Book()
        book.grow(len(series))
        self._book_masks(book, place, slots)
        dau, wau, mau = book.levels(first - self.oldest_day, last - self.oldest_day, slice(book.columns))
        return Counts(dau.T, wau.T, mau.T)

    def active(self, series: int, first: int, last: int) -> U64:
        """The users active on any of the days `first..last`, ascending: the list behind a count."""
        self._check(first, last, self.oldest_day)
        slots = np.flatnonzero(self._table.series == series)
        seen = self._table.mask[slots] & span_bits(first, min(last, self.front)) != 0
        return np.sort(self._table.user[slots[seen]])

    def days_of(self, series: int, user: int) -> list[int]:
        """The days in the ring on which one user was active, ascending."""
        slot = self._table.find(np.array([series], np.int32), np.array([user], np.uint64))
        if slot[0] == ABSENT:
            return []
        bits = int(self._aligned(self._table.mask[slot])[0])
        return [self.oldest_day + day for day in range(EPOCH_DAYS) if bits >> day & 1]

    def load(self, masks: Masks) -> None:
        """Unite with epoch masks, skipping days before the ring, without booking: call `rebook` after the last one."""
        self._check_series(masks.series)
        newest = self.front >> 6
        after_front = masks.mask & ~span_bits(newest * EPOCH_DAYS, self.front) != 0
        if np.any((masks.epoch > newest) | (masks.epoch == newest) & after_front):
            raise AheadOfTheFront(f"a mask has days after the front {self.front}")
        for at in range(0, len(masks), PASS):
            part = slice(at, at + PASS)
            self._load(Masks(masks.series[part], masks.epoch[part], masks.user[part], masks.mask[part]))

    def _load(self, masks: Masks) -> None:
        bits = np.zeros_like(masks.mask)
        for epoch, span in self._epochs():
            here = masks.epoch == epoch
            bits[here] = masks.mask[here] & span
        some = np.flatnonzero(bits)
        slots = self._table.claim(masks.series[some], masks.user[some])
        np.bitwise_or.at(self._table.mask, slots, bits[some])

    def rebook(self) -> None:
        """Count the book again from the masks alone: recovery, and the check that nothing has drifted."""
        self._book.clear()
        slots = self._table.live()
        column = self._columns[self._table.series[slots]]
        booked = np.flatnonzero(column != NOT_BOOKED)
        self._book_masks(self._book, column[booked], slots[booked])

    def dump(self, series: Sequence[int] | I32 | None = None) -> Masks:
        """The ring as epoch masks, of some series (all distinct) or of all."""
        return self._dump(self._table.live() if series is None else self._slots_of(series)[0])

    def dump_users(self, series: int, users: U64) -> Masks:
        """The same of some users of one series (all distinct), at the price of those alone."""
        slots = self._table.find(np.full(len(users), series, np.int32), users)
        return self._dump(slots[slots != ABSENT])

    def _dump(self, slots: I64) -> Masks:
        parts = [(epoch, self._table.mask[slots] & span) for epoch, span in self._epochs()]
        epoch = np.repeat(np.array([epoch for epoch, _ in parts], dtype=np.int32), len(slots))
        slots, mask = np.tile(slots, len(parts)), np.concatenate([mask for _, mask in parts])
        some = np.flatnonzero(mask)
        owner, user = self._table.series[slots[some]], self._table.user[slots[some]]
        order = np.lexsort((user, epoch[some], owner))
        return Masks(owner[order], epoch[some][order], user[order], mask[some][order])

    def _split(self, series: I32, user: U64, day: I32) -> tuple[UserDays, UserDays]:
        """Rows for the ring as they came, and distinct ones that are too old for it."""
        self._check_series(series)
        if len(day) and day.max() > self.front:
            raise AheadOfTheFront(f"day {day.max()} lies after the front {self.front}")
        if not len(day) or day.min() >= self.oldest_day:
            return UserDays(series, user, day), UserDays(series[:0], user[:0], day[:0])
        old = day < self.oldest_day
        return UserDays(series[~old], user[~old], day[~old]), distinct(series[old], user[old], day[old])

    def _flip(self, slots: I64, day: I32, older: UserDays, *, present: bool) -> Fresh:
        """Flip these days, all `present` or none, in the masks of their slots, and book what that changes."""
        code = np.sort(slots << 6 | day & 63)  # distinct (slot, bit) without moving columns around
        code = code[starts(code)]
        slot, bit = code >> 6, code & 63
        before = self._table.mask.take(slot)
        flips = np.left_shift(np.uint64(1), bit.astype(np.uint64))
        (np.subtract if present else np.add).at(self._table.mask, slot, flips)  # nothing carries
        after = self._table.mask.take(slot)
        full, rest = (before, after) if present else (after, before)
        series, row = self._table.series.take(slot), (bit - self.oldest_day) & 63
        self._flip_in_book(series, row, full, rest, -1 if present else 1)
        return Fresh(series, self._table.user.take(slot), (row + self.oldest_day).astype(np.int32), rest == 0, older)

    def _flip_in_book(self, series: I32, row: I64, full: U64, rest: U64, sign: int) -> None:
        column = self._columns.take(series)
        some = np.flatnonzero(column != NOT_BOOKED)
        if len(some) < len(column):
            column, row, full, rest = column.take(some), row.take(some), full.take(some), rest.take(some)
        self._book.flip(column, row, self._aligned(full), self._aligned(rest), sign)

    def _book_masks(self, book: Book, column: I32, slots: I64) -> None:
        book.add(column, self._aligned(self._table.mask[slots]))

    def _aligned(self, mask: U64) -> U64:
        """Turned so that bit 0 is the oldest day, as the rows of the book are."""
        turn = self.oldest_day & 63
        return mask >> np.uint64(turn) | mask << np.uint64(-turn & 63)

    def _slots_of(self, series: Sequence[int] | I32) -> tuple[I64, I32]:
        """The slots of some series, and the place of each slot's series among them."""
        wanted = np.asarray(series, dtype=np.int32)
        self._check_series(wanted)
        # Slots of forgotten series are among them too; the last place is that of empty slots: -1.
        place_of = np.full(len(self._columns) + 1, ABSENT, dtype=np.int32)
        place_of[wanted] = np.arange(len(wanted), dtype=np.int32)
        place = place_of[self._table.series]
        slots = np.flatnonzero(place != ABSENT)
        return slots, place[slots]

    def _epochs(self) -> list[tuple[int, np.uint64]]:
        """The epochs that the ring touches, one or two, with the bits of its days in each."""
        return [
            (epoch, span_bits(max(self.oldest_day, epoch * EPOCH_DAYS), min(self.front, epoch * EPOCH_DAYS + 63)))
            for epoch in range(self.oldest_day >> 6, (self.front >> 6) + 1)
        ]

    def _levels(self, first: int, last: int, columns: int | slice) -> I32:
        return self._book.levels(first - self.oldest_day, last - self.oldest_day, columns)

    def _column(self, series: int) -> int:
        column = int(self._columns[series]) if 0 <= series < self.series_count else NOT_BOOKED
        if column == NOT_BOOKED:
            raise UnknownSeries(f"series {series} is not booked")
        return column

    def _check(self, first: int, last: int, first_exact: int) -> None:
        if first < first_exact or last > self.last_exact_day:
            raise OutsideTheRing(f"days {first}..{last} are not all in {first_exact}..{self.last_exact_day}")

    def _check_series(self, series: I32) -> None:
        if len(series) and (series.min() < 0 or series.max() >= self.series_count):
            raise UnknownSeries(f"series {series.min()}..{series.max()} are not all in 0..{self.series_count - 1}")


def _nothing(older: UserDays) -> Fresh:
    none = np.empty(0, np.int32)
    return Fresh(none, np.empty(0, np.uint64), none, np.empty(0, np.bool_), older)
