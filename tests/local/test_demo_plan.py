"""The plan of the demo: moved as a whole, the same every time, and showing what the screen is meant to show."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from uptake.messages.events import EVENT_CLASSES
from uptake_local.demo import cast, records
from uptake_local.demo_plan import Event, Plan, plan

TODAY = date(2026, 11, 22)
LAST_DAY = TODAY - timedelta(1)
INVENTED = {"demo-initech", "demo-globex"}


@pytest.fixture(scope="module")
def shipped() -> list[dict[str, str]]:
    return records()


@pytest.fixture(scope="module")
def planned(shipped: list[dict[str, str]]) -> Plan:
    return plan(shipped, cast(), LAST_DAY, TODAY)


def everything(planned: Plan) -> list[Event]:
    return [*planned.profiles, *planned.history, *planned.live, *planned.business]


def activity(planned: Plan) -> list[Event]:
    return [*planned.history, *planned.live]


def day_of(event: Event) -> date:
    return datetime.fromisoformat(event["occurred_at"]).date()


def test_the_last_day_of_the_activity_is_yesterday(planned: Plan) -> None:
    assert max(map(day_of, activity(planned))) == LAST_DAY


def real(events: list[Event]) -> list[Event]:
    return [event for event in events if event["account"] not in INVENTED]


def moved_file(shipped: list[dict[str, str]], last_day: date) -> list[tuple[str, ...]]:
    """What an outsider would expect of the shipped lines: who used what and when, in order of arrival."""
    shift = last_day - date(2026, 8, 22)
    return [
        (
            record["account"],
            record["user"],
            record["feature"],
            (datetime.fromisoformat(record["occurred_at"]) + shift).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for record in sorted(shipped, key=lambda record: record["received_at"])
    ]


def test_real_accounts_hold_the_moved_file_and_nothing_else_but_contacts_of_the_installation(
    planned: Plan, shipped: list[dict[str, str]]
) -> None:
    people = [event for event in real(activity(planned)) if event.get("actor") != "system"]
    said = [tuple(event[field] for field in ("account", "user", "feature", "occurred_at")) for event in people]
    assert Counter(said) == Counter(moved_file(shipped, LAST_DAY))


def test_real_events_keep_their_order_of_arrival(planned: Plan, shipped: list[dict[str, str]]) -> None:
    arrived = [f"demo-{LAST_DAY}-{record['id']}" for record in shipped]
    for events in (planned.history, planned.live):
        sent = [event["id"] for event in real(events) if event.get("actor") != "system"]
        part = set(sent)
        assert sent == [name for name in arrived if name in part]
        assert sent != [e["id"] for e in sorted(real(events), key=lambda e: e["occurred_at"]) if e["id"] in part]


def test_the_same_days_give_the_same_events(planned: Plan, shipped: list[dict[str, str]]) -> None:
    assert plan(shipped, cast(), LAST_DAY, TODAY) == planned


def test_another_last_day_shares_no_id(planned: Plan, shipped: list[dict[str, str]]) -> None:
    later = plan(shipped, cast(), LAST_DAY + timedelta(1), TODAY + timedelta(1))
    assert {e["id"] for e in everything(later)}.isdisjoint(e["id"] for e in everything(planned))


def test_a_later_load_of_the_same_demo_says_the_same_by_each_id(planned: Plan, shipped: list[dict[str, str]]) -> None:
    later = plan(shipped, cast(), LAST_DAY, TODAY + timedelta(9))
    assert {e["id"]: e for e in everything(later)} == {e["id"]: e for e in everything(planned)}


def test_ids_are_unique(planned: Plan) -> None:
    ids = [event["id"] for event in everything(planned)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("later_days", [0, 1, 20, 60])
def test_what_is_live_is_within_35_days_until_the_end_of_that_day(
    shipped: list[dict[str, str]], later_days: int
) -> None:
    today = TODAY + timedelta(later_days)
    planned = plan(shipped, cast(), LAST_DAY, today)
    oldest_allowed = datetime(today.year, today.month, today.day, 23, 59, 59, tzinfo=UTC) - timedelta(35)
    assert all(datetime.fromisoformat(event["occurred_at"]) >= oldest_allowed for event in planned.live)
    assert len(activity(planned)) == len(planned.history) + len(planned.live)


def test_ingestion_would_understand_every_event(planned: Plan) -> None:
    for event in everything(planned):
        TypeAdapter(EVENT_CLASSES[event["type"]]).validate_python(event)


def test_nothing_sent_before_the_last_step_gives_an_account_seats(planned: Plan) -> None:
    assert {event["type"] for event in planned.profiles} == {"account.updated"}
    assert {event["type"] for event in activity(planned)} == {"usage"}


def test_every_account_has_a_profile(planned: Plan) -> None:
    assert {e["account"] for e in planned.profiles} == {e["account"] for e in activity(planned)}
    assert len(planned.profiles) == 24 + len(INVENTED)


class Recount:
    """Plain sets by local day: the numbers of the screen, counted another way."""

    def __init__(self, events: Iterable[Event], zones: Mapping[str, ZoneInfo]) -> None:
        self.users: dict[str, dict[date, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.contacts: dict[str, set[date]] = defaultdict(set)
        for event in events:
            account = event["account"]
            day = datetime.fromisoformat(event["occurred_at"]).astimezone(zones[account]).date()
            self.contacts[account].add(day)
            if event.get("actor") != "system":
                self.users[account][day].add(event["user"])

    def over(self, account: str, day: date, days: int) -> int:
        return len(set().union(*(self.users[account].get(day - timedelta(ago), set()) for ago in range(days))))

    def user_days(self, account: str, day: date) -> int:
        return sum(self.over(account, day - timedelta(ago), 1) for ago in range(28))

    def numbers(self, account: str, day: date) -> tuple[int, ...]:
        return (*(self.over(account, day, days) for days in (1, 7, 30)), self.user_days(account, day))

    def mau(self, account: str, day: date) -> int:
        return self.over(account, day, 30)

    def usage(self, account: str, day: date) -> float:
        return self.user_days(account, day) / 28 / self.mau(account, day)


def zones_of(planned: Plan) -> dict[str, ZoneInfo]:
    return {event["account"]: ZoneInfo(event["time_zone"]) for event in planned.profiles}


@pytest.fixture(scope="module")
def recount(planned: Plan) -> Recount:
    return Recount(activity(planned), zones_of(planned))


@pytest.mark.parametrize("local", [True, False], ids=["account's zone", "UTC"])
def test_a_recount_of_the_moved_file_finds_the_numbers_of_every_real_account(
    planned: Plan, shipped: list[dict[str, str]], local: bool
) -> None:
    zones = {name: zone if local else ZoneInfo("UTC") for name, zone in zones_of(planned).items()}
    fields = ("account", "user", "feature", "occurred_at")
    lines = [dict(zip(fields, line, strict=True)) for line in moved_file(shipped, LAST_DAY)]
    by_file, by_plan = Recount(lines, zones), Recount(activity(planned), zones)
    for account in zones.keys() - INVENTED:
        for ago in range(60):
            day = LAST_DAY - timedelta(ago)
            assert by_plan.numbers(account, day) == by_file.numbers(account, day)


def entry_of(account: str) -> dict[str, Any]:
    return next(entry for entry in cast()["accounts"] if entry["account"] == account)


def seats_of(account: str, days_ago: int = 0) -> int:
    licenses = entry_of(account).get("seats", [])
    return sum(seats for seats, since, *environment in licenses if not environment and since >= days_ago)


#: For tests about the invented accounts only: the shortest activity there is.
ONE_LINE = [
    {
        "id": "only",
        "account": "alerta",
        "user": "u",
        "feature": "f",
        "occurred_at": "2026-08-22T12:00:00Z",
        "received_at": "2026-08-22T12:00:00Z",
    }
]

# The days that the screen may show, today's open one included; some zones are a day ahead.
NEWEST = [TODAY + timedelta(1) - timedelta(ago) for ago in range(6)]


@pytest.mark.parametrize(
    ("account", "target"),
    [
        *((name, 0.75) for name in ("prometheus", "getsentry", "pypi", "nats-io", "ag2ai")),
        *((name, 0.50) for name in ("openmeterio", "keephq")),
        *((name, 0.25) for name in ("slackapi", "pagerduty")),
    ],
)
def test_these_accounts_are_on_target(recount: Recount, account: str, target: float) -> None:
    assert all(recount.mau(account, day) / seats_of(account) >= target for day in NEWEST)


@pytest.mark.parametrize(("account", "target"), [("caronc", 0.75), ("sourcegraph", 0.50), ("cosmicpython", 0.75)])
def test_these_accounts_are_off_target_and_in_contact_so_that_an_alert_fires(
    recount: Recount, account: str, target: float
) -> None:
    assert all(recount.mau(account, day) / seats_of(account) < target for day in NEWEST)
    assert (LAST_DAY - max(recount.contacts[account])).days <= 3


def test_no_real_account_is_a_habit_hence_the_invented_ones(recount: Recount) -> None:
    in_use = [name for name in recount.users.keys() - INVENTED if recount.mau(name, LAST_DAY)]
    assert all(recount.usage(account, LAST_DAY) <= 0.20 for account in in_use)


@pytest.mark.parametrize("weekday", range(7))
@pytest.mark.parametrize(("account", "low", "high"), [("demo-initech", 0.40, 0.60), ("demo-globex", 0.22, 0.28)])
def test_one_invented_account_is_healthy_and_one_concerning_on_target_whatever_the_weekday(
    account: str, low: float, high: float, weekday: int
) -> None:
    today = TODAY + timedelta(weekday)
    planned = plan(ONE_LINE, cast(), today - timedelta(1), today)
    recount = Recount(activity(planned), zones_of(planned))
    for ago in range(1, 41):  # every day that is published, and more
        day = today - timedelta(ago)
        assert low < recount.usage(account, day) < high
        assert recount.mau(account, day) / seats_of(account) >= 0.75


@pytest.mark.parametrize("account", sorted(INVENTED))
def test_an_invented_account_says_so_and_works_on_weekdays_of_the_last_120_days(planned: Plan, account: str) -> None:
    assert next(event["name"] for event in planned.profiles if event["account"] == account).endswith(" (invented)")
    days = {day_of(event) for event in activity(planned) if event["account"] == account}
    assert days == {day for ago in range(120) if (day := LAST_DAY - timedelta(ago)).weekday() < 5}


def episodes(recount: Recount, account: str, last_closed_ago: int) -> list[str]:
    """Three days off target in a row open an alert, three on target close it; silent days say nothing."""
    told, streak = ["ok"], 0
    for ago in range(34 + last_closed_ago, last_closed_ago - 1, -1):
        day, n = LAST_DAY - timedelta(ago), entry_of(account)["production"] - ago
        contacts = [d for d in recount.contacts[account] if d <= day]
        if n < 30 or not contacts or (day - max(contacts)).days >= 5:
            continue
        target = Fraction(1, 4) if n <= 90 else Fraction(1, 2) if n <= 180 else Fraction(3, 4)
        off = recount.mau(account, day) < target * seats_of(account, ago)
        streak = streak + 1 if off == (told[-1] != "firing") else 0
        if streak == 3:
            told.append("firing" if off else "resolved")
            streak = 0
    return told[1:]


@pytest.mark.parametrize("last_closed_ago", [0, 1], ids=["yesterday is closed", "yesterday is still open"])
def test_these_adoption_alerts_are_what_the_screen_should_show(recount: Recount, last_closed_ago: int) -> None:
    judged = [e["account"] for e in cast()["accounts"] if {"seats", "production"} <= e.keys() and "churned" not in e]
    found = {account: told for account in judged if (told := episodes(recount, account, last_closed_ago))}
    assert found == {
        "caronc": ["firing"],
        "sourcegraph": ["firing"],
        "cosmicpython": ["firing"],
        "ag2ai": ["firing", "resolved"],  # it really grew from 5 to 13 users
    }


def test_the_dormant_account_is_in_contact_but_has_no_active_user(recount: Recount) -> None:
    assert recount.mau("cosmicpython", LAST_DAY) == 0
    assert max(recount.contacts["cosmicpython"]) == LAST_DAY


def test_exactly_one_trial_is_over_its_target(planned: Plan) -> None:
    targets = {"standard": 21, "complex": 30}
    decided = {e["opportunity"] for e in planned.business if e["type"] == "trial.decided"}
    over = [
        event["opportunity"]
        for event in planned.business
        if event.get("stage") == 4
        and event["opportunity"] not in decided
        and (TODAY - day_of(event)).days > targets[event["complexity"]]
    ]
    assert over == ["opp-taskiq"]
