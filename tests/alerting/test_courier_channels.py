"""The courier and its channels against a real PostgreSQL and fakes that misbehave: crashes, hangs, secrets."""

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
import structlog
from sqlalchemy import select

from tests.alerting.fakes.pagerduty import KEY, FakePagerDuty
from tests.alerting.fakes.rows import Rows
from tests.alerting.fakes.slack import TOKEN, FakeSlack
from tests.alerting.fakes.smtp import FakeSmtp
from uptake_alerting import claims, server_clock
from uptake_alerting import courier as couriers
from uptake_alerting.courier import Courier
from uptake_alerting.links import Links
from uptake_alerting.senders import new_outlet
from uptake_alerting.tables import episode
from uptake_alerting.wording import values_of_account

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)
LATER = NOW + timedelta(seconds=61)


@pytest.fixture
def rows(engine, account_day, routes):
    return Rows(engine, NOW, values_of_account(account_day(date(2026, 5, 7))), routes)


@pytest.fixture
async def slack():
    async with FakeSlack(clock_s=int(NOW.timestamp())).serve() as fake:
        yield fake


@pytest.fixture
async def pager():
    async with FakePagerDuty().serve() as fake:
        yield fake


@pytest.fixture
async def post_office():
    async with FakeSmtp(offers_starttls=False).serve() as fake:
        yield fake


@pytest.fixture
def routes(routes_file, slack, pager, receiver, post_office):
    mail = f"host: 127.0.0.1, port: {post_office.port}, sender: a@b.example, to: [c@d.example]"
    return routes_file(
        f"""
        channels:
          chat: {{type: slack_app, token: {TOKEN}, api: "{slack.api}", channel: C0000001, allow_private: true}}
          pager: {{type: pagerduty, routing_key: {KEY}, url: "{pager.url}/v2/enqueue", allow_private: true}}
          ops: {{type: webhook, url: "{receiver.url}/hush-path", secret: hush-key, allow_private: true}}
          team: {{type: slack, url: "{receiver.url}/hush-path", allow_private: true}}
          prom: {{type: alertmanager, url: "{receiver.url}/hush-path", token: hush-key, allow_private: true}}
          mail: {{type: email, {mail}, user: uptake, password: hush-key, allow_private: true}}
        """
    )


class Crash(Exception):
    """Stands for a process that dies between sending and recording."""


async def drain(courier, now):
    while await courier.deliver_one(now):
        pass


async def crash_after_sending(courier, monkeypatch):
    async def crash(*_args):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(claims, "finish", crash)
        with pytest.raises(Crash):
            await courier.deliver_one(NOW)


async def test_an_update_and_the_end_get_the_reference_that_slack_gave_the_trigger(rows, routes, courier_of, slack):
    courier, _ = courier_of(routes)
    await rows.notice("t", "acme", "chat", "slack_app")
    await drain(courier, NOW)
    (head,) = slack.posts["C0000001"]
    assert (await rows.deliveries())["t"].reference == {"channel": "C0000001", "ts": head["ts"]}
    await rows.notice("u", "acme", "chat", "slack_app", kind="update", sequence=1)
    await drain(courier, NOW)
    await rows.end("acme")
    await rows.notice("e", "acme", "chat", "slack_app", kind="terminal")
    await drain(courier, NOW)
    assert [post.get("thread_ts") for post in slack.posts["C0000001"]] == [None, head["ts"], head["ts"]]


@pytest.mark.parametrize(("channel", "kind"), [("chat", "slack_app"), ("pager", "pagerduty")])
async def test_a_crash_between_send_and_record_makes_no_copy_where_the_channel_can_tell(
    rows, routes, courier_of, slack, pager, monkeypatch, channel, kind
):
    courier, outcomes = courier_of(routes)
    await rows.notice("t", "acme", channel, kind)
    await crash_after_sending(courier, monkeypatch)
    await drain(courier, LATER)
    found = (await rows.deliveries())["t"]
    assert (found.status, found.attempts, found.ambiguous) == ("delivered", 2, True)
    assert found.reference is not None
    assert len(slack.posts["C0000001"]) + len(pager.incidents) == 1
    assert outcomes.seen == [(kind, "delivered", "ok")]


@pytest.mark.parametrize("sent", [True, False])
async def test_an_episode_that_ended_in_the_meantime_is_announced_only_if_it_was_already(
    rows, routes, courier_of, slack, monkeypatch, sent
):
    courier, _ = courier_of(routes)
    await rows.notice("t", "acme", "chat", "slack_app")
    if sent:
        await crash_after_sending(courier, monkeypatch)
    else:
        slack.errors = ["fatal_error"]
        await courier.deliver_one(NOW)
    await rows.end("acme")
    await drain(courier, LATER)
    found = (await rows.deliveries())["t"]
    assert (found.status, found.reason) == (("delivered", "ok") if sent else ("skipped", "episode_ended"))


async def test_news_of_an_episode_that_has_ended_is_dropped(rows, routes, courier_of, slack):
    await rows.notice("r", "acme", "chat", "slack_app", kind="reminder", ambiguous=True)
    await rows.end("acme")
    await drain(courier_of(routes)[0], NOW)
    assert (await rows.deliveries())["r"].reason == "episode_ended"
    assert slack.asked == []


@dataclass
class Engineer:
    name: str = "ce-1"
    email: str | None = "old@example.com"
    slack: str | None = None
    active: bool = True


