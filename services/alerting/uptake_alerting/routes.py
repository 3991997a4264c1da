"""What `routes.yml` says: the channels, whom they serve, and where a notice goes when nobody is served.

Secrets stay here and in `channels`: neither a log line, an event nor a row ever holds one.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from uptake import config
from uptake.config import ConfigFile, Section
from uptake.messages.fields import Slug
from uptake_alerting.channels import Channel, SlackChannel, WebhookChannel

__all__ = ["FILE", "SHIPPED", "Channel", "Routes", "RoutesFile", "SlackChannel", "WebhookChannel", "check", "parse"]

FILE = "routes.yml"
SHIPPED = """\
# Where alerts go. Read again whenever it changes; a file with an error leaves the last good one in force.
#
# A notice goes to every channel that serves the owner (of a trial: its engineer), else the deputy,
# else to the `default` channels. With no channel at all an alert is still opened, shown and counted
# as undeliverable; it is sent as soon as a channel for it appears here.
# Every secret may stand here or, as `<name>_file`, in a file of its own.
# `serves: ["*"]` is everybody whom the channel can reach. `allow_private: true` lets the target be a private or
# loopback address.
#
# channels:
#   ops:
#     type: webhook
#     url: https://hooks.example.com/uptake
#     secret_file: /run/secrets/uptake-webhook   # signs each request; or `secret: ...` in this file
#     allow_private: false
#     serves: [ce-1, ce-2]
#   team:
#     type: slack
#     url_file: /run/secrets/slack-webhook       # an incoming webhook; or `url: ...` in this file
#     serves: []
#   chat:
#     type: slack_app                            # threads, edits and buttons
#     token_file: /run/secrets/slack-bot-token   # xoxb-...; scopes chat:write, im:write, channels:history, im:history
#     signing_secret_file: /run/secrets/slack-signing-secret   # buttons: POST /api/v1/slack/actions
#     channel: C0123456789                       # without it: to the person, by the Slack id in roster.yml
#   mail:
#     type: email
#     host: smtp.example.com
#     port: 587
#     tls: starttls                              # or tls, none
#     user: uptake
#     password_file: /run/secrets/smtp
#     sender: uptake@example.com
#     to: []                                     # empty: to the person, at the address in roster.yml
#     serves: ["*"]
#   pager:
#     type: pagerduty
#     routing_key_file: /run/secrets/pagerduty
#     former_routing_keys: []                    # still end the incidents that they opened
#   prometheus:
#     type: alertmanager
#     url: http://alertmanager:9093
#     labels: {team: customer-engineering}       # beside rule, subject, account and severity
#     allow_private: true
#   phone:
#     type: apprise                              # needs the extra: pip install 'uptake[apprise]'
#     url_file: /run/secrets/apprise-url
# default: [ops]
# operators: [pager]                             # trouble of alerting itself; empty: the default channels

channels: {}
default: []
operators: []
"""


class Routes(Section):
    channels: dict[Slug, Channel] = Field(default_factory=dict)
    default: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for what, names in (("default", self.default), ("operators", self.operators)):
            unknown = [name for name in names if name not in self.channels]
            if unknown:
                raise ValueError(f"{what} names unknown channels: {', '.join(unknown)}")
        return self

    @property
    def serves(self) -> dict[str, tuple[str, ...]]:
        return {name: channel.serves for name, channel in self.channels.items()}

    def serving(self, person: str) -> tuple[str, ...]:
        """The channels that serve somebody, in the order of the file."""
        return tuple(name for name, c in self.channels.items() if person in c.serves or "*" in c.serves)


def parse(text: str) -> Routes:
    """Raises `InvalidConfig` with the line."""
    return config.parse(text, Routes)


def check(config_dir: Path) -> list[str]:
    """What is wrong with the file in a folder, with its line."""
    return config.check(config_dir / FILE, Routes)


class RoutesFile(ConfigFile[Routes]):
    """The routes in force."""

    def __init__(self, path: Path | None, shipped: str = SHIPPED) -> None:
        super().__init__(path, Routes, shipped)
