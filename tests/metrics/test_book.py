"""The book against levels counted day by day from the masks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics.book import PASS, ROWS, Book
from uptake_metrics.userdays import WINDOWS

masks = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5)


def booked(changes: list[tuple[int, int, int]], columns: int = 1) -> Book:
    """A book after changes of (column, mask before, mask after)."""
    book = Book()
    book.grow(columns)
    column, before, after = zip(*changes, strict=True)
    book.change(np.array(column, dtype=np.int32), np.array(before, dtype=np.uint64), np.array(after, dtype=np.uint64))
    return book


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
    book = booked([(0, 0, mask) for mask in found])
    assert book.levels(0, ROWS - 1, 0).tolist() == expected(found)


@given(before=masks, after=masks)
def test_a_change_books_the_difference(before: list[int], after: list[int]) -> None:
    pairs = list(zip(before, after, strict=False))
    book = booked([(0, 0, was) for was, _ in pairs])
    book.change(np.zeros(len(pairs), np.int32), *(np.array(side, dtype=np.uint64) for side in zip(*pairs, strict=True)))
    assert book.levels(0, ROWS - 1, 0).tolist() == expected([mask for _, mask in pairs])


@given(found=masks, days=st.integers(0, 2 * ROWS))
def test_advancing_moves_the_levels_and_loses_none(found: list[int], days: int) -> None:
    book = booked([(0, 0, mask) for mask in found])
    book.advance(days)
    moved = [(level + [0] * 2 * ROWS)[days : days + ROWS] for level in expected(found)]
    assert book.levels(0, ROWS - 1, 0).tolist() == moved


def test_columns_are_apart_and_stay_when_the_book_grows() -> None:
    book = booked([(0, 0, 1), (2, 0, 3), (2, 0, 2)], columns=3)
    book.advance(1)
    book.grow(500)
    assert book.levels(0, 0, slice(0, 4))[:, 0].tolist() == [[0, 0, 2, 0], [1, 0, 2, 0], [1, 0, 2, 0]]


def test_more_masks_than_a_pass_are_all_booked() -> None:
    book = booked([(0, 0, 1)] * (2 * PASS + 3))
    assert book.levels(0, 0, 0).tolist() == [[2 * PASS + 3]] * 3
