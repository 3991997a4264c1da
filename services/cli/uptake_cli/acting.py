"""What commands share that act in somebody's name: who it is, until when, and one request. Decides nothing."""

import getpass
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from uptake_cli.ask import Near, ask
from uptake_cli.problems import WrongUsage

Command = TypeVar("Command", bound=Callable[..., Any])

INSTANT = Near(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%z"])

by_option = click.option("--by", help="Who does it, for the history. Default: the user of this machine.")
comment_option = click.option("--comment", help="Why, for the history.")


def end_options(command: Command) -> Command:
    """`until` or `lasts`: the same in two ways."""
    lasts = click.option("--for", "lasts", metavar="LENGTH", help="For how long: 90m, 4h, 7d or 2w; at most 30 days.")
    until = click.option("--until", type=INSTANT, help="Until when; without an offset, in this machine's time zone.")
    return until(lasts(command))


def instant(at: datetime | None) -> str | None:
    """For a request; without an offset it is a time of this machine's zone."""
    return None if at is None else at.astimezone(UTC).isoformat()


def act(data: Path | None, by: str | None, *path: str, **body: Any) -> dict[str, Any]:
    """Have alerting do something; what is null is not said."""
    said = {name: value for name, value in body.items() if value is not None}
    return request(data, by, *path, **said)


def request(data: Path | None, by: str | None, *path: str, **body: Any) -> dict[str, Any]:
    """The same with nulls, where they mean something."""
    who = by or _user()
    answer = ask(data, lambda client: client.tell("alerting", "api", "v1", *path, by=who, via="cli", **body))
    found: dict[str, Any] = json.loads(answer)
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise WrongUsage("This machine does not say who you are: give --by NAME.") from None
