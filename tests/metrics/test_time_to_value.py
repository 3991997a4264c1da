"""Time to value as a table of cases, and against a day-by-day walk over the KPIs themselves."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.events import LicenseIssued, LicenseRevoked
from uptake_metrics import archive
from uptake_metrics.accounts import Account
from uptake_metrics.config import Config
from uptake_metrics.kpis import Counts, account_kpis
from uptake_metrics.time_to_value import UNKNOWN, TimeToValue, in_production, time_to_value
from uptake_metrics.userdays import Masks, UserDays
from uptake_metrics.zones import to_day, to_number

SHIPPED = Config(None).policies
BEGAN = date(2026, 1, 10)
LIVE = date(2026, 1, 31)
TODAY = date(2026, 6, 1)
CLOSED = date(2026, 5, 31)


def active(*rows: tuple[int, date]) -> Masks:
    return archive.fold(
        UserDays(
            np.zeros(len(rows), dtype=np.int32),
            np.array([user for user, _ in rows], dtype=np.uint64),
            np.array([to_number(day) for _, day in rows], dtype=np.int32),
        )
    )


def licence(seats: int, starts: str, expires: str | None = None, name: str = "l") -> LicenseIssued:
    return LicenseIssued.model_validate(
        {
            "id": f"{name}-{starts}",
            "type": "license.issued",
            "occurred_at": starts,
            "account": "acme",
            "license": name,
            "seats": seats,
            "expires_at": expires,
        }
    )


FOUR = (licence(4, "2026-01-01T00:00:00Z"),)
WEEKLY = [(user, LIVE + timedelta(days=10 * user)) for user in range(1, 5)]


def told(*rows: tuple[int, date], **about: object) -> TimeToValue:
    account = {"contract_start": BEGAN, "production_date": LIVE, "licenses": FOUR} | about
    return of(Account("acme", **account), active(*rows))  # type: ignore[arg-type]


def of(account: Account, masks: Masks, today: date = TODAY) -> TimeToValue:
    first, last = in_production(account) or today, today - timedelta(days=1)
    mau = np.full((last - first).days + 1, UNKNOWN, np.int32)
    if len(masks) and len(mau):
        mau = archive.daily(masks, to_number(first), to_number(last)).mau
    return time_to_value(account, to_day(archive.oldest_day(masks)) if len(masks) else None, mau, today)


def test_every_milestone_is_counted_from_the_contract_and_from_production() -> None:
    found = told(*WEEKLY)
    assert (found.production.days, found.production.days_from_production, found.status) == (21, 0, "met")
    assert (found.first_user.on, found.first_user.days) == (LIVE + timedelta(days=10), 31)
    assert (found.adoption_25.days, found.adoption_25.days_from_production) == (31, 10)
    assert (found.adoption_50.days, found.adoption_50.days_from_production) == (41, 20)
    assert (found.adoption_75.days, found.adoption_75.days_from_production) == (51, 30)


@pytest.mark.parametrize(
    ("live", "status"),
    [
        (BEGAN - timedelta(days=3), "met"),
        (BEGAN + timedelta(days=30), "met"),
        (BEGAN + timedelta(days=31), "not_met"),
        (None, "not_met"),
    ],
)
def test_production_is_due_30_days_after_the_contract(live: date | None, status: str) -> None:
    assert told(production_date=live).status == status


def test_the_clock_runs_until_30_days_are_over() -> None:
    account = Account("acme", contract_start=BEGAN)
    for days, status in ((30, "running"), (31, "not_met")):
        today = BEGAN + timedelta(days=days)
        assert of(account, active(), today).status == status


def test_without_a_contract_the_days_from_production_are_still_told() -> None:
    found = told(*WEEKLY, contract_start=None)
    assert (found.status, found.adoption_25.days, found.adoption_25.reason) == ("unknown", None, "no_contract_start")
    assert (found.adoption_25.on, found.adoption_25.days_from_production) == (LIVE + timedelta(days=10), 10)


def test_a_user_before_production_came_before_day_0() -> None:
    found = told((1, LIVE - timedelta(days=40)))
    assert (found.first_user.days, found.first_user.days_from_production) == (-19, -40)
    assert found.adoption_25.reason == "not_reached"  # the window had lost her on the first day of production


def test_users_of_the_window_before_production_count_on_its_first_day() -> None:
    assert told((1, LIVE - timedelta(days=29))).adoption_25.on == LIVE
    assert told((1, LIVE - timedelta(days=30))).adoption_25.on is None


@pytest.mark.parametrize(
    ("about", "first_user", "adoption"),
    [
        ({"production_date": None}, None, "no_production_date"),
        ({"licenses": ()}, None, "no_seats"),
        ({"seats_basis": "none"}, None, "no_seats"),
        ({"telemetry": "none"}, None, "no_telemetry"),
        ({"licenses": (licence(400, "2026-01-01T00:00:00Z"),)}, None, "not_reached"),
    ],
)
def test_the_unknown_has_a_reason(about: dict[str, object], first_user: str | None, adoption: str) -> None:
    found = told(*WEEKLY, **about)
    assert (found.first_user.reason, found.adoption_25.reason, found.adoption_25.on) == (first_user, adoption, None)


def test_nobody_ever() -> None:
    found = told()
    assert (found.first_user.reason, found.adoption_25.reason) == ("no_active_user", "no_telemetry")


def test_a_day_that_is_still_open_reaches_nothing() -> None:
    assert told(*((user, TODAY) for user in range(4))).adoption_25.reason == "not_reached"


def test_fewer_seats_let_the_same_people_reach_more() -> None:
    fewer = (licence(8, "2026-01-01T00:00:00Z"), licence(2, "2026-02-20T00:00:00Z"))
    found = told((1, LIVE + timedelta(days=5)), licenses=fewer)
    assert (found.adoption_25.on, found.adoption_50.on) == (date(2026, 2, 20), date(2026, 2, 20))


def test_what_pings_do_not_tell_is_not_taken_for_nobody() -> None:
    account = Account("acme", contract_start=BEGAN, production_date=LIVE, licenses=FOUR)
    found = time_to_value(account, None, np.array([UNKNOWN, 0, UNKNOWN, 1], np.int32), LIVE + timedelta(days=4))
    assert (found.adoption_25.on, found.adoption_50.reason) == (LIVE + timedelta(days=3), "not_reached")
    dark = time_to_value(account, None, np.array([UNKNOWN, UNKNOWN], np.int32), LIVE + timedelta(days=2))
    assert (dark.first_user.reason, dark.adoption_25.reason) == ("no_active_user", "no_telemetry")


hours = st.integers(0, 24 * 90).map(lambda hour: datetime(2026, 1, 20, tzinfo=UTC) + timedelta(hours=hour))
licences = st.builds(
    lambda name, seats, starts, length: licence(
        seats, starts.isoformat(), (starts + timedelta(hours=length)).isoformat() if length else None, name
    ),
    st.sampled_from("ab"),
    st.integers(0, 6),
    hours,
    st.one_of(st.none(), st.integers(0, 2000)),
)
revocations = st.builds(
    lambda name, at: LicenseRevoked(
        id=f"r-{name}-{at}", type="license.revoked", occurred_at=at, account="acme", license=name
    ),
    st.sampled_from("ab"),
    hours,
)


@given(
    said=st.lists(st.one_of(licences, revocations), max_size=5),
    rows=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 100)), min_size=1, max_size=15),
    zone=st.sampled_from(["UTC", "Pacific/Kiritimati", "America/New_York"]),
)
def test_a_share_is_reached_on_the_first_day_whose_adoption_says_so(
    said: list[LicenseIssued | LicenseRevoked], rows: list[tuple[int, int]], zone: str
) -> None:
    in_order = tuple(sorted(said, key=lambda one: one.occurred_at))
    account = Account("acme", contract_start=BEGAN, production_date=LIVE, licenses=in_order, time_zone=zone)
    masks = active(*((user, BEGAN + timedelta(days=day)) for user, day in rows))
    found = of(account, masks)
    shares = ((found.adoption_25, "1/4"), (found.adoption_50, "1/2"), (found.adoption_75, "3/4"))
    for milestone, share in shares:
        assert milestone.on == next((day for day in DAYS if adoption(account, masks, day) >= Fraction(share)), None)


DAYS = [LIVE + timedelta(days=n) for n in range((CLOSED - LIVE).days + 1)]


def adoption(account: Account, masks: Masks, day: date) -> Fraction:
    counted = archive.daily(masks, to_number(day), to_number(day))
    counts = Counts((0,) * 30, int(counted.wau[0]), int(counted.mau[0]))
    kpi = account_kpis(account, day, counts, BEGAN, datetime(2026, 6, 1, 12, tzinfo=UTC), 0, SHIPPED).adoption
    return Fraction(-1) if kpi.value is None else Fraction(kpi.num or 0, kpi.den or 1)
