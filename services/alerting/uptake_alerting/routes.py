"""Reads `routes.yml`: the channels, whom they serve, and where a notice goes when nobody is served.

A bad file never replaces a good one. Secrets stay here: neither a log line, an event nor a row ever holds one.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from uptake.messages.fields import Label, Slug
from uptake.subjects import token

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

log = structlog.get_logger(__name__)


class InvalidRoutes(ValueError):
    """The file names its line and what is wrong with it, but never a value: that may be a secret."""


class _Channel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

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


class Routes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

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
    """Raises InvalidRoutes with the line."""
    try:
        node, content = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise InvalidRoutes(f"line {line}: not YAML: {getattr(error, 'problem', 'unreadable')}") from None
    if (double := _double_key(node)) is not None:
        raise InvalidRoutes(f"line {double.start_mark.line + 1}: {double.value} stands twice")
    try:
        return Routes.model_validate({} if content is None else content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidRoutes(f"line {_line(node, first['loc'])}: {where}: {first['msg']}") from None


@dataclass
class RoutesFile:
    """The routes in force. `current()` looks at the file each time: a `stat` is cheap, and no watcher can die."""

    path: Path | None
    error: str | None = None
    _routes: Routes = field(default_factory=Routes)
    _seen: tuple[int, int, int] | None = None

    def write_default(self) -> None:
        """The commented default, for its owner's eyes only, since people put secrets into it."""
        if self.path is not None and not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            self.path.write_text(SHIPPED, encoding="utf-8")

    def current(self) -> Routes:
        if self.path is None:
            return self._routes
        try:
            stat = self.path.stat()
            version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if version == self._seen:
                return self._routes
            self._seen = version
            self._routes = parse(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            self._keep(f"{self.path}: {error}")
        else:
            self.error = None
            log.info("routes loaded", channels=sorted(self._routes.channels), default=self._routes.default)
        return self._routes

    def _keep(self, problem: str) -> None:
        if problem != self.error:
            log.error("routes not loaded, the last good ones stay in force", problem=problem)
        self.error = problem


def _read(inline: SecretStr | None, file: Path | None) -> str:
    if inline is not None:
        return inline.get_secret_value()
    return file.read_text(encoding="utf-8").strip() if file is not None else ""


def _double_key(node: yaml.Node | None) -> yaml.Node | None:
    """YAML would silently take the last one, such as the shipped `channels: {}` below one's own channels."""
    if not isinstance(node, yaml.MappingNode):
        return None
    seen: set[str] = set()
    pairs: list[tuple[yaml.Node, yaml.Node]] = node.value
    for key, value in pairs:
        if key.value in seen:
            return key
        seen.add(key.value)
        if (found := _double_key(value)) is not None:
            return found
    return None


def _line(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """The line of the deepest key of `location` that the file has."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in location:
        found = _child(node, step)
        if found is None:
            continue  # pydantic names the chosen class of a union too; the file does not
        line, node = found
    return line


def _child(node: yaml.Node | None, step: Any) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((k.start_mark.line + 1, v) for k, v in node.value if k.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    return None
