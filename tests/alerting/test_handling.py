"""What an action does to an alert, as a table: what changes, what was so already, what is refused and why."""

from datetime import UTC, datetime, timedelta

import pytest

from uptake_alerting.handling import Action, Done, Refused, Standing, decide, parse_length

NOW = datetime(2026, 5, 8, 9, tzinfo=UTC)
DAY = timedelta(days=1)
FIRING = Standing("firing", "firing", "warning", "account")
ACKED = Standing("firing", "firing", "warning", "account", acked_by="ann", ack_until=NOW + DAY)
SNOOZED = Standing("firing", "firing", "warning", "account", snoozed_until=NOW + DAY)
RUN_OUT = Standing("firing", "firing", "warning", "account", acked_by="ann", ack_until=NOW, snoozed_until=NOW)
CRITICAL = Standing("recovering", "recovering", "critical", "account")
RESOLVED = Standing("resolved", "on_target", "warning", "account", ended_at=NOW - DAY)
CLOSED = Standing("closed", "closed_by_hand", "warning", "account", ended_at=NOW - DAY)
GIVEN = Standing("firing", "firing", "warning", "account", assignee="bob")


def act(verb, by="ann", **other):
    return Action(verb, by, "cli", **other)


@pytest.mark.parametrize(
    ("alert", "action", "kind", "values"),
    [
        (FIRING, act("ack"), "acknowledged", {"acked_by": "ann", "acked_at": NOW, "ack_until": NOW + 7 * DAY}),
        (CRITICAL, act("ack"), "acknowledged", {"acked_by": "ann", "acked_at": NOW, "ack_until": NOW + 3 * DAY}),
        (RUN_OUT, act("ack"), "acknowledged", {"acked_by": "ann", "acked_at": NOW, "ack_until": NOW + 7 * DAY}),
        (
            ACKED,
            act("ack", lasts=2 * DAY),
            "acknowledged",
            {"acked_by": "ann", "acked_at": NOW, "ack_until": NOW + 2 * DAY},
        ),
        (
            ACKED,
            act("ack", "bob", until=NOW + DAY),
            "acknowledged",
            {"acked_by": "bob", "acked_at": NOW, "ack_until": NOW + DAY},
        ),
        (
            ACKED,
            act("unack"),
            "unacknowledged",
            {"acked_by": None, "acked_at": None, "ack_until": None, "snoozed_until": None},
        ),
        (
            SNOOZED,
            act("unack"),
            "unacknowledged",
            {"acked_by": None, "acked_at": None, "ack_until": None, "snoozed_until": None},
        ),
        (FIRING, act("snooze", lasts=7 * DAY), "snoozed", {"snoozed_until": NOW + 7 * DAY}),
        (SNOOZED, act("snooze", until=NOW + 30 * DAY), "snoozed", {"snoozed_until": NOW + 30 * DAY}),
        (FIRING, act("assign", to="bob"), "assigned", {"assignee": "bob"}),
        (GIVEN, act("assign", to=None), "assigned", {"assignee": None}),
        (FIRING, act("close", comment="moved away"), "closed", {"state": "closed", "reason": "closed_by_hand"}),
        (FIRING, act("note", comment="asked the champion"), "noted", {}),
        (RESOLVED, act("note", comment="asked the champion"), "noted", {}),
    ],
)
def test_an_action_changes_the_alert_and_writes_an_event(alert, action, kind, values):
    done = decide(alert, action, NOW)
    assert isinstance(done, Done)
    assert (done.kind, done.values) == (kind, values)


@pytest.mark.parametrize(
    ("alert", "action", "said"),
    [
        (ACKED, act("ack"), "It is acked by ann until 2026-05-09 09:00 UTC already."),
        (ACKED, act("ack", "bob"), "It is acked by ann until 2026-05-09 09:00 UTC already."),
        (ACKED, act("ack", lasts=DAY + timedelta(seconds=9)), "It is acked by ann until 2026-05-09 09:00 UTC already."),
        (FIRING, act("unack"), "It is neither acked nor snoozed."),
        (RUN_OUT, act("unack"), "It is neither acked nor snoozed."),
        (SNOOZED, act("snooze", lasts=DAY + timedelta(seconds=9)), "It is snoozed until 2026-05-09 09:00 UTC already."),
        (GIVEN, act("assign", to="bob"), "It is with bob already."),
        (FIRING, act("assign", to=None), "It is with its owner already."),
        (CLOSED, act("close", comment="again"), "It is closed by hand already."),
        (Standing("firing", "", "info", "account", noted=True), act("note", comment="x"), "It is noted already."),
    ],
)
def test_the_same_twice_changes_nothing_and_says_so(alert, action, said):
    assert decide(alert, action, NOW) == Done(said)


@pytest.mark.parametrize(
    ("alert", "action", "error", "says"),
    [
        (RESOLVED, act("ack"), "alert_ended", "over since 2026-05-07 09:00 UTC (resolved, on_target)"),
        (RESOLVED, act("unack"), "alert_ended", "nothing left to unack"),
        (RESOLVED, act("snooze", lasts=DAY), "alert_ended", "nothing left to snooze"),
        (RESOLVED, act("assign", to="bob"), "alert_ended", "nothing left to assign"),
        (RESOLVED, act("close", comment="why"), "alert_ended", "nothing left to close; a note can still be added"),
        (CLOSED, act("ack"), "alert_ended", "(closed, closed_by_hand)"),
        (Standing("firing", "", "critical", "rule"), act("close", comment="x"), "ends_by_itself", "alerts release"),
        (Standing("firing", "", "critical", "episode"), act("close", comment="x"), "ends_by_itself", "ack or snooze"),
        (FIRING, act("close"), "invalid_request", "comment: say why"),
        (FIRING, act("note", comment=" \n"), "invalid_request", "note: say what"),
        (FIRING, act("snooze"), "invalid_request", "until: a snooze needs an end"),
        (FIRING, act("snooze", until=NOW, lasts=DAY), "invalid_request", "not both"),
        (FIRING, act("snooze", until=NOW), "invalid_request", "2026-05-08 09:00 UTC is over already"),
        (FIRING, act("ack", lasts=timedelta(0)), "invalid_request", "over already"),
        (FIRING, act("ack", lasts=31 * DAY), "invalid_request", "at most 30 days"),
        (FIRING, act("unack", lasts=DAY), "invalid_request", "only an ack and a snooze"),
        (RESOLVED, act("snooze"), "invalid_request", "until: a snooze needs an end"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do_instead(alert, action, error, says):
    refused = decide(alert, action, NOW)
    assert isinstance(refused, Refused)
    assert refused.error == error
    assert says in refused.detail


@pytest.mark.parametrize(
    ("text", "length"),
    [("90m", timedelta(minutes=90)), (" 4h ", timedelta(hours=4)), ("7d", 7 * DAY), ("2 w", 14 * DAY)],
)
def test_a_length_of_time(text, length):
    assert parse_length(text) == length


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7D", "1d2h", "999999d", "٣d"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ValueError, match="write 90m, 4h, 7d or 2w"):
        parse_length(text)
