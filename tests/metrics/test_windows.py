"""The ring against a plain set of (series, user, day): whatever comes in, whatever order, every exact day agrees."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from uptake_metrics import archive
from uptake_metrics.userdays import WINDOWS, Counts, UserDays
from uptake_metrics.windows import Activity, AheadOfTheFront, Fresh, OutsideTheRing, UnknownSeries

Row = tuple[int, int, int]  # series, user, day
FRONT = 20_000
MASKS = ("series", "epoch", "user", "mask")
BOOKED = [True, False, True]
USERS = [0, 1, 2, 2**32, 2**63, 2**64 - 2, 2**64 - 1]

ages = st.one_of(st.integers(0, 70), st.sampled_from([0, 1, 6, 7, 29, 30, 33, 34, 35, 62, 63, 64]))
batches = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(USERS), ages), max_size=25)


def columns(rows: Iterable[Row]) -> UserDays:
    table = list(rows)
    return UserDays(
        np.array([series for series, _, _ in table], dtype=np.int32),
        np.array([user for _, user, _ in table], dtype=np.uint64),
        np.array([day for _, _, day in table], dtype=np.int32),
    )


def rows_of(days: UserDays | Fresh) -> list[Row]:
    return list(zip(days.series.tolist(), days.user.tolist(), days.day.tolist(), strict=True))


def add(activity: Activity, rows: Iterable[Row]) -> Fresh:
    days = columns(rows)
    return activity.add(days.series, days.user, days.day)


def remove(activity: Activity, rows: Iterable[Row]) -> Fresh:
    days = columns(rows)
    return activity.remove(days.series, days.user, days.day)


def ring(front: int = FRONT, rows: Iterable[Row] = ()) -> Activity:
    activity = Activity(front)
    activity.grow(np.array(BOOKED))
    add(activity, rows)
    return activity


def users_in(rows: set[Row], series: int, first: int, last: int) -> set[int]:
    return {user for owner, user, day in rows if owner == series and first <= day <= last}


def expected(rows: set[Row], series: int, first: int, last: int) -> list[list[int]]:
    """[window][day], by counting users of a set."""
    mine = [(user, day) for owner, user, day in rows if owner == series]
    return [
        [len({user for user, on in mine if day - window < on <= day}) for day in range(first, last + 1)]
        for window in WINDOWS
    ]


def numbers(counts: Counts) -> list[list[int]]:
    return [counts.dau.tolist(), counts.wau.tolist(), counts.mau.tolist()]


def state(activity: Activity) -> tuple[list[list[int]], list[list[list[int]]]]:
    """All that can be seen of a ring: its masks and every exact count."""
    held = activity.dump()
    exact = range(activity.first_exact_day, activity.last_exact_day + 1)
    return [getattr(held, name).tolist() for name in MASKS], [numbers(activity.counts(day)) for day in exact]


class RingAndSet(RuleBasedStateMachine):
    """Anything may happen at any time; the ring must say what the set says."""

    def __init__(self) -> None:
        super().__init__()
        self.truth: set[Row] = set()

    @initialize(front=st.integers(FRONT, FRONT + 63))
    def start(self, front: int) -> None:
        self.ring = ring(front)

    def days(self, batch: list[Row]) -> tuple[list[Row], set[Row], set[Row]]:
        rows = [(series, user, self.ring.front - age) for series, user, age in batch]
        held = {row for row in rows if row[2] >= self.ring.oldest_day}
        return rows, held, set(rows) - held

    @rule(batch=batches)
    def add(self, batch: list[Row]) -> None:
        rows, held, older = self.days(batch)
        fresh = add(self.ring, rows)
        assert sorted(rows_of(fresh)) == sorted(held - self.truth)
        assert sorted(rows_of(fresh.older)) == sorted(older)
        known = {row[:2] for row in self.truth if row[2] >= self.ring.oldest_day}
        assert fresh.first.tolist() == [row[:2] not in known for row in rows_of(fresh)]
        self.truth |= held

    @rule(batch=batches)
    def remove(self, batch: list[Row]) -> None:
        rows, held, older = self.days(batch)
        gone = remove(self.ring, rows)
        assert sorted(rows_of(gone)) == sorted(held & self.truth)
        assert sorted(rows_of(gone.older)) == sorted(older)
        self.truth -= held
        left = {row[:2] for row in self.truth if row[2] >= self.ring.oldest_day}
        assert gone.first.tolist() == [row[:2] not in left for row in rows_of(gone)]

    @rule(series=st.integers(0, 2), user=st.sampled_from(USERS))
    def remove_all_of_a_user(self, series: int, user: int) -> None:
        held = {row for row in self.truth if row[:2] == (series, user) and row[2] >= self.ring.oldest_day}
        gone = remove(self.ring, held)
        assert sorted(rows_of(gone)) == sorted(held)
        assert gone.first.all()
        self.truth -= held

    @rule(days=st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 128, 129, 100_000])))
    def advance(self, days: int) -> None:
        self.ring.advance(self.ring.front + days)

    @rule()
    def rebook(self) -> None:
        self.ring.rebook()

    @rule()
    def recover(self) -> None:
        masks = self.ring.dump()
        self.ring = ring(self.ring.front)
        self.ring.load(masks)
        self.ring.rebook()

    @rule(booked=st.booleans())
    def meet_a_series(self, booked: bool) -> None:
        self.ring.add_series(booked)

    @invariant()
    def every_exact_day_agrees(self) -> None:
        first, last = self.ring.first_exact_day, self.ring.last_exact_day
        recount = self.ring.recount([2, 1, 0], first, last)
        by_day = [self.ring.counts(day) for day in (first, self.ring.front, last)]
        for series in range(3):
            want = expected(self.truth, series, first, last)
            assert [c[2 - series].tolist() for c in (recount.dau, recount.wau, recount.mau)] == want
            if not BOOKED[series]:
                continue
            assert numbers(self.ring.history(series, first, last)) == want
            column = self.ring.booked.tolist().index(series)
            seen = [[c.dau[column], c.wau[column], c.mau[column]] for c in by_day]
            assert seen == [[count[at] for count in want] for at in (0, self.ring.front - first, last - first)]

    @invariant()
    def dau_is_exact_on_every_held_day(self) -> None:
        first, last = self.ring.oldest_day, self.ring.front
        daily = self.ring.daily(first, last)
        for column, series in enumerate(self.ring.booked.tolist()):
            want = expected(self.truth, series, first, last)[0]
            assert daily[:, column].tolist() == self.ring.daily(first, last, series).tolist() == want

    @invariant()
    def every_list_agrees(self) -> None:
        for series in range(3):
            for back in (0, 6, 29, 63):
                first = self.ring.front - back
                listed = self.ring.active(series, first, self.ring.front).tolist()
                assert listed == sorted(users_in(self.truth, series, first, self.ring.front))


RingAndSet.TestCase.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
TestRingAndSet = RingAndSet.TestCase


@given(batch=batches, data=st.data())
def test_order_repeats_and_batches_do_not_matter(batch: list[Row], data: st.DataObject) -> None:
    rows = [(series, user, FRONT - age) for series, user, age in batch]
    repeated = rows + data.draw(st.lists(st.sampled_from(rows), max_size=9) if rows else st.just([]))
    shuffled = data.draw(st.permutations(repeated))
    cut = data.draw(st.integers(0, len(shuffled)))
    other = ring(rows=shuffled[:cut])
    add(other, shuffled[cut:])
    assert state(other) == state(ring(rows=rows))


@given(batch=batches, cut=st.integers(0, 25), advance=st.integers(0, 40))
def test_a_day_counts_the_same_before_and_after_the_front_has_moved(batch: list[Row], cut: int, advance: int) -> None:
    rows = [(series, user, FRONT - age % 24) for series, user, age in batch]  # still held 40 days later
    early = ring(rows=rows)
    early.advance(FRONT + advance)
    late = ring(rows=rows[:cut])
    late.advance(FRONT + advance)
    add(late, rows[cut:])
    assert state(late) == state(early)


@given(before=batches, batch=batches)
def test_remove_undoes_add(before: list[Row], batch: list[Row]) -> None:
    activity = ring(rows=[(series, user, FRONT - age) for series, user, age in before])
    was = state(activity)
    fresh = add(activity, [(series, user, FRONT - age) for series, user, age in batch])
    remove(activity, rows_of(fresh))
    assert state(activity) == was


@given(batch=batches)
def test_counts_never_shrink_with_the_window_and_each_has_its_list(batch: list[Row]) -> None:
    activity = ring(rows=[(series, user, FRONT - age) for series, user, age in batch])
    for day in range(activity.first_exact_day, FRONT + 31):
        dau, wau, mau = numbers(activity.history(0, day, day))
        assert dau <= wau <= mau
        for [count], window in zip((dau, wau, mau), WINDOWS, strict=True):
            assert len(activity.active(0, day - window + 1, day)) == count


@given(batch=batches, front=st.integers(FRONT, FRONT + 63))
def test_the_ring_and_the_archive_count_the_same(batch: list[Row], front: int) -> None:
    rows = [(series, user, front - age) for series, user, age in batch]
    activity = ring(front, rows)
    mine = archive.fold(columns(row for row in rows if row[0] == 0))
    first = activity.first_exact_day
    assert numbers(archive.daily(mine, first, front)) == numbers(activity.history(0, first, front))


@given(batch=batches, front=st.integers(FRONT, FRONT + 63))
def test_a_dump_is_what_the_archive_folds(batch: list[Row], front: int) -> None:
    rows = [(series, user, front - age % 64) for series, user, age in batch]
    activity, folded = ring(front, rows), archive.fold(columns(rows))
    for dumped, wanted in (
        (activity.dump(), folded),
        (activity.dump([1]), archive.fold(columns(r for r in rows if r[0] == 1))),
    ):
        for name in MASKS:
            assert getattr(dumped, name).tolist() == getattr(wanted, name).tolist()


def test_loading_skips_what_has_left_the_ring_and_unites_with_what_is_there() -> None:
    activity = ring(rows=[(0, 7, FRONT)])
    activity.load(archive.fold(columns([(0, 7, FRONT - 1), (0, 7, FRONT - 64), (0, 8, FRONT - 500)])))
    activity.rebook()
    assert activity.daily(FRONT - 63, FRONT, 0).tolist() == [0] * 62 + [1, 1]
    assert activity.active(0, FRONT - 63, FRONT).tolist() == [7]


def test_many_users_over_growth_and_years_count_as_a_set_would() -> None:
    rng = np.random.default_rng(5)
    activity = ring()
    for front in range(FRONT, FRONT + 400, 40):
        activity.advance(front)
        users = rng.integers(0, 2**64, 20_000, dtype=np.uint64)
        add(activity, zip([0, 2] * 10_000, users.tolist(), [front] * 20_000, strict=True))
    assert [c.tolist() for c in (activity.counts(activity.front).mau, activity.booked)] == [[10_000, 10_000], [0, 2]]
    assert activity.nbytes < 20 * 2**18 + 200_000  # the 360,000 users who left are not kept


def test_the_same_hash_in_two_series_is_two_users() -> None:
    activity = ring(rows=[(0, 5, FRONT), (2, 5, FRONT - 1)])
    assert activity.counts(FRONT).dau.tolist() == [1, 0]
    assert activity.counts(FRONT).mau.tolist() == [1, 1]


def test_user_days_are_sums_of_daily() -> None:
    activity = ring(rows=[(0, 1, FRONT), (0, 1, FRONT - 27), (0, 2, FRONT - 5), (0, 2, FRONT - 28)])
    assert activity.daily(FRONT - 27, FRONT).sum(axis=0).tolist() == [3, 0]


@pytest.mark.parametrize(
    ("ask", "first", "last", "answered"),
    [
        ("history", FRONT - 34, FRONT + 64, True),
        ("history", FRONT - 35, FRONT, False),
        ("history", FRONT, FRONT + 65, False),
        ("recount", FRONT - 34, FRONT + 64, True),
        ("recount", FRONT - 35, FRONT, False),
        ("daily", FRONT - 63, FRONT + 64, True),
        ("daily", FRONT - 64, FRONT, False),
        ("active", FRONT - 63, FRONT, True),
        ("active", FRONT - 64, FRONT, False),
        ("active", FRONT + 1, FRONT + 30, True),
    ],
)
def test_days_are_answered_exactly_or_not_at_all(ask: str, first: int, last: int, answered: bool) -> None:
    activity = ring(rows=[(0, 5, FRONT)])
    questions: dict[str, Callable[[], object]] = {
        "history": lambda: activity.history(0, first, last),
        "recount": lambda: activity.recount([0], first, last),
        "daily": lambda: activity.daily(first, last),
        "active": lambda: activity.active(0, first, last),
    }
    if answered:
        questions[ask]()
        return
    with pytest.raises(OutsideTheRing):
        questions[ask]()


@pytest.mark.parametrize(
    ("row", "error"),
    [((0, 1, FRONT + 1), AheadOfTheFront), ((-1, 0, FRONT), UnknownSeries), ((3, 1, FRONT), UnknownSeries)],
)
def test_a_row_that_cannot_be_counted_changes_nothing(row: Row, error: type[Exception]) -> None:
    activity = ring(rows=[(0, 5, FRONT)])
    was = state(activity)
    for call in (add, remove):
        with pytest.raises(error):
            call(activity, [(0, 6, FRONT), row])
    assert state(activity) == was


@pytest.mark.parametrize("ahead", [1, 64, 200])
def test_masks_from_after_the_front_are_refused(ahead: int) -> None:
    with pytest.raises(AheadOfTheFront):
        ring().load(archive.fold(columns([(0, 1, FRONT + ahead)])))


def test_only_booked_series_have_a_history() -> None:
    activity = ring(rows=[(1, 5, FRONT)])
    with pytest.raises(UnknownSeries):
        activity.history(1, FRONT, FRONT)
    assert activity.recount([1], FRONT, FRONT).mau.tolist() == [[1]]


def test_an_empty_batch_and_an_empty_load_change_nothing() -> None:
    activity = ring()
    assert len(add(activity, [])) == len(remove(activity, [])) == 0
    activity.load(archive.fold(columns([])))
    assert state(activity) == state(ring())


def test_the_front_never_moves_back() -> None:
    activity = ring()
    activity.advance(FRONT - 10)
    assert activity.front == FRONT


@given(st.data())
def test_a_dump_of_some_users_is_their_part_of_the_whole(data: st.DataObject) -> None:
    activity = Activity(1000)
    activity.add_series(booked=True)
    activity.add_series(booked=False)
    cells = st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(937, 1000))
    rows = data.draw(st.lists(cells, max_size=40))
    activity.add(*columns_of_cells(rows))
    asked = data.draw(st.sets(st.integers(0, 12)))
    dumped = activity.dump_users(1, np.array(sorted(asked), np.uint64))
    wanted = archive.fold(UserDays(*columns_of_cells([row for row in rows if row[0] == 1 and row[1] in asked])))
    for name in ("series", "epoch", "user", "mask"):
        assert getattr(dumped, name).tolist() == getattr(wanted, name).tolist()


def columns_of_cells(rows):
    series, user, day = zip(*rows, strict=True) if rows else ((), (), ())
    return np.array(series, np.int32), np.array(user, np.uint64), np.array(day, np.int32)
