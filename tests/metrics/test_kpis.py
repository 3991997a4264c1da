"""Every KPI of one account on one day, row by row: the number, its judgement, and why there is none."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.config import parse
from uptake.messages.events import LicenseIssued
from uptake.messages.kpi import AccountKpis, AdoptionKpi, UsageKpi
from uptake_metrics.accounts import Account
from uptake_metrics.config import Config
from uptake_metrics.instances import Aggregate, Told
from uptake_metrics.kpis import Counts, account_kpis, rounded
from uptake_metrics.policies import Policies

AS_OF = date(2026, 5, 10)
CLOSED = datetime(2026, 5, 11, 2, tzinfo=UTC)
CONTACT = AS_OF
SHIPPED = Config(None).policies
NOTHING_TOLD = Told()
EVERY_DAY = Counts(dau_30=(6,) * 30, wau=15, mau=20)


def licence(seats: int) -> LicenseIssued:
    return LicenseIssued(
        id="l",
        type="license.issued",
        occurred_at=datetime(2020, 1, 1, tzinfo=UTC),
        account="acme",
        license="l",
        seats=seats,
    )


def acme(*, n: int | None = 129, seats: int = 40, **attributes: Any) -> Account:
    production_date = None if n is None else AS_OF - timedelta(days=n)
    licenses = (licence(seats),) if seats else ()
    return Account("acme", production_date=production_date, licenses=licenses, **attributes)


def kpis(
    account: Account,
    counts: Counts | None = EVERY_DAY,
    *,
    last_contact: date | None = CONTACT,
    now: datetime = CLOSED,
    as_of: date = AS_OF,
    policies: Policies = SHIPPED,
    told: Told = NOTHING_TOLD,
) -> AccountKpis:
    return account_kpis(account, as_of, counts, last_contact, now, revision=2, policies=policies, told=told)


def counts_of(user_days: int, mau: int) -> Counts:
    """`user_days` on the last day, so that every window holds all of them."""
    return Counts(dau_30=(*(0,) * 29, user_days), wau=mau, mau=mau)


def test_the_whole_answer() -> None:
    counts = Counts(dau_30=(13, 12, *(6,) * 24, 8, 8, 8, 12), wau=17, mau=20)
    assert kpis(acme(), counts) == AccountKpis(
        account="acme",
        as_of=AS_OF,
        time_zone="UTC",
        partial=False,
        revision=2,
        data_health="fresh",
        last_contact=CONTACT,
        dau=12,
        wau=17,
        mau=20,
        reason=None,
        usage=UsageKpi(
            value=0.3214,
            num=180,
            den=560,
            status="healthy",
            provisional=False,
            reason=None,
            dau_mau_point=0.6,
            usage_30_30=0.3417,
        ),
        adoption=AdoptionKpi(
            value=0.5,
            num=20,
            den=40,
            basis="purchased",
            target=0.5,
            on_target=True,
            status="on_target",
            n=129,
            policy="ce-2022",
            pace=0.3583,
            reason=None,
            next_target=0.75,
            band_end=180,
            policy_version=date(2022, 1, 1),
            policy_source="default",
            anchor=date(2026, 1, 1),
        ),
        telemetry="full",
        source_of_counts="events",
    )


@pytest.mark.parametrize(
    ("user_days", "mau", "status"),
    [
        (169, 20, "healthy"),
        (168, 20, "concerning"),  # exactly 30 %
        (113, 20, "concerning"),
        (112, 20, "poor"),  # exactly 20 %
        (84, 10, "concerning"),  # 0.1 + 0.2 > 0.3 in floats
        (3, 2, "poor"),
        (560, 20, "healthy"),
    ],
)
def test_usage_is_judged_strictly(user_days: int, mau: int, status: str) -> None:
    usage = kpis(acme(), counts_of(user_days, mau)).usage
    assert (usage.status, usage.num, usage.den) == (status, user_days, 28 * mau)


@pytest.mark.parametrize(
    ("n", "num", "den", "provisional"),
    [
        (None, 28 * 6, 28 * 20, False),
        (-1, 28 * 6, 28 * 20, False),
        (0, 6, 20, True),
        (1, 12, 40, True),
        (26, 27 * 6, 27 * 20, True),
        (27, 28 * 6, 28 * 20, False),
        (28, 28 * 6, 28 * 20, False),
    ],
)
def test_a_young_account_has_the_days_since_production(n: int | None, num: int, den: int, provisional: bool) -> None:
    usage = kpis(acme(n=n)).usage
    assert (usage.num, usage.den, usage.provisional, usage.value) == (num, den, provisional, 0.3)


def test_a_mean_is_provisional_until_28_of_its_days_are_closed() -> None:
    while_open = datetime(2026, 5, 10, 15, tzinfo=UTC)
    assert kpis(acme(n=27), now=while_open).usage.provisional
    assert not kpis(acme(n=27)).usage.provisional
    assert not kpis(acme(n=28), now=while_open).usage.provisional


@pytest.mark.parametrize(
    ("n", "now", "reason"),
    [
        (0, datetime(2026, 5, 10, 15, tzinfo=UTC), "no_closed_day"),
        (0, datetime(2026, 5, 11, 1, 59, tzinfo=UTC), "no_closed_day"),
        (0, CLOSED, None),
        (1, datetime(2026, 5, 10, 1, tzinfo=UTC), "no_closed_day"),  # the day before closes at 02:00
        (1, datetime(2026, 5, 10, 2, tzinfo=UTC), None),
        (200, datetime(2026, 5, 10, 1, tzinfo=UTC), None),
    ],
)
def test_usage_needs_a_closed_day(n: int, now: datetime, reason: str | None) -> None:
    usage = kpis(acme(n=n), now=now).usage
    assert usage.reason == reason
    assert (usage.value is None) == (reason is not None)


NOBODY = counts_of(0, 0)


@pytest.mark.parametrize(
    ("telemetry", "counts", "last_contact", "usage_reason", "adoption_reason"),
    [
        ("full", EVERY_DAY, CONTACT, None, None),
        ("full", NOBODY, CONTACT, "no_active_users", None),  # adoption is a real 0
        ("full", NOBODY, None, "no_telemetry", "no_telemetry"),  # before the first contact
        ("full", None, None, "no_telemetry", "no_telemetry"),
        ("pings", EVERY_DAY, CONTACT, "no_daily_counts", None),
        ("none", EVERY_DAY, CONTACT, "no_telemetry", "no_telemetry"),
    ],
)
def test_unknown_is_never_zero(
    telemetry: Any,
    counts: Counts | None,
    last_contact: date | None,
    usage_reason: str | None,
    adoption_reason: str | None,
) -> None:
    answer = kpis(acme(telemetry=telemetry), counts, last_contact=last_contact)
    usage, adoption = answer.usage, answer.adoption
    assert (usage.reason, adoption.reason) == (usage_reason, adoption_reason)
    assert (usage.status == "unknown", adoption.status == "unknown") == (bool(usage_reason), bool(adoption_reason))
    assert [usage.value is None, usage.dau_mau_point is None, usage.usage_30_30 is None] == [bool(usage_reason)] * 3
    assert (adoption.value is None, adoption.on_target is None) == (bool(adoption_reason), bool(adoption_reason))
    known = counts is not None
    assert (answer.reason, answer.dau is None) == ((None, False) if known else ("no_telemetry", True))


def beat(**ago: float) -> datetime:
    """So long before the end of the day."""
    return datetime(2026, 5, 11, tzinfo=UTC) - timedelta(**ago)


PING = Aggregate(AS_OF, mau=30, mau_at_most=30, dau=7, registered=90)
OLDER_PING = Aggregate(AS_OF - timedelta(days=7), mau=30, mau_at_most=30, dau=7, registered=90)
PINGED = Told(pinged=beat(hours=1), ping=PING)
ONE_OLD = Counts(dau_30=(*(0,) * 20, 3, *(0,) * 9), wau=0, mau=3)
NONE_RECENT = Told(pinged=beat(days=20))
ALIVE = Told(heartbeat=beat(minutes=1))


@pytest.mark.parametrize(
    ("telemetry", "counts", "last_contact", "told", "source", "mau", "reason", "usage", "adoption", "health"),
    [
        # nothing was ever heard
        ("full", None, None, NOTHING_TOLD, None, None, "no_telemetry", "no_telemetry", "no_telemetry", "none"),
        ("pings", None, None, NOTHING_TOLD, None, None, "no_telemetry", "no_telemetry", "no_telemetry", "none"),
        ("none", None, None, NOTHING_TOLD, None, None, "no_telemetry", "no_telemetry", "no_telemetry", "none"),
        # events only
        ("full", EVERY_DAY, CONTACT, NOTHING_TOLD, "events", 20, None, None, None, "fresh"),
        ("pings", EVERY_DAY, CONTACT, NOTHING_TOLD, "events", 20, None, "no_daily_counts", None, "fresh"),
        ("none", EVERY_DAY, CONTACT, NOTHING_TOLD, "events", 20, None, "no_telemetry", "no_telemetry", "fresh"),
        # a sign of life, and nobody was active
        ("full", NOBODY, CONTACT, NOTHING_TOLD, "events", 0, None, "no_active_users", None, "fresh"),
        ("pings", NOBODY, CONTACT, NOTHING_TOLD, None, None, *("no_recent_ping",) * 3, "fresh"),
        ("none", NOBODY, CONTACT, NOTHING_TOLD, None, None, *("no_telemetry",) * 3, "fresh"),
        # heartbeats only: events would have come
        ("full", None, None, ALIVE, "events", 0, None, "no_active_users", None, "fresh"),
        ("pings", None, None, ALIVE, None, None, *("no_recent_ping",) * 3, "fresh"),
        ("none", None, None, ALIVE, None, None, *("no_telemetry",) * 3, "fresh"),
        # pings only
        ("full", None, None, PINGED, "pings", 30, "no_daily_counts", "no_daily_counts", None, "fresh"),
        ("pings", None, None, PINGED, "pings", 30, "no_daily_counts", "no_daily_counts", None, "fresh"),
        ("none", None, None, PINGED, None, None, *("no_telemetry",) * 3, "fresh"),
        ("full", None, None, NONE_RECENT, None, None, *("no_recent_ping",) * 3, "stale"),
        ("pings", None, None, NONE_RECENT, None, None, *("no_recent_ping",) * 3, "stale"),
        # both: events win for the same day, and in tier `full` for their window while they are fresh
        ("full", EVERY_DAY, CONTACT, PINGED, "events", 20, None, None, None, "fresh"),
        ("pings", EVERY_DAY, CONTACT, PINGED, "events", 20, None, "no_daily_counts", None, "fresh"),
        ("full", ONE_OLD, CONTACT, PINGED, "events", 3, None, None, None, "fresh"),
        ("pings", ONE_OLD, CONTACT, PINGED, "pings", 30, "no_daily_counts", "no_daily_counts", None, "fresh"),
        (
            "pings",
            ONE_OLD,
            CONTACT,
            NOTHING_TOLD,
            None,
            None,
            *("no_recent_ping",) * 3,
            "fresh",
        ),  # a stray event is no MAU
        ("full", NOBODY, CONTACT, PINGED, "pings", 30, "no_daily_counts", "no_daily_counts", None, "fresh"),
        ("none", EVERY_DAY, CONTACT, PINGED, "events", 20, None, "no_telemetry", "no_telemetry", "fresh"),
    ],
)
def test_every_null_has_its_reason_whoever_tells(
    telemetry: Any,
    counts: Counts | None,
    last_contact: date | None,
    told: Told,
    source: str | None,
    mau: int | None,
    reason: str | None,
    usage: str | None,
    adoption: str | None,
    health: str,
) -> None:
    answer = kpis(acme(telemetry=telemetry), counts, last_contact=last_contact, told=told)
    assert (answer.telemetry, answer.source_of_counts, answer.mau, answer.reason) == (telemetry, source, mau, reason)
    assert (answer.usage.reason, answer.adoption.reason) == (usage, adoption)
    assert (answer.usage.value is None, answer.adoption.value is None) == (bool(usage), bool(adoption))
    assert (answer.usage.num is None, answer.usage.den is None) == (source != "events", source != "events")
    assert answer.adoption.num == mau
    assert answer.data_health == health
    assert (answer.dau is None or answer.wau is None) == bool(reason)
    expected = (AS_OF, 90) if source == "pings" else (None, None)
    assert (answer.ping_day, answer.registered) == expected


@pytest.mark.parametrize(
    ("telemetry", "event_days_ago", "ping", "now", "source", "mau"),
    [
        # of the day itself, fresh for five days, stale after
        ("full", 0, PING, CLOSED, "events", 20),
        ("full", 4, PING, CLOSED, "events", 20),
        ("full", 5, PING, CLOSED, "pings", 30),
        ("full", 29, PING, CLOSED, "pings", 30),
        # a ping of an earlier day is in force as ever
        ("full", 4, OLDER_PING, CLOSED, "events", 20),
        ("full", 5, OLDER_PING, CLOSED, "pings", 30),
        # without any ping to go by, events tell of their window
        ("full", 5, None, CLOSED, "events", 20),
        ("full", 29, None, CLOSED, "events", 20),
        # an open day is judged now: the last instant of five days ago is 120 hours back at the day's end only
        ("full", 5, PING, datetime(2026, 5, 10, 23, 59, 59, tzinfo=UTC), "events", 20),
        ("full", 6, PING, datetime(2026, 5, 10, 12, tzinfo=UTC), "pings", 30),
        # in tier `pings` only an event of the day itself wins
        ("pings", 0, PING, CLOSED, "events", 20),
        ("pings", 1, PING, CLOSED, "pings", 30),
        ("pings", 1, None, CLOSED, None, None),
        # a tier that tells nothing takes no ping
        ("none", 0, PING, CLOSED, "events", 20),
        ("none", 29, PING, CLOSED, "events", 20),
    ],
)
def test_events_win_over_a_ping_while_they_are_fresh(
    telemetry: Any, event_days_ago: int, ping: Aggregate | None, now: datetime, source: str | None, mau: int | None
) -> None:
    dau = tuple(3 if back == event_days_ago else 0 for back in range(29, -1, -1))
    heard = Told(heartbeat=beat(hours=1), pinged=beat(hours=1), ping=ping)  # the installation is alive all the while
    last_event = AS_OF - timedelta(days=event_days_ago)
    answer = kpis(acme(telemetry=telemetry), Counts(dau, 3, 20), last_contact=last_event, now=now, told=heard)
    assert (answer.source_of_counts, answer.mau, answer.data_health) == (source, mau, "fresh")
    assert answer.ping_day == (ping.day if ping and source == "pings" else None)


def test_a_sign_of_life_keeps_events_fresh() -> None:
    """One was counted ten days ago; a sign-in of today says that events still come."""
    assert kpis(acme(), ONE_OLD, last_contact=CONTACT, told=PINGED).source_of_counts == "events"
    assert kpis(acme(), ONE_OLD, last_contact=AS_OF - timedelta(days=10), told=PINGED).source_of_counts == "pings"


@pytest.mark.parametrize(
    ("least", "most", "value", "on_target"),
    [
        (20, 25, 0.5, True),  # exactly the target of 50 %, with the fewest that there can be
        (19, 19, 0.475, False),
        (12, 19, 0.3, False),  # with the most that there can be it is under the target too
        (19, 20, None, None),
    ],
)
def test_pings_of_several_installations_judge_only_what_they_tell(
    least: int, most: int, value: float | None, on_target: bool | None
) -> None:
    told = Told(pinged=beat(hours=1), ping=Aggregate(AS_OF, least, most, None, None))
    answer = kpis(acme(telemetry="pings"), None, last_contact=None, told=told)
    assert (answer.mau, answer.mau_at_most) == (least, most if most > least else None)
    assert (answer.adoption.value, answer.adoption.on_target) == (value, on_target)
    assert answer.adoption.reason == (None if value else "several_installations")
    assert (answer.adoption.status == "unknown") == (value is None)


def test_without_any_telemetry_seats_and_target_are_still_shown() -> None:
    answer = kpis(acme(), None, last_contact=None)
    assert (answer.dau, answer.wau, answer.mau, answer.data_health) == (None, None, None, "none")
    assert (answer.usage.num, answer.usage.den) == (None, None)
    assert (answer.adoption.num, answer.adoption.den, answer.adoption.target) == (None, 40, 0.5)


@pytest.mark.parametrize(
    ("n", "mau", "seats", "value", "on_target", "status"),
    [
        (30, 10, 40, 0.25, True, "on_target"),  # exactly 25 %
        (30, 999, 4000, 0.2498, False, "off_target"),
        (30, 249_999, 1_000_000, 0.25, False, "off_target"),  # shown as 25 %, and still under it
        (90, 10, 40, 0.25, True, "on_target"),
        (91, 10, 40, 0.25, False, "off_target"),
        (91, 20, 40, 0.5, True, "on_target"),
        (180, 20, 40, 0.5, True, "on_target"),
        (181, 20, 40, 0.5, False, "off_target"),
        (181, 30, 40, 0.75, True, "on_target"),
        (270, 29, 40, 0.725, False, "off_target"),
        (271, 30, 40, 0.75, True, "on_target"),
        (271, 17, 20, 0.85, True, "on_target"),  # 0.80 + 0.05 in floats is not 0.85
        (271, 50, 40, 1.25, True, "on_target"),  # never clamped
        (271, 0, 40, 0.0, False, "off_target"),  # a real 0
        (0, 10, 40, 0.25, True, "ramping"),
        (29, 1, 40, 0.025, False, "ramping"),
        (30, 1, 40, 0.025, False, "off_target"),
    ],
)
def test_adoption_is_judged_exactly(n: int, mau: int, seats: int, value: float, on_target: bool, status: str) -> None:
    adoption = kpis(acme(n=n, seats=seats), counts_of(mau, mau)).adoption
    assert (adoption.value, adoption.on_target, adoption.status) == (value, on_target, status)
    assert (adoption.num, adoption.den, adoption.n, adoption.reason) == (mau, seats, n, None)


@pytest.mark.parametrize(
    ("account", "status", "reason", "den"),
    [
        (acme(n=None), "not_started", "no_production_date", 40),
        (acme(n=-1), "not_started", "no_production_date", 40),
        (acme(n=None, seats=0), "not_started", "no_production_date", None),
        (acme(seats=0), "unknown", "no_seats", None),
        (acme(n=10, seats=0), "unknown", "no_seats", None),
        (acme(seats_basis="none"), "unknown", "no_seats", None),
        (acme(policy="ce-1999"), "unknown", "unknown_policy", 40),
    ],
)
def test_adoption_is_null_with_a_reason(account: Account, status: str, reason: str, den: int | None) -> None:
    adoption = kpis(account).adoption
    assert (adoption.value, adoption.on_target, adoption.status, adoption.reason) == (None, None, status, reason)
    assert (adoption.num, adoption.den) == (20, den)
    assert (adoption.target is None) == (reason != "no_seats")


@pytest.mark.parametrize(
    ("last_contact", "now", "health"),
    [
        (None, CLOSED, "none"),
        (date(2026, 5, 10), CLOSED, "fresh"),
        (date(2026, 5, 6), CLOSED, "fresh"),  # exactly five days before the end of the day, at the earliest
        (date(2026, 5, 5), CLOSED, "stale"),
        (date(2026, 5, 5), datetime(2026, 5, 10, 23, 59, 59, tzinfo=UTC), "fresh"),  # an open day is judged now
        (date(2026, 5, 4), datetime(2026, 5, 9, 23, 59, 59, tzinfo=UTC), "fresh"),
        (date(2026, 5, 4), datetime(2026, 5, 10, 0, 0, tzinfo=UTC), "stale"),
        (date(2026, 5, 4), datetime(2026, 5, 10, 15, tzinfo=UTC), "stale"),
        (date(2026, 5, 6), datetime(2026, 5, 11, 1, tzinfo=UTC), "fresh"),  # over, and not closed: judged at its end
        (date(2026, 5, 6), datetime(2027, 1, 1, tzinfo=UTC), "fresh"),  # a past day is judged at its own end
    ],
)
def test_silence_makes_data_stale_and_leaves_the_numbers(last_contact: date | None, now: datetime, health: str) -> None:
    answer = kpis(acme(), now=now, last_contact=last_contact)
    assert answer.data_health == health
    assert (answer.mau, answer.usage.value, answer.adoption.value) == (20, 0.3, 0.5)


@pytest.mark.parametrize(
    ("zone", "now", "partial"),
    [
        ("UTC", datetime(2026, 5, 10, 12, tzinfo=UTC), True),
        ("UTC", datetime(2026, 5, 11, 1, 59, tzinfo=UTC), True),
        ("UTC", CLOSED, False),
        ("Pacific/Kiritimati", datetime(2026, 5, 10, 11, 59, tzinfo=UTC), True),  # either side of the date line
        ("Pacific/Kiritimati", datetime(2026, 5, 10, 12, tzinfo=UTC), False),
        ("Pacific/Pago_Pago", datetime(2026, 5, 11, 12, 59, tzinfo=UTC), True),
        ("Pacific/Pago_Pago", datetime(2026, 5, 11, 13, tzinfo=UTC), False),
    ],
)
def test_an_open_day_is_partial(zone: str, now: datetime, partial: bool) -> None:
    answer = kpis(acme(time_zone=zone), now=now)
    assert (answer.partial, answer.time_zone) == (partial, zone)


def test_a_leap_day_is_a_day_of_the_ladder() -> None:
    account = replace(acme(), production_date=date(2028, 1, 31))
    leap = kpis(account, as_of=date(2028, 2, 29), now=datetime(2028, 3, 1, 2, tzinfo=UTC))
    assert (leap.adoption.n, leap.adoption.status) == (29, "ramping")
    after = kpis(account, as_of=date(2028, 3, 1), now=datetime(2028, 3, 2, 2, tzinfo=UTC))
    assert (after.adoption.n, after.adoption.status) == (
        30,
        "off_target" if not after.adoption.on_target else "on_target",
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (Fraction(0), 0.0),
        (Fraction(1, 3), 0.3333),
        (Fraction(2, 3), 0.6667),
        (Fraction("0.00005"), 0.0001),  # half up, not half to even
        (Fraction("0.00015"), 0.0002),
        (Fraction("1.00005"), 1.0001),  # a float would fall to 1.0000
        (Fraction("0.00004999"), 0.0),
        (Fraction(17, 20), 0.85),
    ],
)
def test_rounding_is_half_up_to_four_decimals(value: Fraction | None, shown: float | None) -> None:
    assert rounded(value) == shown


@given(
    dau=st.lists(st.integers(0, 9), min_size=30, max_size=30),
    extra=st.integers(0, 9),
    seats=st.integers(0, 30),
    n=st.none() | st.integers(-40, 400),
    telemetry=st.sampled_from(["full", "pings", "none"]),
    last_contact=st.sampled_from([None, CONTACT, CONTACT - timedelta(days=9)]),
)
def test_a_null_number_always_has_a_reason_and_a_known_one_none(
    dau: list[int], extra: int, seats: int, n: int | None, telemetry: Any, last_contact: date | None
) -> None:
    mau = max(dau) + extra
    counts = Counts(tuple(dau), wau=mau, mau=mau)
    answer = kpis(acme(n=n, seats=seats, telemetry=telemetry), counts, last_contact=last_contact)
    for number in (answer.usage, answer.adoption):
        assert (number.value is None) == (number.reason is not None) == (number.status in ("unknown", "not_started"))
    if answer.usage.value is not None:
        assert 0 <= answer.usage.value <= 1


def by(policy: str, *, n: int | None, seats: int = 40, contract: int | None = None, **attributes: Any) -> Account:
    """An account with a policy of its own; `contract`: days since its contract began."""
    begun = None if contract is None else AS_OF - timedelta(days=contract)
    return acme(n=n, seats=seats, policy=policy, contract_start=begun, **attributes)


@pytest.mark.parametrize(
    ("account", "value", "target", "status", "n", "reason"),
    [
        (by("ta-2022", n=0), 0.5, None, "ramping", 0, "no_step_yet"),
        (by("ta-2022", n=29), 0.5, None, "ramping", 29, "no_step_yet"),
        (by("ta-2022", n=30), 0.5, None, "not_started", 30, "no_step_yet"),
        (by("ta-2022", n=44), 0.5, None, "not_started", 44, "no_step_yet"),
        (by("ta-2022", n=45), 0.5, 0.8, "off_target", 45, None),
        (by("ta-2022", n=45, seats=25), 0.8, 0.8, "on_target", 45, None),  # exactly 80 %
        (by("ta-2023", n=59), 0.5, None, "not_started", 59, "no_step_yet"),
        (by("ta-2023", n=60), 0.5, 0.8, "off_target", 60, None),
        (by("digital", n=59), 0.5, None, "not_started", 59, "no_step_yet"),
        (by("digital", n=60), 0.5, 0.5, "on_target", 60, None),
        (by("digital", n=180), 0.5, 0.5, "on_target", 180, None),
        (by("digital", n=181), 0.5, 0.8, "off_target", 181, None),
        (by("future-state", n=100, contract=179), 0.5, None, "not_started", 179, "no_step_yet"),
        (by("future-state", n=100, contract=180), 0.5, 0.75, "off_target", 180, None),
        (by("future-state", n=100), 0.5, None, "not_started", None, "no_contract_start"),
        (by("future-state", n=100, contract=-1), 0.5, None, "not_started", -1, "no_contract_start"),
        (by("future-state", n=None, contract=180), None, 0.75, "unknown", 180, "no_production_date"),
        (by("future-state", n=-1, contract=180), None, 0.75, "unknown", 180, "no_production_date"),
        (by("ta-2022", n=None), None, None, "not_started", None, "no_production_date"),
        (by("ta-2022", n=40, seats=0), None, None, "unknown", 40, "no_seats"),
        (by("no-such", n=100), None, None, "unknown", None, "unknown_policy"),
    ],
)
def test_every_ladder_says_what_is_due_and_why_nothing_is(
    account: Account, value: float | None, target: float | None, status: str, n: int | None, reason: str | None
) -> None:
    adoption = kpis(account).adoption
    found = (adoption.value, adoption.target, adoption.status, adoption.n, adoption.reason)
    assert found == (value, target, status, n, reason)
    assert (adoption.policy, adoption.policy_source) == (account.policy, "account")
    assert (adoption.on_target is None) == (value is None or target is None)
    assert (adoption.pace is None) == (target is None)


def test_a_production_date_that_moves_moves_every_day_of_the_ladder() -> None:
    early = kpis(acme(n=91)).adoption
    later = kpis(acme(n=90)).adoption
    assert [(one.n, one.target, one.anchor) for one in (early, later)] == [
        (91, 0.5, AS_OF - timedelta(days=91)),
        (90, 0.25, AS_OF - timedelta(days=90)),
    ]


def test_eighty_percent_and_five_are_eighty_five() -> None:
    """In floats 0.80 + 0.05 is less than 0.85."""
    text = "default: x\npolicies:\n  x: [{from: 2022-01-01, anchor: production, steps: [{day: 0, target: 0.85}]}]\n"
    policies = parse(text, Policies)
    reached = kpis(acme(seats=100), counts_of(85, 85), policies=policies).adoption
    missed = kpis(acme(seats=100_000_000), counts_of(84_999_999, 84_999_999), policies=policies).adoption
    assert (reached.on_target, missed.on_target, missed.value) == (True, False, 0.85)
