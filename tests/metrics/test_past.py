"""The states of past days: what each day ended with, and nothing of what came later."""

from dataclasses import dataclass
from datetime import date

import pytest

from uptake_metrics.past import Dated


@dataclass(frozen=True, slots=True)
class Said(Dated):
    word: str


def said(day: int, word: str) -> Said:
    return Said(word, since=date(2026, 5, day))


NEWEST = Said.newest([said(3, "a"), said(5, "b"), said(5, "c"), said(9, "d")])


def test_without_a_state_there_is_none() -> None:
    assert Said.newest([]) is None


@pytest.mark.parametrize(("day", "word"), [(2, None), (3, "a"), (4, "a"), (5, "c"), (8, "c"), (9, "d"), (31, "d")])
def test_each_day_is_told_by_the_last_state_up_to_its_end(day: int, word: str | None) -> None:
    assert NEWEST is not None
    then = NEWEST.at_end_of(date(2026, 5, day))
    assert (then.word if then else None) == word


def test_only_the_newest_holds_those_before_it() -> None:
    assert NEWEST is not None
    assert [one.word for one in NEWEST.earlier] == ["a", "c"]
    assert all(not one.earlier for one in NEWEST.earlier)
