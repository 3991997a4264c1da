"""What alerting answers about alerts, and to what people do about them."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
ROSTER = "people: [{name: ce-1}, {name: ce-2}, {name: gone, active: false}]"
ROUTES = 'channels: {x: {type: webhook, url: "http://x.test/", serves: [on-call]}}'


async def test_an_action_answers_with_what_came_of_it_and_how_the_alert_is_now(fire, call):
    alert = await fire()
    answer = await call("POST", f"/alerts/{alert}/ack", {"by": "ann", "for": "4h", "comment": "on it"})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["changed"], found["said"]) == (True, "Acked by ann until 2026-05-04 14:00 UTC.")
    assert found["alert"]["handling"] == {
        "state": "acked",
        "acked_by": "ann",
        "acked_at": "2026-05-04T10:00:00Z",
        "ack_until": "2026-05-04T14:00:00Z",
        "snoozed_until": None,
        "assignee": None,
        "escalation": 0,
    }
    assert found["alert"]["gates"] == [{"reason": "acked", "until": "2026-05-04T14:00:00Z", "what": "ann"}]
    event = found["alert"]["transitions"][-1]
    assert (event["kind"], event["by"], event["via"], event["note"]) == ("acknowledged", "ann", "api", "on it")
    assert event["at"] == "2026-05-04T10:00:00Z"
    again = (await call("POST", f"/alerts/{alert}/ack", {"by": "ann"})).json()
    assert (again["changed"], again["alert"]["transitions"]) == (False, found["alert"]["transitions"])


async def test_an_ack_that_ran_out_is_not_shown_any_more(fire, call, clock):
    alert = await fire()
    await call("POST", f"/alerts/{alert}/ack", {"by": "ann"})
    await call("POST", f"/alerts/{alert}/snooze", {"by": "ann", "until": "2026-05-05T10:00:00Z"})
    clock.now = NOW + timedelta(days=7)
    found = (await call("GET", f"/alerts/{alert}")).json()
    assert (found["handling"]["state"], found["handling"]["acked_by"], found["gates"]) == ("unacked", None, [])


async def test_gates_are_those_of_the_last_look_that_are_still_shut(fire, call):
    kept = [
        {"reason": "silenced", "until": "2026-05-04T12:00:00+00:00", "what": "s1"},
        {"reason": "quiet_hours", "until": "2026-05-04T09:00:00+00:00", "what": "ce-1"},
        {"reason": "inhibited", "until": None, "what": "telemetry-silent"},
        {"reason": "acked", "until": None, "what": "ann"},
    ]
    alert = await fire(columns={"gates": kept, "route": {"level": 1, "steps": ["ce-1 owns it, but is away"]}})
    found = (await call("GET", f"/alerts/{alert}")).json()
    assert [gate["reason"] for gate in found["gates"]] == ["silenced", "inhibited"]
    assert found["route"] == {"level": 1, "steps": ["ce-1 owns it, but is away"]}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "abcd"),
        ({"state": "open"}, "abc"),
        ({"state": "resolved"}, "d"),
        ({"state": "acked"}, "b"),
        ({"state": "snoozed"}, "c"),
        ({"state": "unacked"}, "a"),
        ({"rule": "account-dormant"}, "c"),
        ({"account": "b"}, "b"),
        ({"owner": "ce-2"}, "ab"),
        ({"severity": "critical"}, "c"),
        ({"severity": "critical", "owner": "ce-2"}, ""),
        ({"limit": "1"}, "a"),
    ],
)
async def test_the_list_has_the_alerts_that_every_value_names_the_newest_first(fire, call, query, ids):
    later = [NOW - timedelta(hours=hour) for hour in range(4)]
    await fire("a", later[0], owner="ce-2")
    over, on = (
        {"acked_by": "bob", "ack_until": NOW - timedelta(1)},
        {"acked_by": "ann", "ack_until": NOW + timedelta(1)},
    )
    await fire("b", later[1], on | {"assignee": "ce-2"})
    await fire("c", later[2], over | {"snoozed_until": NOW + timedelta(1)}, rule="account-dormant", severity="critical")
    await fire("d", later[3], {"acked_by": "ann", "ended_at": NOW}, state="resolved")
    assert "".join(alert["subject"] for alert in (await call("GET", "/alerts", **query)).json()) == ids


async def test_the_list_as_csv_is_a_row_for_each_alert(fire, call):
    alert = await fire(columns={"acked_by": "=ann", "assignee": "ce-2"})
    await fire("d", NOW, {"ended_at": NOW}, state="resolved")
    answer = await call("GET", "/alerts", format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = {row["subject"]: row for row in csv.DictReader(io.StringIO(answer.text, newline=""))}
    acme = rows["acme"]
    assert (acme["id"], acme["owner"], acme["assignee"], acme["handling"]) == (alert, "ce-1", "ce-2", "acked")
    assert (acme["acked_by"], acme["gates"], acme["told"]) == ("'=ann", "acked", "")
    assert rows["d"]["resolved_at"] == "2026-05-04T10:00:00Z"


@pytest.mark.parametrize("path", ["/alerts", "/silences"])
async def test_a_csv_without_rows_has_its_columns_all_the_same(call, path):
    lines = (await call("GET", path, format="csv")).text.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("id,")


@pytest.mark.parametrize(
    ("action", "body", "says"),
    [
        ("ack", {}, "by: is missing"),
        ("ack", {"by": ""}, "by: "),
        ("ack", {"by": "a\nb"}, "by: must be one line"),
        ("ack", {"by": "ann", "util": "2026-05-05T10:00:00Z"}, "util: is not known here"),
        ("ack", {"by": "ann", "until": "tomorrow"}, "until: must be an RFC 3339 time"),
        ("ack", {"by": "ann", "until": "2026-05-05T10:00:00"}, "until: must be an RFC 3339 time"),
        ("ack", {"by": "ann", "for": "7"}, "for: '7' is no length of time: write 90m, 4h, 7d or 2w"),
        ("ack", {"by": "ann", "for": "31d"}, "until: at most 30 days ahead"),
        ("ack", {"by": "ann", "to": "bob"}, "to: not of ack, which takes comment"),
        ("ack", {"by": "ann", "via": "Some Door"}, "via: must have the form"),
        ("snooze", {"by": "ann"}, "until: a snooze needs an end"),
        ("close", {"by": "ann"}, "comment: say why it is closed"),
        ("close", {"by": "ann", "comment": "x", "note": "y"}, "note: not of close, which takes comment"),
        ("assign", {"by": "ann"}, "to: say to whom, or null"),
        ("note", {"by": "ann", "comment": "x"}, "comment: not of note, which takes note"),
        ("note", {"by": "ann", "note": "x" * 8001}, "note: "),
        ("explode", {"by": "ann"}, "action: must be 'ack', 'unack'"),
    ],
)
async def test_a_wrong_request_is_refused_with_the_field_and_what_it_takes(fire, call, action, body, says):
    answer = await call("POST", f"/alerts/{await fire()}/{action}", body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["detail"].startswith(says)


async def test_what_a_page_of_another_site_could_send_unasked_is_no_request(fire, call):
    """A browser sends `text/plain` to this machine without asking anybody; for JSON it asks first."""
    alert = await fire()
    answer = await call("POST", f"/alerts/{alert}/ack", plain='{"by": "mallory"}')
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await call("GET", f"/alerts/{alert}")).json()["handling"]["acked_by"] is None


async def test_an_alert_that_is_over_is_a_conflict_and_takes_a_note_all_the_same(fire, call):
    alert = await fire("d", NOW, {"ended_at": NOW}, state="resolved", reason="on_target")
    answer = await call("POST", f"/alerts/{alert}/ack", {"by": "ann"})
    assert (answer.status_code, answer.json()["error"]) == (409, "alert_ended")
    assert answer.json()["detail"].startswith("the alert is over since 2026-05-04 10:00 UTC (resolved, on_target)")
    noted = await call("POST", f"/alerts/{alert}/note", {"by": "ann", "note": "told\nthem"})
    assert noted.json()["alert"]["transitions"][-1]["note"] == "told\nthem"


@pytest.mark.parametrize(
    ("to", "roster", "routes", "status", "says"),
    [
        ("ce-2", ROSTER, ROUTES, 200, "Assigned to ce-2."),
        ("on-call", ROSTER, ROUTES, 200, "Assigned to on-call."),
        ("anybody", "people: []", "channels: {}", 200, "Assigned to anybody."),
        (None, ROSTER, ROUTES, 200, "It is with its owner already."),
        ("ce-3", ROSTER, ROUTES, 400, "'ce-3' is in neither roster.yml nor routes.yml. Did you mean ce-2, ce-1?"),
        ("zoe", ROSTER, ROUTES, 400, "'zoe' is in neither roster.yml nor routes.yml. Add them to roster.yml first."),
        ("gone", ROSTER, ROUTES, 400, "'gone' is no longer active."),
    ],
)
async def test_an_alert_is_given_only_to_somebody_who_is_known(fire, call, to, roster, routes, status, says):
    answer = await call("POST", f"/alerts/{await fire()}/assign", {"by": "ann", "to": to}, roster, routes)
    said = answer.json().get("said") or answer.json()["detail"]
    assert answer.status_code == status
    assert said.startswith(says)
