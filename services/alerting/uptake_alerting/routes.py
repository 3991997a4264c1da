"""What `routes.yml` says: the channels, whom they serve, and where a notice goes when nobody is served.

Secrets stay here: neither a log line, an event nor a row ever holds one.
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from uptake import config
from uptake.config import ConfigFile, Section
from uptake.messages.fields import Label, Slug
from uptake.subjects import token

FILE = "routes.yml"
SHIPPED = """\
# Where alerts go. Read again whenever it changes; a file with an error leaves the last good one in force.
#
# A notice goes to every channel that serves the owner (of a trial: its engineer), else the deputy,
# else to the `default` channels. With no channel at all an alert is still opened, shown and counted
# as undeliverable; it is sent as soon as a channel for it appears here.
#
# channels:
#   ops:
#     type: webhook
#     url: https://hooks.example.com/uptake
#     secret_file: /run/secrets/uptake-webhook   # signs each request; or `secret: ...` in this file
#     allow_private: false                       # true: the target may be a private or loopback address
#     serves: [ce-1, ce-2]
#   team:
#     type: slack
#     url_file: /run/secrets/slack-webhook       # an incoming webhook; or `url: ...` in this file
#     serves: []
# default: [ops]

channels: {}
default: []
"""


class _Channel(Section):
    url: SecretStr | None = None
    url_file: Path | None = None
    allow_private: bool = False
    serves: tuple[Label, ...] = ()

    @model_validator(mode="after")
    def _has_one_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("needs either url or url_file")
        return self

    def target(self) -> str:
        """The address; a secret, since a Slack webhook's address is all one needs to post."""
        return _read(self.url, self.url_file)

    def destination(self) -> str:
        """A public name of the address: its host and a fingerprint, so that a new address is a new destination."""
        try:
            target = self.target()
            return f"{urlsplit(target).hostname}/{token(target)[:8]}"
        except (OSError, ValueError):
            return "unreadable"  # the sender says so for this channel; the others must not suffer


class WebhookChannel(_Channel):
    type: Literal["webhook"]
    secret: SecretStr | None = None
    secret_file: Path | None = None

    def key(self) -> bytes | None:
        """What signs the requests; None leaves them unsigned."""
        if self.secret is None and self.secret_file is None:
            return None
        return _read(self.secret, self.secret_file).encode()


class SlackChannel(_Channel):
    type: Literal["slack"]


Channel = Annotated[WebhookChannel | SlackChannel, Field(discriminator="type")]


class Routes(Section):
    channels: dict[Slug, Channel] = Field(default_factory=dict)
    default: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _defaults_exist(self) -> Self:
        unknown = [name for name in self.default if name not in self.channels]
        if unknown:
            raise ValueError(f"default names unknown channels: {', '.join(unknown)}")
        return self

    @property
    def serves(self) -> dict[str, tuple[str, ...]]:
        return {name: channel.serves for name, channel in self.channels.items()}


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


def _read(inline: SecretStr | None, file: Path | None) -> str:
    if inline is not None:
        return inline.get_secret_value()
    return file.read_text(encoding="utf-8").strip() if file is not None else ""