@pytest.mark.parametrize(
    ("found", "kind", "reason"),
    [
        (Engineer(active=False), "trigger", "recipient_left"),
        (Engineer(active=False), "reminder", "recipient_left"),
        (Engineer(email="new@example.com"), "trigger", "destination_changed"),
        (None, "trigger", "destination_changed"),
        (Engineer(), "trigger", "network"),  # it goes out, to nobody
        (Engineer(active=False), "terminal", "network"),
        (None, "terminal", "no_address"),
    ],
)
async def test_promise_6_whoever_left_or_moved_is_told_no_more_but_the_end(
    rows, routes_file, engine, free_port, found, kind, reason
):
    post = f"type: email, host: 127.0.0.1, port: {free_port()}, sender: a@b.example, allow_private: true"
    routes = routes_file(f"channels: {{post: {{{post}}}}}")
    to = routes.current().channels["post"].destination(Engineer())
    await rows.notice("t", "acme", "post", "email", kind=kind, person="ce-1", destination=to)
    async with new_outlet() as outlet:
        courier = Courier(engine, routes, outlet, lambda *_outcome: None, lambda _name: found)
        await drain(courier, NOW)
    assert (await rows.deliveries())["t"].reason == reason


async def test_an_outcome_asks_for_a_new_look_at_its_episode(rows, routes, courier_of, engine, receiver):
    receiver.answers = [404]
    await rows.notice("t", "acme", "ops", "webhook")
    await drain(courier_of(routes)[0], NOW)
    async with engine.connect() as connection:
        assert await connection.scalar(select(episode.c.look_at)) == NOW


async def test_a_digest_tells_what_it_carries_as_it_is_now(rows, routes, courier_of, receiver):
    await rows.notice("c", "acme", "ops", "webhook", status="collected", digest="d")
    content = {"headline": "1 alerts", "lines": ["as it was"]}
    await rows.notice("d", "acme", "ops", "webhook", kind="digest", episode=None, event=None, content=content)
    await drain(courier_of(routes, links=Links("https://uptake.example"))[0], NOW)
    body = json.loads(receiver.got[0].body)
    line = "Warning: acme is low https://uptake.example/api/v1/alerts/e-acme"
    assert (body["headline"], body["lines"], body["alert"]) == ("Alerts: 1 open, 0 over", [line], None)
    assert [item["subject"] for item in body["items"]] == ["acme"]
    assert (await rows.deliveries())["d"].status == "delivered"


async def test_what_carries_no_alert_brings_its_own_words(rows, routes, courier_of, receiver):
    content = {"headline": "Week of ce-1", "lines": ["one", "two"]}
    await rows.notice("d", "acme", "ops", "webhook", kind="digest", episode=None, event=None, content=content)
    await drain(courier_of(routes)[0], NOW)
    body = json.loads(receiver.got[0].body)
    assert (body["headline"], body["lines"], body["items"]) == ("Week of ce-1", ["one", "two"], [])


async def test_a_notice_whose_words_cannot_be_made_stops_no_other(rows, routes, courier_of, receiver):
    await rows.notice("a", "acme", "ops", "webhook", episode=None, event=None, kind="operator", content={"lines": 1})
    await rows.notice("b", "second", "ops", "webhook")
    await drain(courier_of(routes)[0], NOW)
    found = await rows.deliveries()
    assert (found["a"].status, found["a"].reason) == ("failed", "broken")
    assert found["b"].status == "delivered"


async def test_a_channel_that_hangs_holds_up_no_other(rows, routes, courier_of, receiver, pager, monkeypatch):
    """Twenty notices wait for a channel that never answers; the one for another channel arrives at once."""
    receiver.answers = ["hang"] * 20
    for i in range(20):
        due = NOW - timedelta(minutes=i + 1)
        await rows.notice(f"h{i}", f"a{i}", "ops", "webhook", due_at=due)
    await rows.notice("t", "acme", "pager", "pagerduty")

    async def now(_engine):
        return NOW

    monkeypatch.setattr(server_clock, "ask", now)
    monkeypatch.setattr(couriers, "DRAIN_S", 0.1)
    monkeypatch.setattr(couriers, "AT_ONCE", 8)
    running = asyncio.create_task(courier_of(routes)[0].run())
    async with asyncio.timeout(10):
        while not pager.incidents:  # noqa: ASYNC110  # the fake has nothing to wait on
            await asyncio.sleep(0.01)
    assert len(receiver.got) <= couriers.PER_CHANNEL
    running.cancel()
    await asyncio.wait([running])


async def test_no_secret_is_in_a_log_a_row_or_an_outcome(rows, routes, courier_of, slack, pager, receiver, caplog):
    """Every channel, well and misbehaving, with every logger at its most talkative."""
    caplog.set_level(logging.DEBUG)
    secrets = (TOKEN, KEY, "hush-path", "hush-key")
    channels = (
        ("chat", "slack_app"),
        ("pager", "pagerduty"),
        ("ops", "webhook"),
        ("team", "slack"),
        ("prom", "alertmanager"),
        ("mail", "email"),
    )
    slack.faults, pager.faults, receiver.answers = [500, 404], [500, 404], [500, 404, 500, "drop"]
    courier, outcomes = courier_of(routes)
    for i in range(3):
        for channel, kind in channels:
            await rows.notice(f"{channel}{i}", f"a{i}", channel, kind)
    with structlog.testing.capture_logs() as logs:
        await drain(courier, NOW)
        await drain(courier, NOW + timedelta(hours=1))
    assert {kind for kind, _, _ in outcomes.seen} == {kind for _, kind in channels}
    assert {outcome for _, outcome, _ in outcomes.seen} == {"delivered", "retry", "failed"}
    quiet = {"httpx2": logging.WARNING}  # as the service sets it up
    ours = [r.getMessage() for r in caplog.records if r.levelno >= quiet.get(r.name, logging.INFO)]
    shown = "\n".join([await rows.everything(), repr(logs), repr(outcomes.seen), repr(routes.current()), *ours])
    assert "a0" in shown
    assert [secret for secret in secrets if secret in shown] == []
