"""What is told when: reminders, escalation, severity, flapping, quiet hours, digests. Promises: `test_promises`."""

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest

from tests.alerting.telling import MONDAY, PEOPLE, World, roster, routes
from uptake_alerting.cases import is_flapping
from uptake_alerting.contacts import Book
from uptake_alerting.gates import Gate
from uptake_alerting.planning import plan

DAY = timedelta(days=1)


def told(world):
    return {channel: world.kinds(channel) for channel in world.heard}


def test_a_warning_goes_to_who_is_on_call_after_a_working_day_and_then_to_the_manager():
    world = World()
    alert = world.fire()
    world.live_through(1)
    assert told(world) == {"ce-1": ["trigger"], "on-call": ["escalation"]}
    world.live_through(1)
    assert told(world) == {"ce-1": ["trigger"], "on-call": ["escalation"], "boss": ["escalation"]}
    world.live_through(2)
    assert alert.escalation == 2


def test_a_critical_alert_goes_up_after_four_business_hours():
    world = World()
    world.fire("account-dormant")
    world.settle()
    world.wait(hours=3, minutes=59)
    world.settle()
    assert told(world) == {"ce-1": ["trigger"]}
    world.wait(minutes=1)
    world.settle()
    assert told(world) == {"ce-1": ["trigger"], "on-call": ["escalation"]}


@pytest.mark.parametrize(("rule", "days", "reminders"), [("adoption-below-target", 8, 1), ("account-dormant", 8, 3)])
def test_who_does_nothing_is_reminded(rule, days, reminders):
    world = World(routes=routes("ce-1"))
    world.fire(rule)
    world.live_through(days)
    assert world.kinds("ce-1") == ["trigger", *["reminder"] * reminders]


def test_an_ack_stops_reminders_and_escalation_and_one_reminder_says_that_it_ran_out():
    world = World()
    alert = world.fire("account-dormant")
    world.settle()
    world.ack(alert, days=3)
    world.settle()
    world.wait(days=2, hours=23)
    world.settle()
    assert told(world) == {"ce-1": ["trigger"]}
    world.wait(hours=1)
    world.settle()
    assert told(world) == {"ce-1": ["trigger", "reminder"]}


def test_worse_is_told_now_and_better_with_the_next_digest():
    world = World()
    alert = world.fire()
    world.settle()
    for severity in ("critical", "warning"):
        alert.severity = severity
        world.wake()
        world.settle()
    assert world.kinds("ce-1") == ["trigger", "update"]
    world.wait(hours=22)
    world.settle()
    assert world.digests["ce-1"] == ["1 at 05 08:00"]
    assert world.kinds("ce-1") == ["trigger", "update", "update"]


def test_an_update_that_still_waits_while_the_severity_moves_back_is_taken_back():
    world = World()
    alert = world.fire()
    world.settle()
    alert.severity = "critical"
    world.wake()
    world.look()
    alert.severity = "warning"
    world.wake()
    world.settle()
    assert world.kinds("ce-1") == ["trigger"]
    assert [row.told.reason for row in alert.rows.values() if row.told.kind == "update"] == ["superseded"]


def test_a_new_owner_and_whoever_takes_it_on_are_told_and_the_old_one_hears_the_end():
    world = World()
    alert = world.fire()
    world.settle()
    alert.owner = "ce-2"
    world.wake()
    world.settle()
    alert.assignee = "boss"
    world.wake()
    world.settle()
    assert told(world) == {"ce-1": ["trigger"], "ce-2": ["trigger"], "boss": ["trigger"]}
    world.end(alert)
    world.settle()
    assert told(world) == {name: ["trigger", "terminal"] for name in ("ce-1", "ce-2", "boss")}


@pytest.mark.parametrize(("refused_for", "told"), [(timedelta(hours=20), True), (timedelta(days=9), False)])
def test_an_end_that_a_channel_does_not_take_is_tried_again_for_a_week(refused_for, told):
    """An incident there would stay open for ever."""
    world = World(routes=machines("pagerduty"))
    alert = world.fire()
    world.settle()
    world.end(alert)
    ended_at, tries = world.now, 0
    while world.now < ended_at + timedelta(days=12):
        world.look()
        for _, row in world.due():
            tries += 1
            world.send(alert, row, "failed" if world.now < ended_at + refused_for else "ok")
        world.wait(hours=1)
    assert world.kinds("ce-1") == (["trigger", "terminal"] if told else ["trigger"])
    assert tries == (5 if told else 28)
    assert alert.look_at is None


