"""The numbers asked the hard way: clocks that change, zones a day apart, dates that move, licences that end at noon.

Everything goes through counting and evaluation; what is expected is written out, or recounted with plain sets.
"""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

TODAY = date(2026, 8, 25)


@pytest.fixture
def kpis(metrics):
    """The numbers of one account on one day."""

    async def kpis(account, day):
        await metrics.load()
        return (await metrics.board.line(account, day)).kpis

    return kpis


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2025, 10, 26), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2025, 11, 2), 25),
        ("America/Havana", date(2026, 3, 8), 23),  # the hour that is missing is the first of the day
        ("America/Havana", date(2025, 11, 2), 25),  # the clock goes back over midnight's first hour
        ("Australia/Lord_Howe", date(2025, 10, 5), 23.5),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ],
)
async def test_every_hour_of_a_short_or_a_long_day_is_on_that_day(metrics, event, fact, counted, zone, day, hours):
    """A user each half hour of real time; the neighbours of the day get what lies outside, and nobody twice."""
    begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    instants = [begin + timedelta(minutes=30 * number) for number in range(-4, 56)]
    await metrics.learn(fact("account.updated", account="acme", time_zone=zone))
    await metrics.count(*(event("acme", f"user-{number}", at) for number, at in enumerate(instants)))
    before, that, after = [dau for dau, _, _ in await counted("acme", day - timedelta(days=1), day + timedelta(days=1))]
    assert (before, that, after) == (4, int(hours * 2), 56 - int(hours * 2))


@pytest.fixture
def counted(metrics):
    return metrics.counted


async def test_one_instant_is_two_days_on_the_two_sides_of_the_date_line(metrics, event, fact, counted):
    at = datetime(2026, 8, 10, 10, 30, tzinfo=UTC)  # 00:30 on the 11th in Kiritimati, 23:30 on the 9th in Pago Pago
    zones = {"east": "Pacific/Kiritimati", "west": "Pacific/Pago_Pago"}
    await metrics.learn(*(fact("account.updated", account=name, time_zone=zone) for name, zone in zones.items()))
    await metrics.count(*(event(name, "ann", at) for name in zones))
    days = date(2026, 8, 9), date(2026, 8, 11)
    assert [dau for dau, _, _ in await counted("west", *days)] == [1, 0, 0]
    assert [dau for dau, _, _ in await counted("east", *days)] == [0, 0, 1]


async def test_a_zone_that_skipped_a_day_counts_the_others(metrics, event, fact, counted):
    """Samoa went from the 29th to the 31st of December 2011."""
    begin = datetime(2011, 12, 29, 12, tzinfo=UTC)
    events = [event("acme", f"user-{hour}", begin + timedelta(hours=hour)) for hour in range(48)]
    await metrics.learn(fact("account.updated", account="acme", time_zone="Pacific/Apia"))
    await metrics.count(*events, import_id="old")
    days = [dau for dau, _, _ in await counted("acme", date(2011, 12, 28), date(2012, 1, 1))]
    local = [one["at"].astimezone(ZoneInfo("Pacific/Apia")).date() for one in events]
    assert days == [local.count(date(2011, 12, 28) + timedelta(days=number)) for number in range(5)]
    assert (days[2], sum(days)) == (0, 48)


@pytest.mark.parametrize(("year", "last"), [(2024, 29), (2025, 28), (2026, 28)])
async def test_windows_that_end_on_the_last_day_of_february(metrics, event, recount, counted, year, last):
    end = date(year, 2, last)
    events = [
        event("acme", f"user-{number % 7}", (end + timedelta(days=day)).isoformat())
        for number, day in enumerate(range(-40, 3))
    ]
    await metrics.count(*events, import_id="old")
    for day in (end - timedelta(days=1), end, end + timedelta(days=1)):
        assert await counted("acme", day, day) == [recount(events, day)]


async def test_a_contact_on_the_29th_of_february_opens_and_leaves_the_window_of_thirty_days(metrics, event, counted):
    await metrics.count(event("acme", "ann", "2024-02-29"), import_id="old")
    mau = [mau for _, _, mau in await counted("acme", date(2024, 2, 28), date(2024, 3, 30))]
    assert mau == [0, *[1] * 30, 0]


async def test_a_production_date_that_moves_moves_the_whole_ladder(metrics, event, fact, kpis):
    await metrics.count(event("acme", "ann", "2026-08-20"))
    await metrics.learn(
        fact("license.issued", account="acme", license="l", seats=4),
        fact("account.updated", "2026-02-01T00:00:00Z", account="acme", production_date="2026-05-27"),
    )
    first = await kpis("acme", date(2026, 8, 24))
    assert (first.adoption.n, first.adoption.target, first.adoption.on_target) == (89, 0.25, True)
    await metrics.learn(fact("account.updated", "2026-08-01T00:00:00Z", account="acme", production_date="2026-05-25"))
    moved = await kpis("acme", date(2026, 8, 24))
    assert (moved.adoption.n, moved.adoption.target, moved.adoption.on_target) == (91, 0.5, False)
    await metrics.learn(fact("account.updated", "2026-08-02T00:00:00Z", account="acme", production_date=None))
    gone = await kpis("acme", date(2026, 8, 24))
    assert (gone.adoption.n, gone.adoption.value, gone.adoption.reason) == (None, None, "no_production_date")


async def test_a_licence_that_ends_in_the_middle_of_a_local_day_is_not_in_force_at_its_end(metrics, event, fact, kpis):
    """21:00 in Los Angeles on the 10th, when it is the 11th in UTC."""
    await metrics.count(event("acme", "ann", "2026-08-09T20:00:00+00:00"))
    await metrics.learn(
        fact("account.updated", account="acme", time_zone="America/Los_Angeles", production_date="2026-01-01"),
        fact("license.issued", account="acme", license="a", seats=10),
        fact("license.issued", account="acme", license="b", seats=30, expires_at="2026-08-11T04:00:00Z"),
    )
    seats = [(await kpis("acme", date(2026, 8, day))).adoption.den for day in (9, 10, 11)]
    assert seats == [40, 10, 10]


async def test_usage_of_a_weekly_rhythm_is_the_same_on_every_day_of_the_week(metrics, event, fact, kpis):
    """A team that comes on Mondays and Tuesdays: eight user-days a head in any 28 days."""
    days = [TODAY - timedelta(days=back) for back in range(62)]
    come = [day for day in days if day.weekday() in (0, 1)]
    await metrics.count(*(event("acme", user, day.isoformat()) for day in come for user in ("ann", "bob")))
    week = [(await kpis("acme", date(2026, 8, 18) + timedelta(days=number))).usage for number in range(7)]
    assert {(one.num, one.den) for one in week} == {(16, 56)}
    assert {Fraction(one.num, one.den) for one in week} == {Fraction(2, 7)}
