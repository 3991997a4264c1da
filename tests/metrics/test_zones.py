"""A local day is one thing: the fast column, the single instant and the zone's own clock agree on it."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uptake_metrics.zones import closes_at, day_start, last_closed_day, local_day, local_days

ZONES = (
    "UTC",
    "Africa/Cairo",
    "Africa/Monrovia",
    "America/Goose_Bay",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "Pacific/Pago_Pago",
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - bounds of a strategy that adds UTC


def vector(instants: list[datetime], zone: str) -> list[date]:
    columns = np.array([(instant - EPOCH) // timedelta(microseconds=1) for instant in instants], np.int64)
    return [EPOCH.date() + timedelta(days=int(day)) for day in local_days(columns, zone)]


def on_the_clock(instant: datetime, zone: str) -> date:
    """The newest date that the zone's clock has shown, as it never goes back by more than two hours."""
    return max((instant - back * MINUTE).astimezone(ZoneInfo(zone)).date() for back in range(121))


@settings(deadline=None)  # the first instant of a zone builds its table
@given(zone=st.sampled_from(ZONES), instants=st.lists(INSTANTS, max_size=20))
def test_column_and_single_instant_agree(zone: str, instants: list[datetime]) -> None:
    assert vector(instants, zone) == [local_day(instant, zone) for instant in instants]


@settings(deadline=None)
@given(zone=st.sampled_from(ZONES), day=st.dates(date(1970, 1, 3), date(2100, 12, 30)), off_s=st.integers(-7200, 7200))
@example("America/Sao_Paulo", date(2018, 11, 4), 0)
@example("America/St_Johns", date(2010, 11, 7), 65)
@example("Africa/Cairo", date(2024, 4, 26), -1)
@example("Pacific/Apia", date(2011, 12, 30), 0)
@example("Pacific/Apia", date(2011, 12, 31), -1)
def test_every_instant_near_a_midnight_is_on_the_day_of_the_clock(zone: str, day: date, off_s: int) -> None:
    instant = day_start(day, zone) + timedelta(seconds=off_s)
    assert vector([instant], zone) == [local_day(instant, zone)] == [on_the_clock(instant, zone)]


@given(zone=st.sampled_from(ZONES), day=st.dates(date(1970, 1, 3), date(2100, 12, 30)))
def test_a_day_begins_where_the_day_before_ends(zone: str, day: date) -> None:
    start, end = day_start(day, zone), day_start(day + timedelta(days=1), zone)
    assert start <= end
    assert local_day(start - timedelta(microseconds=1), zone) < day
    if start < end:
        assert local_day(start, zone) == local_day(end - timedelta(microseconds=1), zone) == day


@pytest.mark.parametrize(
    ("zone", "day", "starts", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-28T23:00Z", 23),
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-24T22:00Z", 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-04T13:00Z", 24.5),
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00Z", 23),  # there was no 00:00
        ("America/Sao_Paulo", date(2018, 2, 17), "2018-02-17T02:00Z", 25),  # 23:00 came twice
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25T22:00Z", 23),  # there was no 00:00
        ("America/Havana", date(2025, 11, 2), "2025-11-02T04:00Z", 25),  # 00:00 came twice
        ("Pacific/Apia", date(2011, 12, 29), "2011-12-29T10:00Z", 24),
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00Z", 0),  # the day that was skipped
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00Z", 24),
        ("Pacific/Kiritimati", date(2028, 2, 29), "2028-02-28T10:00Z", 24),
        ("Pacific/Pago_Pago", date(2028, 2, 29), "2028-02-29T11:00Z", 24),
    ],
)
def test_a_day_has_its_true_start_and_length(zone: str, day: date, starts: str, hours: float) -> None:
    assert day_start(day, zone) == datetime.fromisoformat(starts)
    assert day_start(day + timedelta(days=1), zone) - day_start(day, zone) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("instant", "zone", "day"),
    [
        ("2011-12-30T09:59:59Z", "Pacific/Apia", date(2011, 12, 29)),
        ("2011-12-30T10:00:00Z", "Pacific/Apia", date(2011, 12, 31)),
        ("2026-05-10T10:30:00Z", "Pacific/Kiritimati", date(2026, 5, 11)),  # either side of the date line
        ("2026-05-10T10:30:00Z", "Pacific/Pago_Pago", date(2026, 5, 9)),
        ("2010-11-07T02:31:00Z", "America/St_Johns", date(2010, 11, 7)),  # 23:01 again, but the 7th has begun
        ("2028-02-29T23:59:59.999999Z", "UTC", date(2028, 2, 29)),
        ("2026-05-11T01:00:00+02:00", "UTC", date(2026, 5, 10)),
    ],
)
def test_an_instant_is_on_one_day(instant: str, zone: str, day: date) -> None:
    moment = datetime.fromisoformat(instant)
    assert local_day(moment, zone) == day
    assert vector([moment], zone) == [day]


@pytest.mark.parametrize("fold", [0, 1])
def test_an_instant_in_the_repeated_hour_of_its_own_zone_keeps_its_day(fold: int) -> None:
    repeated = datetime(2018, 2, 17, 23, 30, fold=fold, tzinfo=ZoneInfo("America/Sao_Paulo"))
    assert local_day(repeated, "America/Sao_Paulo") == date(2018, 2, 17)


def test_the_table_reaches_from_1970_to_2100_and_says_so() -> None:
    assert vector([EPOCH, datetime(2100, 12, 31, 23, tzinfo=UTC)], "UTC") == [date(1970, 1, 1), date(2100, 12, 31)]
    for outside in (EPOCH - MINUTE, datetime(2101, 1, 1, tzinfo=UTC)):
        with pytest.raises(ValueError, match="outside the years 1970 to 2100"):
            vector([EPOCH, outside], "UTC")


def test_a_single_instant_of_any_year_has_a_day() -> None:
    assert local_day(datetime.min.replace(tzinfo=UTC), "America/New_York") == date.min
    assert local_day(datetime.max.replace(tzinfo=UTC), "Asia/Tokyo") == date.max


def test_no_instants_have_no_days() -> None:
    assert local_days(np.array([], np.int64), "UTC").dtype == np.int32


@pytest.mark.parametrize(
    ("now", "zone", "last"),
    [
        ("2026-05-11T01:59:59Z", "UTC", date(2026, 5, 9)),
        ("2026-05-11T02:00:00Z", "UTC", date(2026, 5, 10)),
        ("2026-03-29T23:59:59Z", "Europe/Berlin", date(2026, 3, 28)),  # closes at 02:00 summer time
        ("2026-03-30T00:00:00Z", "Europe/Berlin", date(2026, 3, 29)),
        ("2026-10-25T00:59:59Z", "Europe/Berlin", date(2026, 10, 24)),  # two elapsed hours, in the repeated one
    ],
)
def test_a_day_closes_two_hours_after_its_midnight(now: str, zone: str, last: date) -> None:
    moment = datetime.fromisoformat(now)
    assert last_closed_day(moment, zone) == last
    assert closes_at(last, zone) <= moment < closes_at(last + timedelta(days=1), zone)


def test_the_settle_time_can_be_set() -> None:
    assert closes_at(date(2026, 5, 10), "UTC", settle_h=0) == datetime(2026, 5, 11, tzinfo=UTC)
    assert last_closed_day(datetime(2026, 5, 11, tzinfo=UTC), "UTC", settle_h=0) == date(2026, 5, 10)
