"""What is heard every minute is kept as two numbers a day, and still tells every local day of every zone."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics.heartbeats import DAY_S, END_S, FIRST_S, Heartbeats
from uptake_metrics.zones import day_start, local_day

ZONES = ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kolkata"]
SPRING = int(datetime(2024, 3, 9, tzinfo=UTC).timestamp())
AUTUMN = int(datetime(2024, 11, 2, tzinfo=UTC).timestamp())
around = st.sampled_from([SPRING, AUTUMN]).flatmap(lambda start: st.integers(start, start + 4 * DAY_S))


def heard(seconds: list[int]) -> Heartbeats:
    beats = Heartbeats()
    for at in seconds:
        beats.add(at, at)
    return beats


def instant(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)


@given(st.lists(around, max_size=40), st.randoms(use_true_random=False))
def test_no_order_and_no_repeat_changes_anything(seconds: list[int], random: object) -> None:
    shuffled = seconds * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    assert heard(shuffled) == heard(seconds)
    assert (heard(seconds).first_s, heard(seconds).last_s) == (min(seconds, default=None), max(seconds, default=None))


@given(st.lists(around, min_size=1, max_size=40), st.sampled_from(ZONES), st.sampled_from([SPRING, AUTUMN]))
def test_the_newest_local_day_before_any_midnight_is_exact(seconds: list[int], zone: str, start: int) -> None:
    beats = heard(seconds)
    for n in range(-1, 7):
        end = day_start(local_day(instant(start), zone) + timedelta(days=n), zone)
        end_s = int(end.timestamp())
        newest = max((at for at in seconds if at < end_s), default=None)
        found = beats.newest_before(end_s)
        assert (found is None) == (newest is None)
        if newest is not None and found is not None:
            assert local_day(instant(found), zone) == local_day(instant(newest), zone)
            hours = timedelta(hours=48)
            assert (end - instant(found) > hours) == (end - instant(newest) > hours)


def test_what_lies_between_two_that_are_known_is_known() -> None:
    beats = heard([SPRING + 100, SPRING + 900])
    assert [beats.knows(SPRING + at) for at in (99, 100, 500, 900, 901, DAY_S + 100)] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("at", [-1, 0, FIRST_S - 1, END_S, END_S + 10**9])
def test_a_time_of_which_there_are_no_days_is_heard_by_nobody(at: int) -> None:
    beats = heard([at])
    assert (len(beats), beats.first_s, beats.newest_before(END_S), beats.knows(at)) == (0, None, None, True)


def test_years_of_every_minute_are_20_bytes_a_day() -> None:
    beats = Heartbeats()
    first = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
    for day in range(5 * 365):
        for minute in range(0, DAY_S, 6 * 3600):
            beats.add(first + day * DAY_S + minute, first + day * DAY_S + minute)
    assert len(beats) == 5 * 365
    assert sum(part.itemsize for part in (beats._days, beats._first, beats._last)) == 20
    assert beats.newest_before(first + 3 * DAY_S + 7 * 3600) == first + 3 * DAY_S  # of that day only the first is sure
    assert local_day(instant(first + 3 * DAY_S), "UTC") == date(2020, 1, 4)
