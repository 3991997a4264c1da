"""The forms of a notice: what a webhook and a Slack channel receive, and that a receiver can check it."""

import hashlib
import hmac
import json
from datetime import UTC, date, datetime

import pytest

from uptake.messages.alerts import AlertData
from uptake_alerting.patience import Sent
from uptake_alerting.routes import parse
from uptake_alerting.senders import Letter, new_client, send
from uptake_alerting.wording import Notice, values_of_account

NOW = datetime(2026, 5, 4, 2, 0, 30, tzinfo=UTC)


@pytest.fixture
def letter(account_day):
    data = AlertData(
        episode="e1",
        number=1,
        rule="adoption-below-target",
        subject_kind="account",
        subject="acme",
        account="acme",
        region=None,
        severity="warning",
        state="firing",
        reason="firing",
        since=date(2026, 5, 1),
        fired_at=NOW,
        detected_at=NOW,
        owner="ce-1",
        summary="<b> is low",
        next_step="Ask.",
        values=values_of_account(account_day(date(2026, 5, 3)), []),
    )
    return Letter("d1", "trigger", NOW, "this is a default channel", data, Notice("Warning: <b> is low", ("Ü & co",)))


async def deliver(letter, text):
    async with new_client() as client:
        return await send(client, parse(text).channels["ops"], letter, NOW)


async def test_a_webhook_is_signed_and_carries_its_idempotency_key(letter, receiver):
    text = f"channels: {{ops: {{type: webhook, url: '{receiver.url}', secret: hush, allow_private: true}}}}"
    assert await deliver(letter, text) == Sent("delivered", "ok")
    (got,) = receiver.got
    assert got.headers["idempotency-key"] == "d1"
    stamp, signature = (part.split("=")[1] for part in got.headers["uptake-signature"].split(","))
    assert int(stamp) == int(NOW.timestamp())
    assert signature == hmac.new(b"hush", f"{stamp}.".encode() + got.body, hashlib.sha256).hexdigest()
    body = json.loads(got.body)
    assert body["delivery"] == "d1"
    assert body["kind"] == "trigger"
    assert body["headline"] == "Warning: <b> is low"
    assert AlertData.model_validate(body["alert"]) == letter.data


async def test_a_webhook_without_a_secret_is_not_signed(letter, receiver):
    text = f"channels: {{ops: {{type: webhook, url: '{receiver.url}', allow_private: true}}}}"
    assert await deliver(letter, text) == Sent("delivered", "ok")
    assert "uptake-signature" not in receiver.got[0].headers


async def test_a_secret_comes_from_its_file_as_it_is_now(letter, receiver, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    secret = f"secret_file: {tmp_path}/secret"
    text = f"channels: {{ops: {{type: webhook, url: '{receiver.url}', {secret}, allow_private: true}}}}"
    assert await deliver(letter, text) == Sent("delivered", "ok")
    assert "uptake-signature" in receiver.got[0].headers


async def test_slack_gets_escaped_text_and_no_unfurling(letter, receiver, tmp_path):
    (tmp_path / "url").write_text(receiver.url)
    text = f"channels: {{ops: {{type: slack, url_file: {tmp_path}/url, allow_private: true}}}}"
    assert await deliver(letter, text) == Sent("delivered", "ok")
    assert json.loads(receiver.got[0].body) == {
        "text": "*Warning: &lt;b&gt; is low*\nÜ &amp; co",
        "unfurl_links": False,
        "unfurl_media": False,
        "link_names": False,
    }


@pytest.mark.parametrize(
    "channel", ["{type: slack, url_file: /nowhere}", "{type: webhook, url: 'http://x', secret_file: /nowhere}"]
)
async def test_a_secret_that_cannot_be_read_fails_this_channel_only(letter, channel):
    assert await deliver(letter, f"channels: {{ops: {channel}}}") == Sent("failed", "not_configured")
