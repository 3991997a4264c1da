"""The kinds of channel: what each needs, what it is called in public, and whose address it takes."""

from dataclasses import dataclass

import pytest

from uptake.config import InvalidConfig
from uptake_alerting.channels import fingerprint
from uptake_alerting.routes import parse

URL = "url: https://hush.example.com/x"
KINDS = {
    "webhook": URL,
    "slack": URL,
    "slack_app": "token: xoxb-hush, channel: C0000001",
    "email": "host: smtp.example.com, sender: a@example.com, to: [team@example.com]",
    "pagerduty": "routing_key: hushhushhush",
    "alertmanager": URL,
    "apprise": "url: tgram://hush/x",
}


@dataclass
class Engineer:
    name: str = "ce-1"
    email: str | None = "Ce-1@Example.com"
    slack: str | None = "U0000001"
    active: bool = True


def channel(kind, settings):
    return parse(f"channels: {{one: {{type: {kind}, {settings}}}}}").channels["one"]


@pytest.mark.parametrize(
    ("kind", "destination"),
    [
        ("webhook", f"hush.example.com/{fingerprint('https://hush.example.com/x')}"),
        ("slack", f"hush.example.com/{fingerprint('https://hush.example.com/x')}"),
        ("slack_app", "slack/C0000001"),
        ("email", f"example.com/{fingerprint('team@example.com')}"),
        ("pagerduty", f"pagerduty/{fingerprint('hushhushhush')}"),
        ("alertmanager", f"hush.example.com/{fingerprint('https://hush.example.com/x')}"),
        ("apprise", f"tgram/{fingerprint('tgram://hush/x')}"),
    ],
)
def test_a_destination_has_a_public_name_whoever_it_is_for(kind, destination):
    found = channel(kind, KINDS[kind])
    assert found.destination() == found.destination(Engineer()) == destination


@pytest.mark.parametrize("kind", KINDS)
def test_no_channel_shows_its_secret(kind):
    assert "hush" not in repr(channel(kind, KINDS[kind])).replace("hush.example", "")


@pytest.mark.parametrize(
    ("kind", "settings", "person", "destination"),
    [
        ("slack_app", "token: t", Engineer(), "slack/U0000001"),
        ("slack_app", "token: t", Engineer(slack=None), None),
        ("slack_app", "token: t", None, None),
        ("email", "host: h, sender: a@b.example", Engineer(), f"example.com/{fingerprint('ce-1@example.com')}"),
        ("email", "host: h, sender: a@b.example", Engineer(email=None), None),
        ("email", "host: h, sender: a@b.example", None, None),
    ],
)
def test_some_channels_write_to_the_person_or_to_nobody(kind, settings, person, destination):
    assert channel(kind, settings).destination(person) == destination


@pytest.mark.parametrize(
    ("kind", "settings", "problem"),
    [
        ("slack_app", "channel: C0000001", "needs either token or token_file"),
        ("slack_app", "token: t, token_file: /f", "needs either token or token_file"),
        ("slack_app", "token: t, channel: '#general'", "channel"),
        ("email", "host: h, sender: a@b.example, user: me", "needs both user and password"),
        ("email", "host: h, sender: a@b.example, password: hush", "needs both user and password"),
        ("email", "host: h, sender: a@b.example, user: me, password: hush, tls: none", "a password needs tls"),
        ("email", "host: h, sender: 'Me <a@b.example>'", "one plain e-mail address"),
        ("email", "host: h, sender: a@b.example, to: ['a@b.example, c@d.example']", "one plain e-mail address"),
        ("email", 'host: h, sender: "a@b.example\\r\\nBcc: x@y.example"', "one plain e-mail address"),
        ("email", "host: 'h h', sender: a@b.example", "host"),
        ("email", "host: h, port: 0, sender: a@b.example", "port"),
        ("pagerduty", "serves: [ce-1]", "needs either routing_key or routing_key_file"),
        ("alertmanager", "labels: {a: b}", "needs either url or url_file"),
        ("alertmanager", f"{URL}, labels: {{'a-b': c}}", "labels"),
        ("apprise", "serves: []", "needs either url or url_file"),
    ],
)
def test_a_channel_that_cannot_work_is_refused_without_its_secret(kind, settings, problem):
    with pytest.raises(InvalidConfig, match=r"^line 1: ") as error:
        channel(kind, settings)
    assert problem in str(error.value)
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "file"),
    [("slack_app", "token"), ("pagerduty", "routing_key"), ("alertmanager", "url"), ("apprise", "url")],
)
def test_a_secret_may_stand_in_a_file_of_its_own(kind, file, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    found = channel(kind, f"{file}_file: {tmp_path}/secret")
    read = {"slack_app": "bearer", "pagerduty": "key"}.get(kind, "target")
    assert getattr(found, read)() == "hush"


def test_a_former_key_is_found_by_its_fingerprint_and_an_unknown_one_is_not():
    found = channel("pagerduty", "routing_key: new, former_routing_keys: [old]")
    assert found.key() == found.key(fingerprint("new")) == "new"
    assert found.key(fingerprint("old")) == "old"
    assert found.key(fingerprint("older")) is None


def test_a_channel_may_serve_everybody():
    routes = parse(
        """
        channels:
          all: {type: webhook, url: "http://x", serves: ["*"]}
          one: {type: webhook, url: "http://y", serves: [ce-1]}
        """
    )
    assert routes.serving("ce-1") == ("all", "one")
    assert routes.serving("ce-2") == ("all",)


def test_operators_are_channels_that_exist():
    with pytest.raises(InvalidConfig, match="operators names unknown channels: pager"):
        parse("operators: [pager]")
