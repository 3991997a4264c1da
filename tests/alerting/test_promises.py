"""The nine promises of alerting, each by name; and all of them after every step of random programs."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.alerting.telling import EVERYBODY, MONDAY, PEOPLE, Alert, World, roster, routes
from uptake_alerting.breaker import Breaker
from uptake_alerting.threads import OPENERS

NIGHT = MONDAY + timedelta(hours=12)


def test_promise_1_a_delivered_trigger_gets_exactly_one_terminal_whatever_happens_to_silences_routes_and_owners():
    world = World()
    alert = world.fire()
    world.settle()
    world.silence("acme", hours=100)
    alert.owner = "ce-2"
    world.routes = routes("ce-2", "ops")
    world.end(alert)
    world.live_through(6)
    assert world.kinds("ce-1") == ["trigger", "terminal"]
    assert world.kinds("ce-2") == []


def test_promise_1_an_escalation_is_a_beginning_too_and_gets_its_end():
    world = World()
    alert = world.fire("account-dormant")
    world.settle()
    world.live_through(1)
    assert world.kinds("on-call") == ["escalation"]
    world.end(alert)
    world.settle()
    assert world.kinds("on-call") == ["escalation", "terminal"]
    assert world.kinds("ce-1") == ["trigger", "terminal"]


def test_promise_2_what_comes_and_goes_at_night_is_only_in_the_morning_summary():
    world = World(now=NIGHT)
    alert = world.fire()
    world.settle()
    world.wait(hours=2)
    world.end(alert)
    world.settle()
    assert world.heard == {}
    world.live_through(1)
    assert world.digests == {"ce-1": ["1 at 05 08:00"]}
    assert world.kinds("ce-1") == ["digest"]


def test_promise_2_no_terminal_where_the_trigger_failed():
    world = World()
    alert = world.fire()
    world.look()
    ((_, row),) = world.due()
    world.send(alert, row, "4xx")
    world.settle()
    world.end(alert)
    world.settle()
    assert world.kinds("ce-1") == []
    assert world.kinds("on-call") == ["trigger", "terminal"]


@pytest.mark.parametrize("gate", ["silenced", "inhibited", "quiet_hours", "snoozed", "acked", "held"])
def test_promise_4_when_suppression_ends_while_it_fires_unannounced_there_is_exactly_one_trigger(gate):
    world = World(now=NIGHT if gate == "quiet_hours" else MONDAY)
    if gate == "silenced":
        world.silence("acme", hours=3)
    other = world.fire("telemetry-silent", owner="boss") if gate == "inhibited" else None
    if gate == "held":
        world.breakers.append(Breaker("adoption-below-target", world.now, world.now + timedelta(hours=3)))
    alert = world.fire()
    if gate == "acked":
        world.ack(alert, days=0.125)
    if gate == "snoozed":
        alert.handling = replace(alert.handling, snoozed_until=world.now + timedelta(hours=3))
    world.settle()
    assert [g.reason for g in alert.before] == [gate]
    assert world.kinds("ce-1") == []
    world.wait(hours=3)
    if other is not None:
        world.end(other)
    world.settle()
    world.live_through(1)
    assert world.kinds("ce-1") == ["trigger"]


def test_promise_5_trigger_then_updates_then_terminal_and_an_undelivered_trigger_is_dropped():
    world = World()
    alert = world.fire()
    world.settle()
    alert.severity = "critical"
    world.end(world.fire(account="other"))  # ends before anybody was told
    world.wake()
    world.settle()
    world.end(alert)
    world.settle()
    assert world.kinds("ce-1") == ["trigger", "update", "terminal"]


def test_promise_5_the_end_waits_for_an_update_of_which_nobody_knows_whether_it_arrived():
    world = World()
    alert = world.fire()
    world.settle()
    alert.severity = "critical"
    world.wake()
    world.look()
    ((_, row),) = world.due()
    world.send(alert, row, "hang")
    world.end(alert)
    world.look()
    assert [r.told.kind for r in alert.rows.values() if r.told.is_open] == ["update"]
    world.wait(minutes=1)
    world.settle()
    assert world.kinds("ce-1") == ["trigger", "update", "terminal"]


def test_promise_6_the_last_look_before_sending_drops_what_is_no_longer_true():
    world = World()
    ended, moved = world.fire(), world.fire(account="other", owner="ce-2")
    world.look()
    ended.ended_at = world.now
    world.routes = routes("ce-1", "on-call", "ops")
    for alert, row in world.due():
        world.send(alert, row)
    assert world.heard == {}
    assert {r.told.reason for a in (ended, moved) for r in a.rows.values()} == {"episode_ended", "channel_removed"}
    world.settle()
    assert world.kinds("on-call", moved) == ["trigger"]


def test_promise_7_nobody_to_tell_goes_to_the_next_level_at_once_and_reaching_nobody_is_an_alert():
    world = World(roster=roster("ce-1"))
    alert = world.fire()
    world.settle()
    assert world.kinds("on-call") == ["trigger"]
    world = World(routes=routes())
    alert = world.fire()
    world.settle()
    assert alert.unheard
    world.routes = EVERYBODY
    world.wake()
    world.settle()
    assert not alert.unheard
    assert world.kinds("ce-1") == ["trigger"]


def test_promise_8_the_order_of_looks_and_their_number_changes_nothing():
    def told(order: int) -> list[list[str]]:
        world = World()
        alerts = [world.fire(account=f"a{i}") for i in range(3)]
        world.alerts = dict(sorted(world.alerts.items(), reverse=bool(order)))
        for _ in range(order + 1):
            world.settle()
        world.end(alerts[1])
        world.settle()
        return [world.kinds("ce-1", alert) for alert in alerts]

    assert told(0) == told(1) == told(2) == [["trigger"], ["trigger", "terminal"], ["trigger"]]


def test_promise_9_one_more_copy_for_each_crash_and_none_where_the_receiver_knows_the_key():
    world = World()
    alert = world.fire()
    world.look()
    ((_, row),) = world.due()
    world.send(alert, row, "crash")
    world.wait(minutes=1)
    world.settle()
    assert row.copies == 2
    assert world.kinds("ce-1") == ["trigger"]


accounts = strategies.sampled_from(["acme", "blue"])
rules = strategies.sampled_from(["adoption-below-target", "telemetry-silent", "account-dormant"])
outcomes = strategies.sampled_from(["ok", "ok", "5xx", "4xx", "crash", "lost", "hang"])
spans = strategies.sampled_from([1, 5, 20, 60, 4 * 60, 13 * 60, 24 * 60, 3 * 24 * 60])
numbers = strategies.integers(0, 5)


class Promises(RuleBasedStateMachine):
    """Anything that may happen, in any order. Whatever has happened: after every step the promises hold."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(name=rules, account=accounts, owner=strategies.sampled_from(PEOPLE))
    def it_fires(self, name: str, account: str, owner: str) -> None:
        if name not in self.world.firing(account):
            self.world.fire(name, account, owner)

    @precondition(lambda self: self.open())
    @rule(which=numbers)
    def it_ends(self, which: int) -> None:
        self.world.end(self.one(which))

    @precondition(lambda self: self.open())
    @rule(which=numbers, severity=strategies.sampled_from(["warning", "critical"]))
    def its_severity_moves(self, which: int, severity: str) -> None:
        alert = self.one(which)
        if severity == "critical" != alert.severity:
            alert.handling = replace(alert.handling, acked_by=None, ack_until=None)  # worse drops the ack
        alert.severity, alert.look_at = severity, self.world.now

    @precondition(lambda self: self.open())
    @rule(which=numbers, days=strategies.sampled_from([0.1, 1.0, 7.0]))
    def somebody_acks(self, which: int, days: float) -> None:
        self.world.ack(self.one(which), days=days)

    @precondition(lambda self: self.open())
    @rule(which=numbers, hours=strategies.sampled_from([1, 30]))
    def somebody_snoozes(self, which: int, hours: int) -> None:
        alert = self.one(which)
        alert.handling = replace(alert.handling, snoozed_until=self.world.now + timedelta(hours=hours))
        alert.look_at = self.world.now

    @precondition(lambda self: self.open())
    @rule(which=numbers, to=strategies.sampled_from(PEOPLE))
    def it_is_given_to_somebody(self, which: int, to: str) -> None:
        alert = self.one(which)
        alert.assignee, alert.look_at = to, self.world.now

    @rule(account=accounts, hours=strategies.sampled_from([1, 12, 48]))
    def an_account_is_silenced(self, account: str, hours: int) -> None:
        self.world.silence(account, hours)

    @rule(name=rules, hours=strategies.sampled_from([1, 24]))
    def a_storm_is_held(self, name: str, hours: int) -> None:
        now = self.world.now
        if all(b.over_at() <= now for b in self.world.breakers if b.rule == name):
            self.world.breakers.append(Breaker(name, now, now + timedelta(hours=hours)))
            self.world.wake()

    @rule(name=rules)
    def a_storm_is_released(self, name: str) -> None:
        now = self.world.now
        held = [replace(b, released_at=now) if b.rule == name and b.over_at() > now else b for b in self.world.breakers]
        self.world.breakers = held
        self.world.wake()

    @rule(there=strategies.sets(strategies.sampled_from([*PEOPLE, "ops"])))
    def the_routes_change(self, there: set[str]) -> None:
        self.world.routes = routes(*sorted(there))
        self.world.wake()

    @rule(away=strategies.sets(strategies.sampled_from(PEOPLE), max_size=2))
    def the_roster_changes(self, away: set[str]) -> None:
        self.world.roster = roster(*sorted(away))
        self.world.wake()

    @rule(minutes=spans)
    def time_passes(self, minutes: int) -> None:
        self.world.wait(minutes=minutes)

    @rule()
    def a_replica_looks(self) -> None:
        self.world.look()

    @rule()
    def a_replica_looks_and_dies_before_it_commits(self) -> None:
        for alert in self.world.alerts.values():
            self.world.plan(alert)

    @precondition(lambda self: self.world.due())
    @rule(which=numbers, outcome=outcomes)
    def a_courier_sends(self, which: int, outcome: str) -> None:
        due = self.world.due()
        self.world.send(*due[which % len(due)], outcome)

    @rule()
    def digests_are_made(self) -> None:
        self.world.look()
        self.world.make_digests()

    def open(self) -> list[Alert]:
        return [alert for alert in self.world.alerts.values() if alert.ended_at is None]

    def one(self, which: int) -> Alert:
        return self.open()[which % len(self.open())]

    @invariant()
    def promises_1_2_and_5_each_destination_hears_a_beginning_first_and_one_end_last(self) -> None:
        for channel, seen in self.world.heard.items():
            for alert in {id_ for id_, _, _ in seen}:
                kinds = [kind for id_, kind, _ in seen if id_ == alert and kind != "digest"]
                assert not kinds or kinds[0] in OPENERS, f"{channel} hears of {alert} as {kinds}"
                assert sum(kind in OPENERS for kind in kinds) <= 1, kinds
                assert "terminal" not in kinds[:-1], kinds

    @invariant()
    def promise_6_nothing_leaves_for_an_alert_that_is_over(self) -> None:
        assert self.world.sent_after_the_end == []

    @invariant()
    def promise_7_whoever_is_not_told_waits_for_something_that_has_a_name(self) -> None:
        for alert in self.open():
            if alert.look_at is not None and alert.look_at <= self.world.now:
                continue  # it is looked at next
            told = any(r.told.kind in OPENERS and r.told.counts for r in alert.rows.values())
            assert told or alert.unheard or alert.before, f"{alert.id} was forgotten"
            assert told or alert.look_at is not None, f"{alert.id} is never looked at again"

    @invariant()
    def promise_9_a_copy_more_for_each_attempt_of_unknown_outcome(self) -> None:
        for alert in self.world.alerts.values():
            for row in alert.rows.values():
                assert row.copies <= 1 + row.doubts, row

    def teardown(self) -> None:
        """In the end everything works, all gates open, and the rest is told."""
        world = self.world
        world.routes, world.roster = EVERYBODY, roster()
        world.wake()
        world.live_through(12)
        for alert in self.open():
            heard = {channel for channel, seen in world.heard.items() for id_, k, _ in seen if id_ == alert.id}
            inhibited = any(gate.reason == "inhibited" for gate in alert.before)  # by what still fires itself
            assert heard or inhibited, f"promise 7: {alert.id} fires, and nobody knows"
        for alert in self.open():
            world.end(alert)
        world.live_through(5)
        for alert in world.alerts.values():
            self._ends_everywhere(alert)

    def _ends_everywhere(self, alert: Alert) -> None:
        told = [row.told for row in alert.rows.values()]
        for opener in (t for t in told if t.kind in OPENERS and t.status == "delivered"):
            ends = [t.status for t in told if t.kind == "terminal" and t.channel == opener.channel]
            assert ends in (["delivered"], ["failed"]), f"promise 1: {alert.id} at {opener.channel}: {ends}"
        assert not any(t.is_open for t in told), f"{alert.id} never comes to rest"


SETTINGS = settings(max_examples=60, stateful_step_count=40, deadline=None, report_multiple_bugs=False)
Promises.TestCase.settings = SETTINGS
TestPromises = Promises.TestCase
