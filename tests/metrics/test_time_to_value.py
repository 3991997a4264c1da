"""Time to value as a table of cases, and against a day-by-day walk over the KPIs themselves."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.events import LicenseIssued, LicenseRevoked
from uptake.messages.facts import Fact
from uptake.messages.kpi import AdoptionKpi
from uptake_metrics import archive
from uptake_metrics.accounts import Account, fold
from uptake_metrics.config import Config
from uptake_metrics.instances import Instances
from uptake_metrics.kpis import Counts, account_kpis
from uptake_metrics.policies import Policies
from uptake_metrics.time_to_value import UNKNOWN, TimeToValue, at_most, in_production, time_to_value
from uptake_metrics.userdays import Masks, UserDays
from uptake_metrics.zones import day_start, to_day, to_number

SHIPPED = Config(None).policies
BEGAN = date(2026, 1, 10)
LIVE = date(2026, 1, 31)
TODAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
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


def told(*rows: tuple[int, date], **about: Any) -> TimeToValue:
    account: dict[str, Any] = {"contract_start": BEGAN, "production_date": LIVE, "licenses": FOUR} | about
    return of(Account("acme", **account), active(*rows))


def of(
    account: Account,
    masks: Masks,
    today: date = TODAY,
    instances: Instances | None = None,
    policies: Policies = SHIPPED,
) -> TimeToValue:
    """As the service asks: what was counted, what pings say, and the one definition of adoption."""
    first, last = in_production(account) or today, today - timedelta(days=1)
    known = instances or Instances()
    days = max(0, (last - first).days + 1)
    most = np.full(days, UNKNOWN, np.int64)
    if days and (len(masks) or known.told_at_most("acme")):
        counted = archive.daily(masks, to_number(first), to_number(last)).mau
        most = at_most(first, counted, known.told_at_most("acme"))
    first_user = to_day(archive.oldest_day(masks)) if len(masks) else None
    return time_to_value(account, first_user, most, lambda day: kpi(account, masks, day, known, policies), today)


def kpi(
    account: Account, masks: Masks, day: date, instances: Instances | None = None, policies: Policies = SHIPPED
) -> AdoptionKpi:
    """Of a day, by the KPIs of that day and nothing else."""
    number = to_number(day)
    counted, counts, heard = archive.daily(masks, number - 29, number), None, None
    if len(masks):
        counts = Counts(tuple(counted.dau.tolist()), int(counted.wau[-1]), int(counted.mau[-1]))
        before = archive.until(masks, number)
        heard = to_day(archive.newest_day(before)) if len(before) else None
    told = (instances or Instances()).told("acme", day, day_start(day + timedelta(days=1), account.time_zone))
    return account_kpis(account, day, counts, heard, NOW, 0, policies, told).adoption


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
        ({"policy": "ce-1999"}, None, "unknown_policy"),
        ({"production_date": date(9999, 12, 31)}, None, "not_reached"),
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
    everybody = [(user, TODAY) for user in range(4)]
    assert told((1, BEGAN), *everybody).adoption_50.reason == "not_reached"
    assert told(*everybody).adoption_50.reason == "no_telemetry"  # nothing was heard by the last closed day


def test_fewer_seats_let_the_same_people_reach_more() -> None:
    fewer = (licence(8, "2026-01-01T00:00:00Z"), licence(2, "2026-02-20T00:00:00Z"))
    found = told((1, LIVE + timedelta(days=5)), licenses=fewer)
    assert (found.adoption_25.on, found.adoption_50.on) == (date(2026, 2, 20), date(2026, 2, 20))


def ping(day: date, mau: int, instance: str | None = None) -> Fact:
    """It comes at the end of the day that it tells of."""
    at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=23)
    event = {"id": f"{instance}-{day}", "type": "usage.ping", "occurred_at": at, "day": day, "mau": mau}
    event |= {"instance": instance} if instance else {"account": "acme"}
    return Fact.model_validate({"source": "crm", "received_at": at, "event": event})


def pinged(*pings: Fact) -> Instances:
    known = Instances()
    mapped = {"type": "instance.mapped", "occurred_at": "2026-01-01T00:00:00Z", "account": "acme"}
    known.learn(
        [
            *(
                Fact.model_validate({"source": "crm", "received_at": NOW, "event": mapped | {"id": n, "instance": n}})
                for n in ("i-1", "i-2")
            ),
            *pings,
        ],
        lambda _: "UTC",
    )
    return known


def test_what_pings_do_not_tell_is_not_taken_for_nobody() -> None:
    account = Account("acme", contract_start=BEGAN, production_date=LIVE, licenses=FOUR, telemetry="pings")
    days = [LIVE + timedelta(days=n) for n in (1, 3, 20)]
    found = of(account, active(), instances=pinged(*map(ping, days, (0, 1, 2))))
    assert (found.adoption_25.on, found.adoption_50.on, found.adoption_75.reason) == (days[1], days[2], "not_reached")
    dark = of(account, active())
    assert (dark.first_user.reason, dark.adoption_25.reason) == ("no_active_user", "no_telemetry")


@pytest.mark.parametrize("told", [(2, 2), (2, 1), (1, 2)])
def test_pings_of_several_installations_reach_what_the_least_of_them_reaches(told: tuple[int, int]) -> None:
    """Two and two may be the same two: 50 % and not 100; and where that is not judged, it is not reached."""
    account = Account("acme", contract_start=BEGAN, production_date=LIVE, licenses=FOUR, telemetry="pings")
    day = LIVE + timedelta(days=200)  # 75 % is due, so that two to four people are no judgement
    early = [ping(LIVE, mau, one) for mau, one in zip(told, ("i-1", "i-2"), strict=True)]
    late = [ping(day, 2, one) for one in ("i-1", "i-2")]
    found = of(account, active(), LIVE + timedelta(days=230), pinged(*early))
    assert (found.adoption_25.on, found.adoption_50.on, found.adoption_75.on) == (LIVE, LIVE, None)
    unjudged = of(account, active(), day + timedelta(days=3), pinged(*late))
    assert (unjudged.adoption_50.on, unjudged.adoption_50.reason) == (None, "several_installations")


def test_an_event_of_the_day_wins_over_its_ping_here_too() -> None:
    account = Account("acme", contract_start=BEGAN, production_date=LIVE, licenses=FOUR)
    known = pinged(*(ping(LIVE + timedelta(days=n), 4) for n in range(40)))
    found = of(account, active((1, LIVE + timedelta(days=1))), instances=known)
    assert (found.adoption_25.on, found.adoption_75.on) == (LIVE, LIVE)  # nothing was counted by then
    found = of(account, active((1, LIVE)), instances=known)
    assert (found.adoption_25.on, found.adoption_50.on) == (LIVE, LIVE + timedelta(days=5))  # stale by then


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


statements = st.lists(
    st.tuples(
        st.integers(-30, 110).map(lambda day: LIVE + timedelta(days=day)),
        st.sampled_from(
            [
                ("telemetry", "none"),
                ("telemetry", "pings"),
                ("telemetry", None),
                ("seats_basis", "addressable"),
                ("seats_basis", None),
                ("addressable", 3),
                ("addressable", 8),
                ("policy", "ta-2022"),
                ("policy", "no-such"),
            ]
        ),
    ),
    max_size=5,
)


def described(said: list[tuple[date, tuple[str, Any]]], zone: str) -> Account:
    """An account that was introduced in 2025 and has said so much since."""
    facts = [
        {"contract_start": BEGAN, "production_date": LIVE, "time_zone": zone, "occurred_at": "2025-01-01T00:00:00Z"},
        *({name: value, "occurred_at": f"{day}T12:00:00Z"} for day, (name, value) in said),
    ]
    return fold(
        "acme",
        [
            Fact.model_validate(
                {
                    "source": "crm",
                    "received_at": NOW,
                    "event": fields | {"id": str(n), "type": "account.updated", "account": "acme"},
                }
            )
            for n, fields in enumerate(facts)
        ],
    )


@given(
    said=st.lists(st.one_of(licences, revocations), max_size=5),
    rows=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 100)), max_size=15),
    pings=st.lists(
        st.tuples(st.integers(0, 100), st.integers(0, 6), st.sampled_from([None, "i-1", "i-2"])), max_size=6
    ),
    attributes=statements,
    zone=st.sampled_from(["UTC", "Pacific/Kiritimati", "America/New_York"]),
)
def test_a_share_is_reached_on_the_first_day_whose_adoption_says_so(
    said: list[LicenseIssued | LicenseRevoked],
    rows: list[tuple[int, int]],
    pings: list[tuple[int, int, str | None]],
    attributes: list[tuple[date, tuple[str, Any]]],
    zone: str,
) -> None:
    """Found without asking of each day, and the same as asking of each: tiers, pings, bases, policies and all."""
    account = replace(described(attributes, zone), licenses=tuple(sorted(said, key=lambda one: one.occurred_at)))
    masks = active(*((user, BEGAN + timedelta(days=day)) for user, day in rows))
    known = pinged(*(ping(BEGAN + timedelta(days=day), mau, instance) for day, mau, instance in pings))
    found = of(account, masks, instances=known)
    told = {day: kpi(account, masks, day, known) for day in DAYS}
    adoption = {day: Fraction(one.num or 0, one.den or 1) for day, one in told.items() if one.value is not None}
    shares = ((found.adoption_25, "1/4"), (found.adoption_50, "1/2"), (found.adoption_75, "3/4"))
    for milestone, share in shares:
        assert milestone.on == next((day for day in DAYS if adoption.get(day, -1) >= Fraction(share)), None)
        if milestone.on is None:
            assert milestone.reason == ("not_reached" if adoption else told[DAYS[-1]].reason)


DAYS = [LIVE + timedelta(days=n) for n in range((CLOSED - LIVE).days + 1)]


def test_days_on_which_it_cannot_be_are_not_asked_of() -> None:
    """Or a list of all accounts would evaluate every day of every account."""
    account = Account("acme", contract_start=BEGAN, production_date=LIVE, licenses=FOUR)
    masks, asked = active(*WEEKLY), list[date]()

    def ask(day: date) -> AdoptionKpi:
        asked.append(day)
        return kpi(account, masks, day)

    most = archive.daily(masks, to_number(LIVE), to_number(CLOSED)).mau.astype(np.int64)
    found = time_to_value(account, None, most, ask, TODAY)
    assert sorted(asked) == [found.adoption_25.on, found.adoption_50.on, found.adoption_75.on, CLOSED]
