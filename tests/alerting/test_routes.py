"""`routes.yml`: what it may say, what it says when it is wrong, and that a bad file changes nothing."""

import os
import stat
from pathlib import Path

import pytest
import structlog

from uptake.config import InvalidConfig
from uptake_alerting.routes import SHIPPED, Routes, RoutesFile, parse

GOOD = """
channels:
  ops:
    type: webhook
    url: http://127.0.0.1:9/hook
    secret: hush
    allow_private: true
    serves: [ce-1]
  team: {type: slack, url: https://hooks.slack.com/services/T/B/x}
default: [ops]
"""


def test_a_good_file_names_channels_whom_they_serve_and_the_default():
    routes = parse(GOOD)
    assert routes.serves == {"ops": ("ce-1",), "team": ()}
    assert routes.default == ("ops",)
    assert routes.channels["ops"].key() == b"hush"
    assert routes.channels["ops"].allow_private


def test_the_shipped_file_is_valid_and_names_no_channel():
    assert parse(SHIPPED) == parse("channels: {}") == Routes()


@pytest.mark.parametrize("text", ["", "# channels: {}\n", "---\n", "null"])
def test_a_file_that_says_nothing_is_no_file(text):
    """An editor may have emptied it and be about to write it anew."""
    with pytest.raises(InvalidConfig, match="line 1: the file says nothing"):
        parse(text)


def test_the_shipped_example_is_valid_once_it_is_uncommented():
    lines = SHIPPED.split("# channels:\n")[1].split("\nchannels: {}")[0].splitlines()
    example = "channels:\n" + "\n".join(line.removeprefix("# ") for line in lines)
    assert {channel.type for channel in parse(example).channels.values()} == {
        "webhook",
        "slack",
        "slack_app",
        "email",
        "pagerduty",
        "alertmanager",
        "apprise",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("channels: [", "line 1: not YAML"),
        ("channels:\n  ops: {type: webhook\n", "line 3: not YAML"),
        ("- a\n", "line 1: the file"),
        ("defautl: [ops]\n", "line 1: defautl: is not known here"),
        (GOOD.replace("    secret:", "    secert:"), "line 6: channels.ops.webhook.secert: is not known here"),
        (GOOD.replace("allow_private: true", "allow_private: perhaps"), "line 7: channels.ops.webhook.allow_private"),
        (GOOD.replace("serves: [ce-1]", "serves: [1]"), "line 8: channels.ops.webhook.serves.0"),
        (GOOD.replace("type: webhook", "type: pigeon"), "line 3: channels.ops: Input tag 'pigeon'"),
        (GOOD.replace("    url: http://127.0.0.1:9/hook\n", ""), "line 3: channels.ops.webhook: needs"),
        (GOOD.replace("default: [ops]", "default: [oops]"), "default names unknown channels: oops"),
        (GOOD + "channels: {}\n", "line 11: channels stands twice"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text, problem):
    with pytest.raises(InvalidConfig, match=r"^line \d+: ") as error:
        parse(text)
    assert problem in str(error.value)
    assert "hush" not in str(error.value)


def test_a_change_is_seen_at_the_next_look(routes_file):
    routes = routes_file(GOOD)
    assert routes.current().default == ("ops",)
    routes.path.write_text(GOOD.replace("[ops]", "[team]"))
    assert routes.current().default == ("team",)


def test_a_bad_change_keeps_the_last_good_routes_and_says_so_once(routes_file):
    routes = routes_file(GOOD)
    routes.current()
    routes.path.write_text("channels: [\n")
    with structlog.testing.capture_logs() as logs:
        assert routes.current() == routes.current() == parse(GOOD)
    assert [line["log_level"] for line in logs] == ["error"]
    assert f"{routes.path}: line 2: not YAML" in logs[0]["problem"]
    routes.path.write_text(GOOD.replace("[ops]", "[]"))
    assert routes.current().default == ()
    assert routes.error is None


def test_a_file_that_disappears_keeps_the_last_good_routes(routes_file):
    routes = routes_file(GOOD)
    before = routes.current()
    routes.path.unlink()
    assert routes.current() == before
    assert "No such file" in routes.error


def test_the_default_is_written_once_and_only_its_owner_may_read_it(tmp_path):
    routes = RoutesFile(tmp_path / "config" / "routes.yml")
    routes.write_default()
    assert stat.S_IMODE(os.stat(routes.path).st_mode) == 0o600
    routes.path.write_text(GOOD)
    routes.write_default()
    assert routes.current() == parse(GOOD)


def test_secrets_come_from_files_and_are_read_when_needed(tmp_path):
    (tmp_path / "url").write_text("https://hooks.slack.com/services/T/B/x\n")
    channel = parse(f"channels: {{team: {{type: slack, url_file: {tmp_path}/url}}}}").channels["team"]
    assert channel.target() == "https://hooks.slack.com/services/T/B/x"
    before = channel.destination()
    (tmp_path / "url").write_text("https://hooks.slack.com/services/T/B/y\n")
    assert channel.destination() != before


def test_a_destination_tells_the_host_and_no_secret():
    destination = parse(GOOD).channels["team"].destination()
    assert destination.startswith("hooks.slack.com/")
    assert "services" not in destination


@pytest.mark.parametrize("address", ["url_file: /nowhere", "url: 'http://['"])
def test_an_address_that_cannot_be_read_has_a_name_all_the_same(address):
    channel = parse(f"channels: {{team: {{type: slack, {address}}}}}").channels["team"]
    assert channel.destination() == "unreadable"


def test_a_secret_is_not_in_the_text_of_its_channel():
    assert "hush" not in repr(parse(GOOD))
    assert "/services/" not in repr(parse(GOOD))


def test_a_file_that_could_not_be_read_is_read_as_soon_as_it_can_be(tmp_path, monkeypatch):
    """`chmod` moves neither its time nor its size."""
    path = tmp_path / "routes.yml"
    path.write_text(GOOD)
    routes, read_text = RoutesFile(path), Path.read_text

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert routes.current() == Routes()
    assert "Permission denied" in (routes.error or "")
    monkeypatch.setattr(Path, "read_text", read_text)
    assert list(routes.current().channels) == ["ops", "team"]
    assert routes.error is None
