"""PagerDuty Events v2 against a service of our own: one incident per episode, whatever comes twice."""

import json

import pytest

from tests.alerting.fakes.pagerduty import FORMER_KEY, KEY, FakePagerDuty
from uptake_alerting.channels import fingerprint
from uptake_alerting.patience import Sent
from uptake_alerting.wording import Notice

REFERENCE = {"key": fingerprint(KEY), "dedup_key": "uptake-e1"}


@pytest.fixture
async def pager():
    async with FakePagerDuty().serve() as fake:
        yield fake


@pytest.fixture
def page(deliver, pager):
    async def run(letter, key=KEY, former=()):
        keys = f"routing_key: {key}, former_routing_keys: [{', '.join(former)}]"
        return await deliver(f"type: pagerduty, {keys}, url: '{pager.url}/v2/enqueue', allow_private: true", letter)

    return run


async def test_a_trigger_opens_an_incident_and_the_terminal_resolves_it(page, pager, letter, alert):
    data = alert(severity="critical", links={"alert": "https://uptake.example.com/alerts/e1"})
    sent = await page(letter(data=data))
    assert sent == Sent("delivered", "ok", reference=REFERENCE)
    incident = pager.incidents[KEY, "uptake-e1"]
    assert incident["payload"]["severity"] == "critical"
    assert incident["payload"]["summary"] == "Warning: <b> is low"
    assert json.loads(pager.asked[0].body)["links"][0]["href"] == "https://uptake.example.com/alerts/e1"
    assert (await page(letter(kind="terminal", thread=sent.reference))).outcome == "delivered"
    assert incident["state"] == "resolved"


async def test_a_crash_between_send_and_record_makes_no_second_incident(page, pager, letter, hurried):
    pager.faults = ["lost"]
    assert (await page(letter())).ambiguous
    assert (await page(letter(ambiguous=True))).outcome == "delivered"
    assert list(pager.incidents) == [(KEY, "uptake-e1")]


async def test_updates_and_reminders_belong_to_the_same_incident(page, pager, letter):
    thread = (await page(letter())).reference
    for kind in ("update", "reminder"):
        assert (await page(letter(kind=kind, sequence=1, thread=thread))).outcome == "delivered"
    assert pager.incidents[KEY, "uptake-e1"]["triggers"] == 3


async def test_the_end_uses_the_key_of_its_trigger(page, pager, letter):
    thread = (await page(letter(), key=FORMER_KEY)).reference
    end = letter(kind="terminal", thread=thread)
    assert await page(end) == Sent("failed", "key_changed")
    assert (await page(end, former=[FORMER_KEY])).outcome == "delivered"
    assert pager.incidents == {
        (FORMER_KEY, "uptake-e1"): pager.incidents[FORMER_KEY, "uptake-e1"] | {"state": "resolved"}
    }


async def test_a_digest_pages_nobody_and_a_notice_to_operators_does(page, pager, letter):
    assert await page(letter(kind="digest", data=None)) == Sent("failed", "no_digests")
    assert pager.asked == []
    assert (await page(letter(kind="operator", data=None))).outcome == "delivered"
    assert list(pager.incidents) == [(KEY, "uptake-d1")]


async def test_a_long_headline_is_cut_to_what_it_takes(page, pager, letter):
    assert (await page(letter(notice=Notice("x" * 5000, ())))).outcome == "delivered"


async def test_the_key_is_in_no_reference(page, letter):
    assert KEY not in repr(await page(letter()))


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (400, Sent("failed", "http_4xx")),
        (429, Sent("retry", "http_429", 30.0)),
        (500, Sent("retry", "http_5xx")),
        (307, Sent("failed", "redirect")),
        ("hang", Sent("retry", "timeout", ambiguous=True)),
        ("drop", Sent("retry", "network", ambiguous=True)),
    ],
)
async def test_what_a_misbehaving_server_means(page, pager, letter, hurried, fault, sent):
    pager.faults, pager.fault_headers = [fault], {"Retry-After": "30"}
    assert await page(letter()) == sent


async def test_what_it_refuses_for_good_goes_elsewhere(page, letter):
    assert await page(letter(), key="short") == Sent("failed", "http_4xx")
