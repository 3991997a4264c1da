"""Growth accounting against plain sets of (user, day), and its two identities."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics import archive, growth
from uptake_metrics.growth import Movement
from uptake_metrics.userdays import Masks, UserDays
from uptake_metrics.zones import to_number

ANN, BOB, EVE = 1, 2, 2**64 - 1
FIRST = date(2023, 11, 20)

user_days = st.lists(st.tuples(st.sampled_from([ANN, BOB, EVE]), st.integers(0, 200)), max_size=25)


def of(*rows: tuple[int, date]) -> Masks:
    return archive.fold(
        UserDays(
            np.zeros(len(rows), dtype=np.int32),
            np.array([user for user, _ in rows], dtype=np.uint64),
            np.array([to_number(day) for _, day in rows], dtype=np.int32),
        )
    )


def plain(movement: Movement) -> dict[str, set[int]]:
    return {
        part: set(getattr(movement, part).tolist()) for part in ("active", "new", "retained", "resurrected", "churned")
    }


@given(rows=user_days, start=st.integers(0, 200), months=st.integers(0, 5))
def test_growth_is_what_plain_sets_say(rows: list[tuple[int, int]], start: int, months: int) -> None:
    seen = [(user, FIRST + timedelta(days=day)) for user, day in rows]
    first = FIRST + timedelta(days=start)
    for movement in growth.movements(of(*seen), first, first + timedelta(days=30 * months)):
        month = movement.month
        before = growth.month_before(month)
        active = {user for user, day in seen if (day.year, day.month) == (month.year, month.month)}
        last_month = {user for user, day in seen if (day.year, day.month) == (before.year, before.month)}
        earlier = {user for user, day in seen if day < month}
        assert plain(movement) == {
            "active": active,
            "new": active - earlier,
            "retained": active & last_month,
            "resurrected": (active & earlier) - last_month,
            "churned": last_month - active,
        }


@given(rows=user_days)
def test_both_identities_hold_for_every_month(rows: list[tuple[int, int]]) -> None:
    seen = [(user, FIRST + timedelta(days=day)) for user, day in rows]
    months = growth.movements(of(*seen), FIRST, FIRST + timedelta(days=230))
    assert len(months) == 9
    before = 0
    for one in months:
        assert len(one.active) == len(one.new) + len(one.retained) + len(one.resurrected)
        assert len(one.active) == before + len(one.new) + len(one.resurrected) - len(one.churned)
        before = len(one.active)


def test_the_last_day_of_february_and_the_first_of_march_are_two_months() -> None:
    masks = of((ANN, date(2024, 2, 29)), (BOB, date(2024, 3, 1)))
    february, march = map(plain, growth.movements(masks, date(2024, 2, 29), date(2024, 3, 1)))
    assert (february["new"], march["new"], march["churned"]) == ({ANN}, {BOB}, {ANN})


def test_what_was_long_before_the_first_month_still_counts() -> None:
    masks = of((ANN, date(1970, 3, 1)), (ANN, date(2024, 2, 1)))
    (february,) = map(plain, growth.movements(masks, date(2024, 2, 1), date(2024, 2, 1)))
    assert (february["new"], february["resurrected"]) == (set(), {ANN})


@pytest.mark.parametrize(
    ("month", "last", "after"),
    [
        (date(2023, 2, 1), date(2023, 2, 28), date(2023, 3, 1)),
        (date(2024, 2, 1), date(2024, 2, 29), date(2024, 3, 1)),
        (date(2024, 12, 1), date(2024, 12, 31), date(2025, 1, 1)),
    ],
)
def test_a_month_ends_before_the_next_begins(month: date, last: date, after: date) -> None:
    assert (growth.last_day(month), growth.month_after(month), growth.month_before(after)) == (last, after, month)
