"""The book against levels counted day by day from the masks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics.book import PASS, ROWS, Book
from uptake_metrics.userdays import WINDOWS

masks = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)


def booked(found: list[tuple[int, int]], columns: int = 1) -> Book:
    """A book of (column, mask)."""
    book = Book()
    book.grow(columns)
    column, mask = zip(*found, strict=True)
    book.add(np.array(column, dtype=np.int32), np.array(mask, dtype=np.uint64))
    return book


def flip(book: Book, pairs: list[tuple[int, int]], sign: int) -> None:
    """Flip every day that the first mask of a pair has and the second has not, all in one call."""
    days = [(row, full, rest) for full, rest in pairs for row in range(64) if (full & ~rest) >> row & 1]
    row, full, rest = zip(*days, strict=True) if days else ((), (), ())
    masks_full, masks_rest = np.array(full, dtype=np.uint64), np.array(rest, dtype=np.uint64)
    book.flip(np.zeros(len(days), np.int32), np.array(row, dtype=np.int64), masks_full, masks_rest, sign)


def expected(found: list[int]) -> list[list[int]]:
    """[window][row], one bit at a time."""
    levels = [[0] * ROWS for _ in WINDOWS]
    for window, level in zip(WINDOWS, levels, strict=True):
        for mask in found:
            for row in {bit + after for bit in range(64) if mask >> bit & 1 for after in range(window)}:
                level[row] += 1
    return levels


@given(found=masks)
def test_levels_are_the_users_in_each_window(found: list[int]) -> None:
    book = booked([(0, mask) for mask in found])
    assert book.levels(0, ROWS - 1, 0).tolist() == expected(found)


@given(rest=masks, more=masks)
def test_days_that_are_flipped_one_by_one_count_as_whole_masks_do(rest: list[int], more: list[int]) -> None:
    pairs = [(was | new, was) for was, new in zip(rest, more, strict=False)]
    book = booked([(0, was) for _, was in pairs])
    flip(book, pairs, 1)
    assert (
        book.levels(0, ROWS - 1, 0).tolist() == booked([(0, full) for full, _ in pairs]).levels(0, ROWS - 1, 0).tolist()
    )
    flip(book, pairs, -1)
    assert book.levels(0, ROWS - 1, 0).tolist() == expected([was for _, was in pairs])


@given(found=masks, days=st.integers(0, 2 * ROWS))
def test_advancing_moves_the_levels_and_loses_none(found: list[int], days: int) -> None:
    book = booked([(0, mask) for mask in found])
    book.advance(days)
    moved = [(level + [0] * 2 * ROWS)[days : days + ROWS] for level in expected(found)]
    assert book.levels(0, ROWS - 1, 0).tolist() == moved


def test_columns_are_apart_and_stay_when_the_book_grows() -> None:
    book = booked([(0, 1), (2, 3), (2, 2)], columns=3)
    book.advance(1)
    book.grow(500)
    assert book.levels(0, 0, slice(0, 4))[:, 0].tolist() == [[0, 0, 2, 0], [1, 0, 2, 0], [1, 0, 2, 0]]


def test_more_masks_than_a_pass_are_all_booked() -> None:
    book = booked([(0, 1)] * (2 * PASS + 3))
    flip(book, [(3, 1)] * (PASS + 5), 1)
    assert book.levels(0, 1, 0).tolist() == [[2 * PASS + 3, PASS + 5], *[[2 * PASS + 3] * 2] * 2]
