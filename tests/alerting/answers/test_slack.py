"""Buttons in Slack: only what Slack signed, only fresh, done in the name of who pressed, and answered to them alone."""

import hashlib
import hmac
import json
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from tests.alerting.fakes.rows import Rows
from uptake import problems
from uptake.config import parse
from uptake_alerting import routes
from uptake_alerting.answers import slack
from uptake_alerting.roster import Roster
from uptake_alerting.senders import new_outlet
from uptake_alerting.tables import alert_event, episode
from uptake_alerting.wording import values_of_account

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
KEY = "hush-signing"
ROSTER = "people: [{name: ce-1, slack: U0000001}]"


class InForce:
    """Configuration that does not change."""

    def __init__(self, content):
        self._content = content

    def current(self):
        return self._content


@pytest.fixture
async def rows(engine, account_day):
    """One open alert, `e-acme`."""
    found = Rows(engine, NOW, values_of_account(account_day(date(2026, 5, 3)), []))
    await found.notice("t", "acme", "chat", "slack_app", status="delivered")
    return found


@pytest.fixture
def done(engine, rows):
    """The history of the alert after it fired: what was done, and by whom."""

    async def run():
        async with engine.connect() as connection:
            found = await connection.execute(select(alert_event).order_by(alert_event.c.position))
            return [(row.kind, row.by) for row in found if row.kind != "firing"]

    return run


@pytest.fixture
async def ask(engine, rows):
    """Posts a body as Slack would, `key` being what it is signed with."""

    app = FastAPI()
    problems.install(app)
    text = f"""
        channels:
          hook: {{type: webhook, url: "http://x"}}
          lost: {{type: slack_app, token: t, signing_secret_file: /nowhere}}
          none: {{type: slack_app, token: t}}
          void: {{type: slack_app, token: t, signing_secret: ""}}
          chat: {{type: slack_app, token: t, signing_secret: {KEY}, allow_private: true}}
    """
    app.include_router(slack.router(engine, InForce(routes.parse(text)), InForce(parse(ROSTER, Roster)), lambda: NOW))
    async with new_outlet() as app.state.outlet:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://alerting") as client:

            async def run(body, key=KEY, at=NOW, signed=None):
                stamp = str(int(at.timestamp()))
                made = hmac.new(key.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
                headers = {"X-Slack-Signature": signed or f"v0={made}", "X-Slack-Request-Timestamp": stamp}
                return await client.post("/api/v1/slack/actions", content=body, headers=headers)

            yield run


def press(action="ack", user="U0000001", reply_to=None, episode="e-acme", **other):
    payload = {
        "type": "block_actions",
        "user": {"id": user},
        "actions": [{"action_id": action, "value": episode}],
        "response_url": reply_to,
    }
    return urlencode({"payload": json.dumps(payload | other)}).encode()


async def test_ack_is_done_in_the_name_of_who_pressed_and_pressed_twice_it_is_done_once(ask, done, engine):
    for _ in range(2):
        assert (await ask(press())).status_code == 200
    assert await done() == [("acknowledged", "ce-1")]
    async with engine.connect() as connection:
        assert await connection.scalar(select(episode.c.look_at)) == NOW


async def test_snooze_lasts_seven_days(ask, done, engine):
    for _ in range(2):
        await ask(press("snooze"))
    assert await done() == [("snoozed", "ce-1")]
    async with engine.connect() as connection:
        assert await connection.scalar(select(episode.c.snoozed_until)) == NOW + timedelta(days=7)


async def test_somebody_who_is_not_in_the_roster_is_named_by_their_id(ask, done):
    await ask(press(user="U0000009"))
    assert await done() == [("acknowledged", "slack:U0000009")]


async def test_who_pressed_is_told_what_came_of_it_and_nobody_else(ask, receiver):
    assert (await ask(press(reply_to=receiver.url))).status_code == 200
    assert json.loads(receiver.got[0].body) == {
        "response_type": "ephemeral",
        "replace_original": False,
        "text": "Acked by ce-1 until 2026-05-11 09:00 UTC.",
    }


async def test_who_presses_too_late_is_told_so(ask, done, rows, receiver):
    await rows.end("acme")
    assert (await ask(press(reply_to=receiver.url))).status_code == 200
    assert "the alert is over" in json.loads(receiver.got[0].body)["text"]
    await ask(press(reply_to=receiver.url, episode="<!channel>"))
    assert "&lt;!channel&gt;" in json.loads(receiver.got[1].body)["text"]
    assert await done() == []


async def test_an_answer_that_does_not_get_through_undoes_nothing(ask, done, receiver):
    receiver.answers = [500]
    assert (await ask(press(reply_to=receiver.url))).status_code == 200
    assert await done() == [("acknowledged", "ce-1")]


async def test_the_link_to_the_account_is_a_press_without_work(ask, done):
    assert (await ask(press("open_account"))).status_code == 200
    assert (await ask(press(type="view_submission"))).status_code == 200
    assert await done() == []


@pytest.mark.parametrize("late_s", [-301, 301, 10**6])
async def test_what_is_older_than_five_minutes_or_of_the_future_is_refused(ask, done, late_s):
    at = datetime.fromtimestamp(NOW.timestamp() - late_s, UTC)
    answer = await ask(press(), at=at)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_signature")
    assert await done() == []


@pytest.mark.parametrize("late_s", [-299, 299])
async def test_five_minutes_are_allowed(ask, late_s):
    assert (await ask(press(), at=datetime.fromtimestamp(NOW.timestamp() - late_s, UTC))).status_code == 200


@pytest.mark.parametrize("signed", ["", "v0=", "v0=" + "0" * 64, "v1=x", b"v0=\xfc"])
async def test_what_slack_did_not_sign_is_refused(ask, done, signed):
    assert (await ask(press(), signed=signed or "none")).status_code == 401
    assert (await ask(press(), key="another")).status_code == 401
    assert (await ask(press(), key="")).status_code == 401
    assert await done() == []


def test_a_body_changed_on_its_way_is_refused():
    stamp = str(int(NOW.timestamp()))
    signed = "v0=" + hmac.new(b"k", f"v0:{stamp}:a".encode(), hashlib.sha256).hexdigest()
    assert slack.is_signed(b"k", signed, stamp, b"a", NOW)
    assert not slack.is_signed(b"k", signed, stamp, b"b", NOW)
    assert not slack.is_signed(b"k", signed, stamp + "0", b"a", NOW)
    assert not slack.is_signed(b"k", signed, "-1", b"a", NOW)
    assert not slack.is_signed(b"k", signed, "²", b"a", NOW)


@pytest.mark.parametrize(
    "body",
    [b"", b"payload", b"payload=%7B", b"payload=[]", b"payload=%7B%7D", b"\xff\xfe=1", b"payload=" + b"[" * 20_000],
)
async def test_a_signed_body_that_is_no_press_is_refused_and_does_no_harm(ask, done, body):
    answer = await ask(body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert await done() == []


async def test_a_body_without_an_end_is_not_read(ask, done):
    assert (await ask(b"x" * (slack.MAX_BODY_BYTES + 1))).status_code == 413
    assert await done() == []
