"""Epoch masks against plain sets of (series, user, day)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics import archive
from uptake_metrics.userdays import WINDOWS, Masks, UserDays

Row = tuple[int, int, int]  # series, user, day
USERS = [0, 1, 2**63, 2**64 - 1]

user_days = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(USERS), st.integers(-70, 200)), max_size=40)


def fold(rows: list[Row]) -> Masks:
    return archive.fold(
        UserDays(
            np.array([series for series, _, _ in rows], dtype=np.int32),
            np.array([user for _, user, _ in rows], dtype=np.uint64),
            np.array([day for _, _, day in rows], dtype=np.int32),
        )
    )


def unfold(masks: Masks) -> list[Row]:
    """Back to user-days, bit by bit; a row that is there twice shows twice."""
    rows = zip(masks.series.tolist(), masks.epoch.tolist(), masks.user.tolist(), masks.mask.tolist(), strict=True)
    return [(s, user, epoch * 64 + bit) for s, epoch, user, mask in rows for bit in range(64) if mask >> bit & 1]


def keys(masks: Masks) -> list[tuple[int, int, int]]:
    return list(zip(masks.series.tolist(), masks.epoch.tolist(), masks.user.tolist(), strict=True))


@given(rows=user_days)
def test_folding_keeps_every_user_day_once_and_sorts_the_rows(rows: list[Row]) -> None:
    masks = fold(rows)
    assert sorted(unfold(masks)) == sorted(set(rows))
    assert keys(masks) == sorted(set(keys(masks)))
    assert 0 not in masks.mask


@given(some=user_days, more=user_days)
def test_merging_is_the_union(some: list[Row], more: list[Row]) -> None:
    merged = archive.merge(fold(some), fold(more))
    assert sorted(unfold(merged)) == sorted(set(some) | set(more))
    assert keys(merged) == sorted(set(keys(merged)))


@given(rows=user_days, data=st.data())
def test_discarding_is_the_difference(rows: list[Row], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.sampled_from(rows), max_size=20) if rows else st.just([])) + data.draw(user_days)
    left = archive.discard(fold(rows), fold(gone))
    assert sorted(unfold(left)) == sorted(set(rows) - set(gone))
    assert keys(left) == sorted(set(keys(left)))
    assert 0 not in left.mask


@given(rows=user_days, last=st.integers(-80, 210))
def test_until_keeps_the_days_up_to_the_last(rows: list[Row], last: int) -> None:
    kept = archive.until(fold(rows), last)
    assert sorted(unfold(kept)) == sorted(row for row in set(rows) if row[2] <= last)
    assert 0 not in kept.mask


@given(rows=user_days, first=st.integers(-140, 260))
def test_since_keeps_the_day_itself_and_later(rows: list[Row], first: int) -> None:
    kept = archive.since(fold(rows), first)
    assert sorted(unfold(kept)) == sorted({row for row in rows if row[2] >= first})
    assert keys(kept) == sorted(set(keys(kept)))
    assert 0 not in kept.mask


@given(rows=user_days, first=st.integers(-140, 260), days=st.integers(0, 150))
def test_between_keeps_both_ends(rows: list[Row], first: int, days: int) -> None:
    kept = archive.between(fold(rows), first, first + days)
    assert sorted(unfold(kept)) == sorted({row for row in rows if first <= row[2] <= first + days})


@pytest.mark.parametrize("cells", [1, 200, archive.PASS])
@given(rows=user_days, first=st.integers(-40, 200), days=st.integers(1, 80))
def test_the_mau_of_each_series_is_that_of_its_own_masks(cells: int, rows: list[Row], first: int, days: int) -> None:
    masks, last = fold(rows), first + days - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "PASS", cells)
        found = archive.daily_mau(masks, 4, first, last)
    for series in range(4):
        own = fold([row for row in rows if row[0] == series])
        assert found[series].tolist() == archive.daily(own, first, last).mau.tolist()


@given(rows=user_days)
def test_the_newest_day_is_the_last_anybody_was_active_on(rows: list[Row]) -> None:
    assert archive.newest_day(fold(rows)) == max((day for _, _, day in rows), default=0)


@given(rows=user_days)
def test_the_oldest_day_is_the_first_anybody_was_active_on(rows: list[Row]) -> None:
    assert archive.oldest_day(fold(rows)) == min((day for _, _, day in rows), default=0)


@given(rows=user_days)
def test_blocks_are_the_rows_of_each_series_and_epoch(rows: list[Row]) -> None:
    masks = fold(rows)
    blocks = list(archive.blocks(masks))
    assert [row for block in blocks for row in unfold(block)] == unfold(masks)
    assert [{key[:2] for key in keys(block)} for block in blocks] == [{p} for p in sorted({k[:2] for k in keys(masks)})]


@given(rows=user_days, first=st.integers(-40, 200), days=st.integers(0, 150))
def test_daily_counts_the_users_of_each_window(rows: list[Row], first: int, days: int) -> None:
    counts = archive.daily(fold(rows), first, first + days - 1)
    for window, found in zip(WINDOWS, (counts.dau, counts.wau, counts.mau), strict=True):
        want = [len({u for _, u, on in rows if day - window < on <= day}) for day in range(first, first + days)]
        assert found.tolist() == want


@given(rows=user_days, first=st.integers(-80, 210), days=st.integers(0, 150))
def test_active_lists_the_users_of_a_window(rows: list[Row], first: int, days: int) -> None:
    last = first + days - 1
    assert archive.active(fold(rows), first, last).tolist() == sorted({u for _, u, on in rows if first <= on <= last})


def test_several_series_count_as_their_union() -> None:
    masks = fold([(0, 1, 100), (1, 1, 100), (1, 2, 100)])
    assert archive.daily(masks, 100, 100).dau.tolist() == [2]


@pytest.mark.parametrize("cells", [1, 640, 2**21])
def test_passes_of_any_size_count_the_same(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PASS", cells)
    masks = fold([(0, user, day) for user in range(50) for day in range(user % 7, 90, 7)])
    counts = archive.daily(masks, 60, 69)
    assert counts.wau.tolist() == counts.mau.tolist() == [50] * 10
    assert sum(counts.dau.tolist()[:7]) == 50


def test_a_year_of_many_users_counts_as_a_set_would() -> None:
    rng = np.random.default_rng(3)
    users, days = rng.integers(0, 2**64, 300, dtype=np.uint64), rng.integers(0, 400, 3_000).astype(np.int32)
    rows = UserDays(np.zeros(3_000, np.int32), rng.choice(users, 3_000), days)
    counts = archive.daily(archive.fold(rows), 29, 399)
    known = list(zip(rows.user.tolist(), days.tolist(), strict=True))
    want = [len({user for user, on in known if day - 30 < on <= day}) for day in range(29, 400)]
    assert counts.mau.tolist() == want
