"""`uptake policy`: the adoption ladders in force, and what another file would change, before it does."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake import config
from uptake_cli import screen
from uptake_cli.ask import DAY, ask, data_option, form_of, json_option, list_option
from uptake_cli.ask import show as show_as
from uptake_cli.client import Client
from uptake_cli.instance import data_folder
from uptake_cli.problems import EXIT_CODES, Refused, WrongUsage
from uptake_cli.screen import Column

_PATH = ("api", "v1", "policies")
_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_AS_OF = click.option("--as-of", type=DAY, help="The day to look at; default: each account's today, still open.")
_POLICIES = (Column("policy"), Column("from"), Column("day 0"), Column("steps"))
_ASSIGNMENTS = (Column("from"), Column("segment"), Column("policy"))
_CHANGES = tuple(map(Column, ("account", "owner", "day", "policy", "target", "adoption", "status")))


@click.group()
def policy() -> None:
    """The adoption ladders: what is in force, and what another file would change."""


@policy.command(epilog=EXIT_CODES)
@data_option
@list_option
def show(data: Path | None, form: str | None) -> None:
    """The policies in force, and who is judged by which."""
    answer = ask(data, lambda client: client.get("metrics", *_PATH, **form_of(form)))
    if form:
        return show_as(answer, form)
    found = json.loads(answer)
    rows = [_version(name, version) for name, versions in found["policies"].items() for version in versions]
    screen.print_table(_POLICIES, rows)
    given = [
        (one["since"], one["segment"] or "(default)", one["policy"] or "(default)") for one in found["assignments"]
    ]
    screen.print_table(_ASSIGNMENTS, given)
    if found["problem"]:
        click.echo(f"A newer file is not in force: {found['problem']}", err=True)


@policy.command(epilog=EXIT_CODES)
@_FILE
@_AS_OF
@data_option
@list_option
def preview(file: Path, as_of: datetime | None, data: Path | None, form: str | None) -> None:
    """Whom FILE would judge otherwise. Changes nothing."""
    answer = _preview(data, _read(file), as_of, form)
    show_as(answer, form) if form else _print(json.loads(answer))


@policy.command(epilog=EXIT_CODES)
@_FILE
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
@json_option
def apply(file: Path, yes: bool, data: Path | None, as_json: bool) -> None:
    """Put FILE in force on the instance of this machine, after it has said whom that changes.

    Days that are published and would be judged otherwise get a new revision.
    """
    place = data_folder(data) / "config" / "policies.yml"
    if not place.parent.is_dir():
        raise Refused(f"There is no {place.parent}: a file is put in force on the machine where Uptake keeps it.")
    content = _read(file)
    answer = _preview(data, content, None)
    click.echo(answer) if as_json else _print(json.loads(answer))
    if not yes:
        click.confirm(f"Write {place}?", abort=True, err=True)
    try:
        config.write(place, content.decode())
    except OSError as error:
        raise Refused(f"Cannot write {place}: {error.strerror}.") from None
    if json.loads(_preview(data, content, None))["changed"]:
        raise Refused(f"{place} is written, but the metrics that answered does not follow it.")
    click.echo(f"In force: {place}", err=True)


def _read(file: Path) -> bytes:
    content = file.read_bytes()
    if not content.strip():
        raise WrongUsage(f"{file} is empty; a file of policies names a default and policies. `uptake policy show`.")
    return content


def _preview(data: Path | None, content: bytes, as_of: datetime | None, form: str | None = None) -> str:
    query = {"as_of": as_of.date().isoformat() if as_of else None, **form_of(form)}

    async def question(client: Client) -> str:
        return await client.submit("metrics", *_PATH, "preview", content=content, **query)

    return ask(data, question)


def _version(name: str, version: dict[str, Any]) -> tuple[str, ...]:
    steps = ", ".join(f"from day {step['day']}: {_percent(step['target'])}" for step in version["steps"])
    return name, version["since"], version["anchor"], steps


def _print(found: dict[str, Any]) -> None:
    if found["changes"]:
        screen.print_table(_CHANGES, [_change(one) for one in found["changes"]])
    moves = [(f"{one['before']} → {one['after']}", str(one["accounts"])) for one in found["moves"]]
    changed = f"{found['changed']} of {found['accounts']} accounts"
    later = [("later", f"more from {', '.join(found['later'])} on")] if found["later"] else []
    screen.print_pairs([("changed", changed), *moves, *later])


def _change(one: dict[str, Any]) -> list[Text | str]:
    before, after = one["before"], one["after"]
    return [
        one["account"],
        one["owner"] or screen.UNKNOWN,
        one["as_of"],
        _moved(*(f"{judged['policy']} {judged['policy_version'] or ''}".rstrip() for judged in (before, after))),
        _moved(*(_percent(judged["target"]) for judged in (before, after))),
        screen.percent(after["value"], after["reason"]),
        _moved(before["status"], after["status"]),
    ]


def _moved(before: str, after: str) -> str:
    return after if before == after else f"{before} → {after}"


def _percent(share: float | None) -> str:
    return screen.UNKNOWN if share is None else f"{share * 100:g} %"
