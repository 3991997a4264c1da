"""The archive: user-days of any age as masks of 64-day epochs, and what they count to. Pure functions, no state."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from uptake_metrics.userdays import (
    EPOCH_DAYS,
    I32,
    U64,
    WINDOWS,
    Counts,
    Flags,
    Masks,
    UserDays,
    day_bits,
    span_bits,
    starts,
)

PASS: Final = 1 << 21  # cells (user, day) a pass of `daily`, a byte each


def fold(days: UserDays) -> Masks:
    """User-days, in any order and with repeats, as masks."""
    return _united(days.series, days.day >> 6, days.user, day_bits(days.day))


def merge(*parts: Masks) -> Masks:
    """The user-days that are in any of the parts, whose rows may be in any order and repeat."""
    return _united(*_concatenated(parts))


def discard(masks: Masks, gone: Masks) -> Masks:
    """The user-days of `masks` that are not in `gone`."""
    series, epoch, user, _ = _concatenated((masks, gone))
    kept = _united(series, epoch, user, np.concatenate([masks.mask, np.zeros_like(gone.mask)]))
    lost = _united(series, epoch, user, np.concatenate([np.zeros_like(masks.mask), gone.mask]))
    left = kept.mask & ~lost.mask
    some = np.flatnonzero(left)
    return Masks(kept.series[some], kept.epoch[some], kept.user[some], left[some])


def until(masks: Masks, last: int) -> Masks:
    """The user-days up to and with day `last`."""
    epoch = last >> 6
    bits = np.where(masks.epoch == epoch, masks.mask & span_bits(epoch * EPOCH_DAYS, last), masks.mask)
    some = np.flatnonzero((masks.epoch <= epoch) & (bits != 0))
    return Masks(masks.series[some], masks.epoch[some], masks.user[some], bits[some])


def since(masks: Masks, first: int) -> Masks:
    """The user-days from day `first` on."""
    epoch = first >> 6
    bits = np.where(masks.epoch == epoch, masks.mask & span_bits(first, epoch * EPOCH_DAYS + 63), masks.mask)
    some = np.flatnonzero((masks.epoch >= epoch) & (bits != 0))
    return Masks(masks.series[some], masks.epoch[some], masks.user[some], bits[some])


def between(masks: Masks, first: int, last: int) -> Masks:
    """The user-days of the days `first..last`."""
    return since(until(masks, last), first)


def as_one(masks: Masks) -> Masks:
    """The rows of several series as those of one, number 0: who was active in any of them."""
    return merge(Masks(np.zeros_like(masks.series), masks.epoch, masks.user, masks.mask))


def blocks(masks: Masks) -> Iterator[Masks]:
    """The rows of each series and epoch, as they are stored."""
    heads = starts(masks.series, masks.epoch).tolist()
    for first, end in pairwise([*heads, len(masks)]):
        rows = slice(first, end)
        yield Masks(masks.series[rows], masks.epoch[rows], masks.user[rows], masks.mask[rows])


def daily(masks: Masks, first: int, last: int) -> Counts:
    """[day]: DAU, WAU and MAU on `first..last` of all rows given: several series count as their union.

    Exact when `masks` has every epoch from that of `first - 29` to that of `last`."""
    oldest = first - WINDOWS[-1] + 1
    words = _words(masks, oldest >> 6, last >> 6)
    days = slice(oldest & 63, (oldest & 63) + last - oldest + 1)
    totals = np.zeros((len(WINDOWS), max(0, last - first + 1)), dtype=np.int32)
    users = max(1, PASS // (EPOCH_DAYS * words.shape[1]))
    for at in range(0, len(words), users):
        cells = np.unpackbits(words[at : at + users].view(np.uint8), axis=1, bitorder="little")[:, days]
        totals += _window_sums(cells)
    return Counts(*totals)


def active(masks: Masks, first: int, last: int) -> U64:
    """The users active on any of the days `first..last`, ascending: the list behind a count."""
    return _distinct_users(masks.user[within(masks, first, last)])


def within(masks: Masks, first: int, last: int) -> Flags:
    """Which rows have any of the days `first..last`."""
    seen = np.zeros(len(masks), dtype=np.bool_)
    for epoch in range(first >> 6, (last >> 6) + 1):
        days = span_bits(max(first, epoch * EPOCH_DAYS), min(last, epoch * EPOCH_DAYS + 63))
        seen |= (masks.epoch == epoch) & (masks.mask & days != 0)
    return seen


def daily_mau(masks: Masks, series: int, first: int, last: int) -> I32:
    """[series, day]: MAU on `first..last` of each of so many series. Exact when `daily` is."""
    oldest = first - WINDOWS[-1] + 1
    masks = between(masks, oldest, last)
    order = np.lexsort((masks.user, masks.series))
    heads = starts(masks.series[order], masks.user[order])
    words = np.zeros((len(heads), (last >> 6) - (oldest >> 6) + 1), dtype="<u8")
    words[np.repeat(np.arange(len(heads)), np.diff(heads, append=len(order))), masks.epoch[order] - (oldest >> 6)] = (
        masks.mask[order]
    )
    owner = masks.series[order][heads]
    days = slice(oldest & 63, (oldest & 63) + last - oldest + 1)
    counts = np.zeros((series, last - first + 1), dtype=np.int32)
    people = max(1, PASS // (EPOCH_DAYS * words.shape[1]))
    for at in range(0, len(words), people):
        cells = np.unpackbits(words[at : at + people].view(np.uint8), axis=1, bitorder="little")[:, days]
        _widen(cells, 1, WINDOWS[-1])
        blocks = starts(owner[at : at + people])
        sums = np.add.reduceat(cells[:, WINDOWS[-1] - 1 :], blocks, axis=0, dtype=np.int32)
        counts[owner[at : at + people][blocks]] += sums
    return counts


def _window_sums(cells: npt.NDArray[np.uint8]) -> I32:
    """[window, day] from [user, day], where the first days are only there for the windows of the others."""
    sums, reach = [], 1
    for window in WINDOWS:
        _widen(cells, reach, window)
        reach = window
        sums.append(cells[:, WINDOWS[-1] - 1 :].sum(axis=0, dtype=np.int32))
    return np.stack(sums)


def _widen(cells: npt.NDArray[np.uint8], reach: int, window: int) -> None:
    """[user, day], active on any of the `reach` days that end there, becomes the same of `window` days."""
    while reach < window:
        step = min(reach, window - reach)
        cells[:, step:] |= cells[:, :-step]
        reach += step


def _words(masks: Masks, first_epoch: int, last_epoch: int) -> U64:
    """[user, epoch]: little-endian masks of the users who have any in these epochs."""
    rows = np.flatnonzero((masks.epoch >= first_epoch) & (masks.epoch <= last_epoch))
    users = _distinct_users(masks.user[rows])
    words = np.zeros((len(users), last_epoch - first_epoch + 1), dtype="<u8")
    np.bitwise_or.at(
        words, (np.searchsorted(users, masks.user[rows]), masks.epoch[rows] - first_epoch), masks.mask[rows]
    )
    return words


def _distinct_users(user: U64) -> U64:
    ordered = np.sort(user)
    return ordered[starts(ordered)]


def _concatenated(parts: tuple[Masks, ...]) -> tuple[I32, I32, U64, U64]:
    return (
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.epoch for part in parts]),
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.mask for part in parts]),
    )


def _united(series: I32, epoch: I32, user: U64, mask: U64) -> Masks:
    order = np.lexsort((user, epoch, series))
    series, epoch, user = series[order], epoch[order], user[order]
    heads = starts(series, epoch, user)
    united = np.bitwise_or.reduceat(mask[order], heads) if len(heads) else mask
    return Masks(series[heads], epoch[heads], user[heads], united)


def newest_days(masks: Masks) -> dict[int, int]:
    """The last day of each series that has any."""
    rows = np.flatnonzero(np.append(masks.series[1:] != masks.series[:-1], [True] * bool(len(masks))))
    epochs = masks.epoch[rows]
    newest: dict[int, int] = {}
    for series, epoch, row in zip(masks.series[rows].tolist(), epochs.tolist(), rows.tolist(), strict=True):
        first = int(np.searchsorted(masks.series, series))
        of_epoch = first + int(np.searchsorted(masks.epoch[first : row + 1], epoch))
        newest[series] = epoch * EPOCH_DAYS + int(np.bitwise_or.reduce(masks.mask[of_epoch : row + 1])).bit_length() - 1
    return newest


def newest_day(masks: Masks) -> int:
    """The last day that anybody was active on; 0 when there is none."""
    if not len(masks):
        return 0
    epoch = int(masks.epoch.max())
    bits = int(np.bitwise_or.reduce(masks.mask[masks.epoch == epoch]))
    return epoch * EPOCH_DAYS + bits.bit_length() - 1


def oldest_day(masks: Masks) -> int:
    """The first day that anybody was active on; 0 when there is none."""
    if not len(masks):
        return 0
    epoch = int(masks.epoch.min())
    bits = int(np.bitwise_or.reduce(masks.mask[masks.epoch == epoch]))
    return epoch * EPOCH_DAYS + (bits & -bits).bit_length() - 1
