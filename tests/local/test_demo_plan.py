"""The plan of the demo: moved as a whole, the same every time, and showing what the screen is meant to show."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter

from uptake.messages.events import EVENT_CLASSES
from uptake_local.demo import cast, records
from uptake_local.demo_plan import Event, Plan, plan

TODAY = date(2026, 11, 22)
LAST_DAY = TODAY - timedelta(1)


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


def test_every_real_event_is_there_moved_by_the_same_whole_days(planned: Plan, shipped: list[dict[str, str]]) -> None:
    at = {event["id"]: event["occurred_at"] for event in activity(planned)}
    moves = {
        datetime.fromisoformat(at[f"demo-{LAST_DAY}-{record['id']}"]) - datetime.fromisoformat(record["occurred_at"])
        for record in shipped
    }
    assert moves == {LAST_DAY - date(2026, 8, 22)}


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


def test_every_organisation_of_the_data_has_a_profile(planned: Plan) -> None:
    assert {e["account"] for e in planned.profiles} == {e["account"] for e in activity(planned)}
    assert len(planned.profiles) == 24


class Recount:
    """Plain sets by local day: the numbers of the screen, counted another way."""

    def __init__(self, planned: Plan) -> None:
        zones = {e["account"]: ZoneInfo(e["time_zone"]) for e in planned.profiles}
        self.users: dict[str, dict[date, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.contact: dict[str, date] = {}
        for event in activity(planned):
            day = datetime.fromisoformat(event["occurred_at"]).astimezone(zones[event["account"]]).date()
            self.contact[event["account"]] = max(day, self.contact.get(event["account"], day))
            if event.get("actor") != "system":
                self.users[event["account"]][day].add(event["user"])

    def mau(self, account: str, day: date) -> int:
        return len(set().union(*(self.users[account][day - timedelta(ago)] for ago in range(30))))

    def usage(self, account: str, day: date) -> float:
        user_days = sum(len(self.users[account][day - timedelta(ago)]) for ago in range(28))
        return user_days / 28 / self.mau(account, day)


@pytest.fixture(scope="module")
def recount(planned: Plan) -> Recount:
    return Recount(planned)


def seats_of(account: str) -> int:
    entry: dict[str, Any] = next(entry for entry in cast()["accounts"] if entry["account"] == account)
    return sum(seats for seats, _, *environment in entry["seats"] if not environment)


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
    assert (LAST_DAY - recount.contact[account]).days <= 3


@pytest.mark.parametrize("account", ["prometheus", "getsentry", "keephq"])
def test_these_accounts_use_the_product_by_habit(recount: Recount, account: str) -> None:
    assert all(recount.usage(account, day) > 0.30 for day in NEWEST)


@pytest.mark.parametrize("account", ["pypi", "openmeterio"])
def test_these_accounts_are_a_concern(recount: Recount, account: str) -> None:
    assert all(0.20 < recount.usage(account, day) <= 0.30 for day in NEWEST)


def test_the_dormant_account_is_in_contact_but_has_no_active_user(recount: Recount) -> None:
    assert recount.mau("cosmicpython", LAST_DAY) == 0
    assert recount.contact["cosmicpython"] == LAST_DAY


def test_filled_in_habits_change_no_mau(shipped: list[dict[str, str]], recount: Recount) -> None:
    without = cast()
    for entry in without["accounts"]:
        entry.pop("habit", None)
    plainly = Recount(plan(shipped, without, LAST_DAY, TODAY))
    for account in ("prometheus", "getsentry", "pypi", "openmeterio", "keephq"):
        for ago in range(120):
            day = LAST_DAY - timedelta(ago)
            assert recount.mau(account, day) == plainly.mau(account, day)


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
