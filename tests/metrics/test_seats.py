"""Seats on a day: which licences count, from when, until when, and what is unknown."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.facts import Fact
from uptake_metrics.accounts import Account, fold
from uptake_metrics.seats import GRACE_DAYS, SeatChange, Seats, last_rise, rises, seats


def licence(occurred: str, seats: int | str = 40, *, license: str = "l1", kind: str = "issued", **fields: Any) -> Fact:
    event: dict[str, Any] = {
        "id": f"{license} {occurred} {kind}",
        "type": f"license.{kind}",
        "occurred_at": f"{occurred}:00Z",
    }
    event |= {"account": "acme", "license": license, "seats": seats}
    event |= {name: f"{value}:00Z" if name.endswith("_at") else value for name, value in fields.items()}
    received = datetime(2026, 6, 1, tzinfo=UTC)
    return Fact.model_validate({"source": "billing", "received_at": received, "event": event})


def revoked(occurred: str, license: str = "l1") -> Fact:
    return licence(occurred, kind="revoked", license=license)


def account(*licences: Fact, **attributes: Any) -> Account:
    event = {"id": "a", "type": "account.updated", "occurred_at": "2026-01-01T00:00:00Z", "account": "acme"}
    stated = {"source": "crm", "received_at": datetime(2026, 1, 1, tzinfo=UTC), "event": event | attributes}
    return fold("acme", [Fact.model_validate(stated), *licences])


def change(account: Account, day: date) -> SeatChange | None:
    return last_rise(rises(account, day - timedelta(days=GRACE_DAYS), day), day)


JAN = "2026-01-01T00:00"


@pytest.mark.parametrize(
    ("licences", "day", "count"),
    [
        pytest.param([], "2026-05-10", None, id="no licence"),
        pytest.param([licence(JAN)], "2026-05-10", 40, id="starts when it occurred"),
        pytest.param([licence(JAN)], "2025-12-31", None, id="not before it occurred"),
        pytest.param([licence("2026-05-10T15:00")], "2026-05-10", 40, id="begins mid-day: in force at the end"),
        pytest.param(
            [licence(JAN, starts_at="2026-05-11T00:00")], "2026-05-10", None, id="begins at the end of the day"
        ),
        pytest.param([licence(JAN, starts_at="2026-05-10T23:59")], "2026-05-10", 40, id="begins in the last minute"),
        pytest.param([licence(JAN, starts_at="2025-03-01T00:00")], "2025-03-01", 40, id="starts before it was said"),
        pytest.param([licence(JAN, expires_at="2026-05-10T15:00")], "2026-05-10", None, id="ends mid-day"),
        pytest.param([licence(JAN, expires_at="2026-05-10T15:00")], "2026-05-09", 40, id="the day before its end"),
        pytest.param([licence(JAN, expires_at="2026-05-11T00:00")], "2026-05-10", 40, id="ends with the day"),
        pytest.param([licence(JAN, expires_at="2026-05-11T00:00")], "2026-05-11", None, id="ended at midnight"),
        pytest.param([licence(JAN), licence(JAN, 7, license="l2")], "2026-05-10", 47, id="two licences sum"),
        pytest.param([licence(JAN, environment="trial")], "2026-05-10", None, id="a trial licence never counts"),
        pytest.param(
            [licence(JAN), licence(JAN, 9, license="l2", environment="staging")],
            "2026-05-10",
            40,
            id="nor does staging",
        ),
        pytest.param([licence(JAN, 0)], "2026-05-10", None, id="zero seats are no seats"),
        pytest.param([licence(JAN, 0), licence(JAN, 5, license="l2")], "2026-05-10", 5, id="zero beside five"),
        pytest.param([licence(JAN, "unlimited")], "2026-05-10", None, id="unlimited has no number"),
        pytest.param(
            [licence(JAN, "unlimited"), licence(JAN, license="l2")], "2026-05-10", None, id="unlimited beside forty"
        ),
        pytest.param([licence(JAN), revoked("2026-05-10T15:00")], "2026-05-10", None, id="revoked mid-day"),
        pytest.param([licence(JAN), revoked("2026-05-10T15:00")], "2026-05-09", 40, id="the day before"),
        pytest.param([licence(JAN), revoked("2026-05-11T00:00")], "2026-05-10", 40, id="revoked at midnight"),
        pytest.param([revoked(JAN)], "2026-05-10", None, id="revoked and never issued"),
        pytest.param(
            [licence(JAN), revoked("2026-02-01T00:00"), licence("2026-03-01T00:00", 60)],
            "2026-05-10",
            60,
            id="reissued",
        ),
        pytest.param(
            [licence(JAN), licence("2026-04-01T00:00", 60, starts_at=JAN)], "2026-02-01", 60, id="a correction, wholly"
        ),
        pytest.param([licence(JAN), licence("2026-04-01T00:00", 60)], "2026-03-31", 40, id="before a change"),
        pytest.param([licence(JAN), licence("2026-04-01T00:00", 60)], "2026-04-01", 60, id="a change, from its day"),
        pytest.param(
            [licence(JAN), licence("2026-04-01T00:00", 60, expires_at="2026-05-01T00:00")],
            "2026-05-10",
            None,
            id="an expired change does not bring the older statement back",
        ),
        pytest.param(
            [
                licence("2026-02-01T00:00", 60, starts_at="2026-06-01T00:00"),
                licence("2026-03-01T00:00", 50, starts_at=JAN),
            ],
            "2026-06-10",
            50,
            id="the newest statement holds where it reaches back",
        ),
    ],
)
def test_seats_are_those_in_force_at_the_end_of_the_day(licences: list[Fact], day: str, count: int | None) -> None:
    expected = Seats(count, "purchased", None if count else "no_seats")
    assert seats(account(*licences), date.fromisoformat(day)) == expected
    assert seats(account(*reversed(licences)), date.fromisoformat(day)) == expected


@pytest.mark.parametrize(
    ("zone", "last_day"),
    [("UTC", date(2026, 5, 9)), ("Pacific/Kiritimati", date(2026, 5, 10)), ("Pacific/Pago_Pago", date(2026, 5, 8))],
)
def test_the_end_of_the_day_is_the_accounts_own(zone: str, last_day: date) -> None:
    held = account(licence(JAN, expires_at="2026-05-10T10:30"), time_zone=zone)  # the 9th, 10th and 11th
    assert seats(held, last_day).count == 40
    assert seats(held, last_day + timedelta(days=1)).count is None


@pytest.mark.parametrize(
    ("licences", "attributes", "expected"),
    [
        ([licence(JAN, "unlimited")], {"addressable": 200}, Seats(200, "addressable", None)),
        (
            [licence(JAN, "unlimited"), licence(JAN, license="l2")],
            {"addressable": 200},
            Seats(200, "addressable", None),
        ),
        ([licence(JAN, "unlimited")], {}, Seats(None, "addressable", "no_seats")),
        ([licence(JAN, "unlimited")], {"addressable": 0}, Seats(None, "addressable", "no_seats")),
        ([], {"addressable": 200}, Seats(200, "addressable", None)),  # no licence on record: the statement is enough
        ([licence(JAN, environment="trial")], {"addressable": 200}, Seats(200, "addressable", None)),
        (
            [licence(JAN, "unlimited", expires_at="2026-05-10T15:00")],
            {"addressable": 200},
            Seats(None, "addressable", "no_seats"),
        ),
        ([licence(JAN)], {"seats_basis": "none"}, Seats(None, "none", "no_seats")),
    ],
)
def test_the_basis_says_what_a_seat_is(licences: list[Fact], attributes: dict[str, Any], expected: Seats) -> None:
    assert seats(account(*licences, **{"seats_basis": "addressable", **attributes}), date(2026, 5, 10)) == expected


def test_the_basis_is_the_one_of_the_day() -> None:
    """An account that goes from 40 purchased seats to an unlimited contract on the 1st of April."""
    said = {"source": "crm", "received_at": datetime(2026, 4, 1, tzinfo=UTC)}
    event = {"id": "b", "type": "account.updated", "occurred_at": "2026-04-01T08:00:00Z", "account": "acme"}
    moved = Fact.model_validate(said | {"event": event | {"seats_basis": "addressable", "addressable": 200}})
    first = {"id": "a", "type": "account.updated", "occurred_at": "2026-01-01T00:00:00Z", "account": "acme"}
    start = Fact.model_validate(said | {"event": first | {"seats_basis": "purchased"}})
    held = fold("acme", [start, moved, licence(JAN)])
    assert [seats(held, date(2026, 3, 31)), seats(held, date(2026, 4, 1))] == [
        Seats(40, "purchased", None),
        Seats(200, "addressable", None),
    ]
    assert change(held, date(2026, 4, 1)) == SeatChange(date(2026, 4, 1), 40, date(2026, 5, 1))


@pytest.mark.parametrize(
    ("licences", "day", "count"),
    [
        pytest.param(
            [licence(JAN), licence("2026-04-01T00:00", 40, environment="trial")],
            "2026-04-01",
            None,
            id="a licence that becomes a trial's",
        ),
        pytest.param(
            [licence(JAN), licence("2026-02-01T00:00", 25, license="l2", expires_at="2026-03-01T12:00")],
            "2026-02-28",
            65,
            id="two overlap",
        ),
        pytest.param(
            [licence(JAN), licence("2026-02-01T00:00", 25, license="l2", expires_at="2026-03-01T12:00")],
            "2026-03-01",
            40,
            id="the second ended at noon",
        ),
        pytest.param(
            [licence(JAN, expires_at="2026-03-01T00:00"), licence("2026-02-10T00:00", 40, starts_at=JAN)],
            "2026-05-10",
            40,
            id="a correction takes the end away",
        ),
        pytest.param(
            [licence(JAN), licence("2026-02-10T00:00", 0, starts_at=JAN)], "2026-01-15", None, id="corrected to nothing"
        ),
        pytest.param(
            [licence(JAN, starts_at="2026-03-01T00:00", expires_at="2026-03-01T00:00")],
            "2026-03-01",
            None,
            id="a term of no length",
        ),
    ],
)
def test_licences_that_change_and_overlap(licences: list[Fact], day: str, count: int | None) -> None:
    assert seats(account(*licences), date.fromisoformat(day)).count == count


RISE = date(2026, 4, 1)


@pytest.mark.parametrize(
    ("after", "day", "expected"),
    [
        (49, RISE, SeatChange(RISE, 40, date(2026, 5, 1))),
        (48, RISE, None),  # exactly 20 %
        (39, RISE, None),
        (49, date(2026, 3, 31), None),
        (49, date(2026, 5, 1), SeatChange(RISE, 40, date(2026, 5, 1))),
        (49, date(2026, 5, 2), None),
    ],
)
def test_a_rise_by_more_than_a_fifth_is_told_for_thirty_days(
    after: int, day: date, expected: SeatChange | None
) -> None:
    assert change(account(licence(JAN), licence("2026-04-01T00:00", after)), day) == expected


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        pytest.param([licence("2026-04-01T00:00")], None, id="a first licence is no rise"),
        pytest.param(
            [licence(JAN), licence("2026-04-01T00:00", 80), licence("2026-04-05T00:00", 100)],
            SeatChange(date(2026, 4, 5), 80, date(2026, 5, 5)),
            id="the last of two",
        ),
        pytest.param(
            [licence(JAN, expires_at="2026-04-02T00:00"), licence("2026-04-04T00:00", 60)],
            SeatChange(date(2026, 4, 4), 40, date(2026, 5, 4)),
            id="across a gap between two terms",
        ),
        pytest.param(
            [licence(JAN, expires_at="2026-02-02T09:00"), licence("2026-04-04T00:00", 60)],
            SeatChange(date(2026, 4, 4), 40, date(2026, 5, 4)),
            id="across a gap of two months",
        ),
        pytest.param(
            [licence(JAN), revoked("2026-01-20T00:00"), licence("2026-04-04T00:00", 48)],
            None,
            id="across a gap, by exactly a fifth",
        ),
        pytest.param(
            [
                licence(JAN, 20),
                licence(JAN, 20, license="l2", expires_at="2026-02-02T09:00"),
                licence("2026-04-04T00:00", 30),
            ],
            SeatChange(date(2026, 4, 4), 20, date(2026, 5, 4)),
            id="against what was left when another one had ended",
        ),
        pytest.param(
            [licence(JAN, environment="trial"), licence("2026-04-04T00:00", 60, license="l2")],
            None,
            id="a trial licence before is no number",
        ),
    ],
)
def test_a_rise_is_against_the_last_known_number(licences: list[Fact], expected: SeatChange | None) -> None:
    assert change(account(*licences), date(2026, 4, 10)) == expected


def day_by_day(account: Account, day: date) -> SeatChange | None:
    """The definition word by word: every day since before the first statement is looked at."""
    found, before = None, None
    for number in range((day - date(2025, 12, 1)).days + 1):
        on = date(2025, 12, 1) + timedelta(days=number)
        count = seats(account, on).count
        if before and count and 5 * count > 6 * before and (day - on).days <= GRACE_DAYS:
            found = SeatChange(on, before, on + timedelta(days=GRACE_DAYS))
        before = count or before
    return found


HOURS = st.integers(0, 24 * 120)
TERMS = st.tuples(HOURS, HOURS | st.none(), st.sampled_from([5, 10, 12, 13, 20, "unlimited"]), st.sampled_from("ab"))
BASES = st.tuples(HOURS, st.sampled_from(["purchased", "addressable", "none"]), st.none() | st.sampled_from([10, 15]))


@given(st.lists(TERMS, max_size=5), st.lists(BASES, max_size=3), st.sampled_from(["UTC", "Pacific/Apia", "Asia/Tokyo"]))
def test_the_rises_are_those_of_a_walk_over_every_day(
    terms: list[tuple[int, int | None, int | str, str]], bases: list[tuple[int, str, int | None]], zone: str
) -> None:
    def at(hours: int) -> str:
        return f"{datetime(2026, 1, 1) + timedelta(hours=hours):%Y-%m-%dT%H:%M}"  # noqa: DTZ001  # the text is UTC's

    facts = [
        licence(at(start), count, license=name, **({} if end is None else {"expires_at": at(max(start, end) + 1)}))
        for start, end, count, name in terms
    ]
    for hours, basis, addressable in bases:
        event = {"id": f"b{hours}", "type": "account.updated", "occurred_at": f"{at(hours)}:00Z", "account": "acme"}
        event |= {"seats_basis": basis, "addressable": addressable}
        facts.append(
            Fact.model_validate({"source": "crm", "received_at": datetime(2026, 6, 1, tzinfo=UTC), "event": event})
        )
    held = account(*facts, time_zone=zone)
    days = [date(2025, 12, 31) + timedelta(days=number) for number in range(150)]
    found = rises(held, days[0] - timedelta(days=GRACE_DAYS), days[-1])
    for day in days[::7]:
        assert last_rise(found, day) == change(held, day) == day_by_day(held, day)