@pytest.mark.parametrize(("file", "hears"), [(routes(*PEOPLE, "ops"), ["trigger"]), (routes(), [])])
def test_a_file_that_was_half_written_says_nothing_about_a_channel(file, hears):
    """A trigger was skipped since its channel had gone from routes.yml; a minute later the file is whole again."""
    world = World()
    alert = world.fire()
    world.look()
    for _, row in world.due():
        row.told = replace(row.told, status="skipped", reason="channel_removed", done_at=world.now)
    world.routes = file
    world.wait(minutes=2)
    world.wake()
    world.settle()
    assert world.kinds("ce-1", alert) == hears


def test_an_end_that_met_a_half_written_file_is_told_minutes_later():
    world = World()
    alert = world.fire()
    world.settle()
    world.end(alert)
    world.look()
    for _, row in world.due():
        row.told = replace(row.told, status="skipped", reason="channel_removed", done_at=world.now)
    world.wake()
    world.settle()
    assert world.kinds("ce-1") == ["trigger"]
    world.wait(minutes=5)
    world.settle()
    assert world.kinds("ce-1") == ["trigger", "terminal"]


def test_who_gets_it_is_told_although_somebody_else_acked_it():
    world = World()
    alert = world.fire()
    world.settle()
    world.ack(alert)
    alert.assignee = "ce-2"
    world.settle()
    assert told(world) == {"ce-1": ["trigger"], "ce-2": ["trigger"]}


@pytest.mark.parametrize(("types", "hears"), [("webhook", []), ("pagerduty", ["trigger"])])
def test_what_has_a_timetable_of_its_own_knows_no_quiet_hours(types, hears):
    world = World(now=MONDAY + timedelta(hours=12), routes=machines(types))
    world.fire()
    world.settle()
    assert world.kinds("ce-1") == hears


def machines(types):
    made = {name: {"type": types, "serves": [name]} for name in PEOPLE}
    for channel in made.values():
        channel |= {"routing_key": "k"} if types == "pagerduty" else {"url": "http://x.test/"}
    return type(routes()).model_validate({"channels": made})


def test_a_step_up_waits_for_the_morning_of_whoever_is_next():
    world = World(now=MONDAY + timedelta(hours=6), roster=roster())
    alert = world.fire("account-dormant")
    world.settle()
    world.live_through(1)
    assert alert.escalation >= 1
    assert world.kinds("on-call") == ["escalation"]


def test_what_a_storm_held_back_is_told_in_a_digest_and_nobody_is_reminded_of_it_one_by_one():
    world = World()
    alert = world.fire()
    case = replace(world.case(alert), released=True)
    world.case = lambda _: case if not alert.rows else replace(case, told=tuple(r.told for r in alert.rows.values()))
    world.settle()
    assert world.digests == {"ce-1": ["1 at 04 10:00"]}
    world.live_through(20)
    assert world.kinds("ce-1") == ["trigger"]


def test_what_happens_only_once_fills_a_line_of_the_digest_and_is_told_no_more():
    world = World()
    alert = world.fire()
    world.end(alert)
    case = replace(world.case(alert), one_shot=True)
    world.case = lambda _: replace(case, told=tuple(row.told for row in alert.rows.values()))
    world.live_through(3)
    assert told(world) == {"ce-1": ["digest"]}
    assert len(world.digests["ce-1"]) == 1


def test_what_happens_only_once_is_dropped_where_it_is_silenced():
    world = World()
    alert = world.fire()
    world.end(alert)
    shut = (Gate("silenced", world.now + DAY, "s1"),)
    assert plan_of(world, alert, one_shot=True, gates=shut).wanted == ()
    assert plan_of(world, alert, one_shot=True, gates=shut).look_at is None
    assert plan_of(world, alert, one_shot=True).wanted != ()


def plan_of(world, alert, **changes):
    contacts = Book(world.roster, world.routes, world.now, time(8))
    return plan(replace(world.case(alert), **changes), contacts, world.now)


@pytest.mark.parametrize(
    ("days_before", "flapping"),
    [
        ((), False),
        ((6,), False),
        ((6, 12), False),
        ((6, 12, 18), True),
        ((1, 2, 3), True),
        ((14, 20, 26), False),
        ((6, 12, 21), False),
    ],
)
def test_after_the_third_firing_within_two_weeks_the_digest_is_enough(days_before, flapping):
    at: datetime = MONDAY
    assert is_flapping(at, [at - days * DAY for days in days_before]) is flapping
