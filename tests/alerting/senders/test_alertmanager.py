"""Alertmanager v2 against one of our own: stable labels, an end that is said, nothing twice."""

from datetime import timedelta

import pytest

from tests.alerting.fakes.alertmanager import FakeAlertmanager
from uptake_alerting.patience import Sent

LABELS = {
    "alertname": "adoption-below-target",
    "subject_kind": "account",
    "subject": "acme",
    "account": "acme",
    "severity": "warning",
    "source": "uptake",
}


@pytest.fixture
async def prometheus():
    async with FakeAlertmanager().serve() as fake:
        yield fake


@pytest.fixture
def tell(deliver, prometheus, now):
    async def run(letter, more="", now=now):
        return await deliver(f"type: alertmanager, url: '{prometheus.url}/', allow_private: true{more}", letter, now)

    return run


async def test_an_alert_fires_with_labels_that_can_be_routed_by(tell, prometheus, letter, alert, now):
    data = alert(region="emea", labels={"team": "ce", "a-b": "c"}, annotations={"runbook_url": "https://r.example"})
    sent = await tell(letter(data=data), ", labels: {origin: uptake-1, team: other}")
    labels = LABELS | {"region": "emea", "a_b": "c", "origin": "uptake-1", "team": "other"}
    assert sent == Sent("delivered", "ok", reference={"labels": labels})
    (found,) = prometheus.alerts.values()
    assert found["labels"] == labels
    assert found["startsAt"] == "2026-05-04T02:00:30Z"
    assert found["annotations"]["summary"] == "Warning: <b> is low"
    assert found["annotations"]["runbook_url"] == "https://r.example"
    assert prometheus.firing(now) == ["acme"]


async def test_its_end_is_said_under_the_labels_of_its_trigger_whatever_changed(tell, prometheus, letter, alert, now):
    thread = (await tell(letter())).reference
    worse = alert(severity="critical", region="apac", state="resolved")
    for kind in ("update", "terminal"):
        assert (await tell(letter(kind=kind, data=worse, thread=thread), ", labels: {new: one}")).outcome == "delivered"
    assert len(prometheus.alerts) == 1
    assert prometheus.firing(now) == []
    (found,) = prometheus.alerts.values()
    assert found["endsAt"] == found["startsAt"]
    assert found["annotations"]["severity"] == "critical"


async def test_what_is_not_said_again_ends_by_itself_only_after_a_while(tell, prometheus, letter, now):
    await tell(letter())
    assert prometheus.firing(now + timedelta(minutes=14)) == ["acme"]
    assert prometheus.firing(now + timedelta(minutes=16)) == []


async def test_a_crash_between_send_and_record_makes_no_second_alert(tell, prometheus, letter, hurried, now):
    prometheus.faults = ["lost"]
    assert (await tell(letter())).ambiguous
    await tell(letter(ambiguous=True), now=now + timedelta(minutes=1))
    assert len(prometheus.alerts) == 1


async def test_it_may_ask_for_a_token(tell, prometheus, letter):
    await tell(letter(), ", token: hush")
    assert prometheus.asked[0].headers["authorization"] == "Bearer hush"


async def test_it_takes_alerts_and_no_digests(tell, prometheus, letter):
    assert await tell(letter(kind="digest", data=None)) == Sent("failed", "no_digests")
    assert prometheus.asked == []


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (400, Sent("failed", "http_4xx")),
        (429, Sent("retry", "http_429", 30.0)),
        (500, Sent("retry", "http_5xx")),
        (302, Sent("failed", "redirect")),
        ("hang", Sent("retry", "timeout", ambiguous=True)),
        ("huge", Sent("delivered", "ok", reference={"labels": LABELS})),  # what it says is not read
    ],
)
async def test_what_a_misbehaving_server_means(tell, prometheus, letter, hurried, fault, sent):
    prometheus.faults, prometheus.fault_headers = [fault], {"Retry-After": "30"}
    assert await tell(letter()) == sent
