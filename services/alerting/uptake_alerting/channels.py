"""The kinds of channel that `routes.yml` may name, their secrets, and what a destination is called in public.

Secrets stay here: neither a log line, an event nor a row ever holds one. Sends nothing.
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, model_validator

from uptake.config import Section
from uptake.messages.fields import Label
from uptake.subjects import token
from uptake_alerting.notices import Addressee
from uptake_alerting.people import Mailbox

UNREADABLE = "unreadable"  # the sender says so for this channel; the others must not suffer

SlackId = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{2,20}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]


class _Channel(Section):
    """`serves`: whose notices it takes; `"*"` is everybody whom it can reach."""

    allow_private: bool = False
    serves: tuple[Label, ...] = ()


class _WebChannel(_Channel):
    url: SecretStr | None = None
    url_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("needs either url or url_file")
        return self

    def target(self) -> str:
        """The address; a secret, since a Slack webhook's address is all one needs to post."""
        return _read(self.url, self.url_file)

    def destination(self, person: Addressee | None = None) -> str | None:
        """A public name of the address: its host and a fingerprint, so that a new address is a new destination."""
        try:
            target = self.target()
            return f"{urlsplit(target).hostname}/{fingerprint(target)}"
        except (OSError, ValueError):
            return UNREADABLE


class WebhookChannel(_WebChannel):
    type: Literal["webhook"]
    secret: SecretStr | None = None
    secret_file: Path | None = None

    def key(self) -> bytes | None:
        """What signs the requests; None leaves them unsigned."""
        if self.secret is None and self.secret_file is None:
            return None
        return _read(self.secret, self.secret_file).encode()


class SlackChannel(_WebChannel):
    """An incoming webhook: no threads, no buttons."""

    type: Literal["slack"]


class SlackAppChannel(_Channel):
    """Slack's Web API. Without `channel` it writes to the person, by the roster's Slack id."""

    type: Literal["slack_app"]
    token: SecretStr | None = None
    token_file: Path | None = None
    signing_secret: SecretStr | None = None
    signing_secret_file: Path | None = None
    channel: SlackId | None = None
    api: str = "https://slack.com/api"

    @model_validator(mode="after")
    def _has_one_token(self) -> Self:
        if (self.token is None) == (self.token_file is None):
            raise ValueError("needs either token or token_file")
        return self

    def bearer(self) -> str:
        return _read(self.token, self.token_file)

    def signing_key(self) -> bytes | None:
        """What Slack signs the presses of buttons with; None: no button of this channel works."""
        if self.signing_secret is None and self.signing_secret_file is None:
            return None
        return _read(self.signing_secret, self.signing_secret_file).encode()

    def destination(self, person: Addressee | None = None) -> str | None:
        where = self.channel or (person.slack if person is not None else None)
        return f"slack/{where}" if where else None


class EmailChannel(_Channel):
    """Without `to` it writes to the person, at the roster's address."""

    type: Literal["email"]
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    sender: Mailbox
    to: tuple[Mailbox, ...] = ()

    @model_validator(mode="after")
    def _does_not_show_its_password(self) -> Self:
        has_password = self.password is not None or self.password_file is not None
        if has_password != (self.user is not None):
            raise ValueError("needs both user and password, or neither")
        if has_password and self.tls == "none":
            raise ValueError("a password needs tls")
        return self

    def login(self) -> str | None:
        return _read(self.password, self.password_file) if self.user is not None else None

    def mailboxes(self, person: Addressee | None) -> tuple[str, ...]:
        """To whom it goes; empty when nobody is named."""
        if self.to:
            return self.to
        return (person.email,) if person is not None and person.email else ()

    def destination(self, person: Addressee | None = None) -> str | None:
        to = self.mailboxes(person)
        return f"{to[0].rpartition('@')[2].lower()}/{fingerprint(','.join(sorted(to)).lower())}" if to else None


class PagerDutyChannel(_Channel):
    """`former_routing_keys` still end the incidents that they opened."""

    type: Literal["pagerduty"]
    routing_key: SecretStr | None = None
    routing_key_file: Path | None = None
    former_routing_keys: tuple[SecretStr, ...] = ()
    url: str = "https://events.pagerduty.com/v2/enqueue"

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.routing_key is None) == (self.routing_key_file is None):
            raise ValueError("needs either routing_key or routing_key_file")
        return self

    def key(self, name: str | None = None) -> str | None:
        """The key in force, or the one with the fingerprint `name`."""
        now = _read(self.routing_key, self.routing_key_file)
        known = (now, *(key.get_secret_value() for key in self.former_routing_keys))
        return now if name is None else next((key for key in known if fingerprint(key) == name), None)

    def destination(self, person: Addressee | None = None) -> str | None:
        try:
            return f"pagerduty/{fingerprint(_read(self.routing_key, self.routing_key_file))}"
        except (OSError, ValueError):
            return UNREADABLE


class AlertmanagerChannel(_WebChannel):
    """`url` is the base, such as `http://alertmanager:9093`."""

    type: Literal["alertmanager"]
    token: SecretStr | None = None
    token_file: Path | None = None
    labels: dict[Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], Label] = Field(
        default_factory=dict
    )

    def bearer(self) -> str | None:
        if self.token is None and self.token_file is None:
            return None
        return _read(self.token, self.token_file)


class AppriseChannel(_WebChannel):
    """Anything else that the package `apprise` knows; `url` in its form, such as `tgram://...`.

    It makes its own connections: `allow_private` has no say over them.
    """

    type: Literal["apprise"]

    def destination(self, person: Addressee | None = None) -> str | None:
        """The host may be part of a secret in these, so the scheme stands for it."""
        try:
            target = self.target()
            return f"{urlsplit(target).scheme}/{fingerprint(target)}"
        except (OSError, ValueError):
            return UNREADABLE


Channel = Annotated[
    WebhookChannel
    | SlackChannel
    | SlackAppChannel
    | EmailChannel
    | PagerDutyChannel
    | AlertmanagerChannel
    | AppriseChannel,
    Field(discriminator="type"),
]


def fingerprint(secret: str) -> str:
    """Tells two secrets apart and gives neither away."""
    return token(secret)[:8]


def _read(inline: SecretStr | None, file: Path | None) -> str:
    if inline is not None:
        return inline.get_secret_value()
    return file.read_text(encoding="utf-8").strip() if file is not None else ""
