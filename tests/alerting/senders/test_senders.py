"""The forms of a notice: what a webhook and a Slack channel receive, and that a receiver can check it."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest
import structlog

from uptake.messages.alerts import AlertData
from uptake_alerting import senders
from uptake_alerting.claims import LEASE
from uptake_alerting.patience import Sent
from uptake_alerting.wording import Notice


async def test_a_webhook_is_signed_and_carries_its_idempotency_key(letter, deliver, receiver, now):
    channel = f"type: webhook, url: '{receiver.url}', secret: hush, allow_private: true"
    assert await deliver(channel, letter()) == Sent("delivered", "ok")
    (got,) = receiver.got
    assert got.headers["idempotency-key"] == "d1"
    stamp, signature = (part.split("=")[1] for part in got.headers["uptake-signature"].split(","))
    assert int(stamp) == int(now.timestamp())
    assert signature == hmac.new(b"hush", f"{stamp}.".encode() + got.body, hashlib.sha256).hexdigest()
    body = json.loads(got.body)
    assert body["delivery"] == "d1"
    assert body["kind"] == "trigger"
    assert body["headline"] == "Warning: <b> is low"
    assert AlertData.model_validate(body["alert"]) == letter().data


async def test_a_webhook_gets_a_digest_with_what_it_carries(letter, deliver, receiver, alert, engineer):
    digest = letter(kind="digest", data=None, items=(alert(), alert(episode="e2")), person=engineer())
    assert await deliver(f"type: webhook, url: '{receiver.url}', allow_private: true", digest) == Sent(
        "delivered", "ok"
    )
    body = json.loads(receiver.got[0].body)
    assert body["alert"] is None
    assert [item["episode"] for item in body["items"]] == ["e1", "e2"]
    assert body["person"] == "ce-1"


async def test_a_digest_after_a_storm_is_cut_to_what_a_receiver_takes(letter, deliver, receiver, alert):
    digest = letter(kind="digest", data=None, items=tuple(alert(episode=f"e{i}") for i in range(2000)))
    digest = replace(
        digest, notice=Notice("2000 alerts", tuple(f"account {i} is below its target" for i in range(2000)))
    )
    assert (await deliver(f"type: webhook, url: '{receiver.url}', allow_private: true", digest)).outcome == "delivered"
    body = json.loads(receiver.got[0].body)
    assert len(body["items"]) + body["left_out"] == 2000
    assert body["headline"] == "2000 alerts"
    assert body["lines"][:1] == ["account 0 is below its target"]


async def test_every_attempt_of_a_delivery_has_the_same_body(letter, deliver, receiver):
    channel = f"type: webhook, url: '{receiver.url}', allow_private: true"
    for attempt in (1, 2):
        await deliver(channel, letter(attempts=attempt, ambiguous=attempt > 1))
    assert receiver.got[0].body == receiver.got[1].body
    assert receiver.keys == ["d1", "d1"]


async def test_a_webhook_without_a_secret_is_not_signed(letter, deliver, receiver):
    assert await deliver(f"type: webhook, url: '{receiver.url}', allow_private: true", letter()) == Sent(
        "delivered", "ok"
    )
    assert "uptake-signature" not in receiver.got[0].headers


async def test_a_secret_comes_from_its_file_as_it_is_now(letter, deliver, receiver, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    channel = f"type: webhook, url: '{receiver.url}', secret_file: {tmp_path}/secret, allow_private: true"
    assert await deliver(channel, letter()) == Sent("delivered", "ok")
    assert "uptake-signature" in receiver.got[0].headers


async def test_slack_gets_escaped_text_and_no_unfurling(letter, deliver, receiver, tmp_path):
    (tmp_path / "url").write_text(receiver.url)
    assert await deliver(f"type: slack, url_file: {tmp_path}/url, allow_private: true", letter()) == Sent(
        "delivered", "ok"
    )
    assert json.loads(receiver.got[0].body) == {
        "text": "*Warning: &lt;b&gt; is low*\nÜ &amp; co",
        "unfurl_links": False,
        "unfurl_media": False,
        "link_names": False,
    }


@pytest.mark.parametrize(
    "channel",
    [
        "type: slack, url_file: /nowhere",
        "type: webhook, url: 'http://x', secret_file: /nowhere",
        "type: slack_app, token_file: /nowhere, channel: C0000001",
        "type: pagerduty, routing_key_file: /nowhere",
        "type: alertmanager, url_file: /nowhere",
        "type: email, host: x, sender: a@x, to: [b@x], user: me, password_file: /nowhere",
    ],
)
async def test_a_secret_that_cannot_be_read_fails_this_channel_only(letter, deliver, channel):
    assert await deliver(channel, letter()) == Sent("failed", "not_configured")


@pytest.mark.parametrize("channel", ["slack_app", "email", "pagerduty", "alertmanager", "webhook"])
async def test_an_end_survives_that_its_channel_changed_its_type(letter, deliver, channel, free_port):
    """What the trigger's channel gave back is of no use to the new one: the end goes out by itself."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    channels = {
        "slack_app": f"token: hush, channel: C0000001, api: '{nowhere}'",
        "email": f"host: 127.0.0.1, port: {free_port()}, sender: a@b.example, to: [c@d.example]",
        "pagerduty": f"routing_key: hush, url: '{nowhere}'",
        "alertmanager": f"url: '{nowhere}'",
        "webhook": f"url: '{nowhere}'",
    }
    end = letter(kind="terminal", thread={"of": "another channel"})
    sent = await deliver(f"type: {channel}, allow_private: true, {channels[channel]}", end)
    assert sent == Sent("retry", "network")


async def test_a_sender_that_breaks_says_so_without_any_secret_and_stops_no_other(
    letter, deliver, receiver, monkeypatch
):
    async def broken(*_args):
        raise KeyError("https://hooks.example.com/hush")

    monkeypatch.setitem(senders._SENDERS, "webhook", broken)
    with structlog.testing.capture_logs() as logs:
        assert await deliver(f"type: webhook, url: '{receiver.url}'", letter()) == Sent("failed", "broken")
    assert logs[0]["error"] == "KeyError"
    assert "hush" not in str(logs)
    assert (await deliver(f"type: slack, url: '{receiver.url}', allow_private: true", letter())).outcome == "delivered"


async def test_an_attempt_of_many_requests_ends_before_its_lease(letter, deliver, receiver, monkeypatch):
    monkeypatch.setattr(senders, "ATTEMPT_S", 0.2)
    receiver.answers = ["hang"]
    sent = await deliver(f"type: webhook, url: '{receiver.url}', allow_private: true", letter())
    assert sent == Sent("retry", "timeout", ambiguous=True)


def test_an_attempt_is_shorter_than_the_lease_of_its_delivery():
    assert LEASE.total_seconds() > senders.ATTEMPT_S
