"""`uptake oncall`: who is on call, now and later; gaps; a calendar for a person; what passes over at a change."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import Command, ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_WHO = [Column(name) for name in ("rotation", "on call", "until", "reached through", "next", "from")]
_GAPS = [Column(name) for name in ("rotation", "nobody from", "until", "time zone")]
_STINTS = [
    *(Column(n) for n in ("rotation", "person", "from", "until")),
    Column("hours", right=True),
    Column("time zone"),
]
_PASSED = [Column(name) for name in ("alert", "severity", "since", "acked by", "what")]
_NO_ROTATION = "There is no rotation. They are in config/roster.yml of the data folder."

_at_option = click.option("--at", help="At another instant, such as 2026-11-09T18:00:00Z.")


def _rotation_option(command: Command) -> Command:
    return click.option("--rotation", help="Only this rotation.")(command)


@click.group(epilog=EXIT_CODES)
def oncall() -> None:
    """Who is on call, by the rotations of roster.yml."""


@oncall.command(epilog=EXIT_CODES)
@_at_option
@_rotation_option
@data_option
@json_option
def who(at: str | None, rotation: str | None, data: Path | None, as_json: bool) -> None:
    """Who is on call, and who comes next."""
    rows = _asked(data, as_json, at=at, rotation=rotation)
    if rows:
        screen.print_table(_WHO, map(_who, rows))
    elif rows is not None:
        click.echo(_NO_ROTATION)


@oncall.command(epilog=EXIT_CODES)
@click.option("--days", type=click.IntRange(1, 366), default=60, show_default=True, help="How far ahead.")
@_rotation_option
@data_option
@json_option
def gaps(days: int, rotation: str | None, data: Path | None, as_json: bool) -> None:
    """When a rotation that ought to have somebody has nobody."""
    rows = _asked(data, as_json, "gaps", days=str(days), rotation=rotation)
    if rows:
        screen.print_table(_GAPS, ([one["rotation"], *_from_until(one), one["time_zone"]] for one in rows))
    elif rows is not None:
        click.echo(f"No gap in the next {days} days.")


@oncall.command(epilog=EXIT_CODES)
@click.option("--weeks", type=click.IntRange(1, 52), default=8, show_default=True, help="How far ahead.")
@_rotation_option
@data_option
@json_option
def preview(weeks: int, rotation: str | None, data: Path | None, as_json: bool) -> None:
    """Who has the duty in the next weeks; `hours` are those on duty."""
    rows = _asked(data, as_json, "preview", weeks=str(weeks), rotation=rotation)
    if rows:
        screen.print_table(_STINTS, map(_stint, rows))
    elif rows is not None:
        click.echo(f"Nobody has a duty in the next {weeks} weeks.")


@oncall.command(epilog=EXIT_CODES)
@click.argument("person")
@click.option("--weeks", type=click.IntRange(1, 52), default=26, show_default=True, help="How far ahead.")
@data_option
def calendar(person: str, weeks: int, data: Path | None) -> None:
    """The duties of PERSON as an iCalendar file on standard output."""
    path = ("api", "v1", "oncall", "calendar")
    answer = ask(data, lambda client: client.get("alerting", *path, person=person, weeks=str(weeks)))
    click.echo(answer.encode(), nl=False)  # bytes: the form wants CR LF, whatever the machine


@oncall.command(epilog=EXIT_CODES)
@_at_option
@_rotation_option
@data_option
@json_option
def handover(at: str | None, rotation: str | None, data: Path | None, as_json: bool) -> None:
    """The newest change of people, and the open alerts that pass over with it."""
    rows = _asked(data, as_json, "handover", at=at, rotation=rotation)
    for one in rows or ():
        when = _local(one["at"], one["time_zone"]) if one["at"] else screen.UNKNOWN
        names = " → ".join(name or "nobody" for name in (one["from"], one["to"]))
        screen.print_pairs([(one["title"], f"{names}, {when} {one['time_zone']}")])
        if one["alerts"]:
            screen.print_table(_PASSED, map(_passed, one["alerts"]))
        else:
            click.echo("No open alert passes over.")
    if rows == []:
        click.echo(_NO_ROTATION)


def _asked(data: Path | None, as_json: bool, *what: str, **params: str | None) -> list[dict[str, Any]] | None:
    """The rows; null when the answer is printed as it came."""
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "oncall", *what, **params))
    if as_json:
        click.echo(answer)
        return None
    rows: list[dict[str, Any]] = json.loads(answer)
    return rows


def _who(one: dict[str, Any]) -> list[Text | str]:
    zone, there, coming = one["time_zone"], one["on_call"], one["next"]
    nobody = Text("nobody", style="red" if one["gap"] else "dim")
    return [
        one["title"],
        ", ".join(duty["person"] for duty in there) or nobody,
        ", ".join(_local(duty["end"], zone) for duty in there),
        ", ".join(dict.fromkeys(name for duty in there for name in duty["channels"]))
        or Text("no channel" if there else "", style="red"),
        coming["person"] if coming else screen.UNKNOWN,
        f"{_local(coming['start'], zone)} {zone}" if coming else "",
    ]


def _stint(one: dict[str, Any]) -> list[Text | str]:
    return [one["rotation"], one["person"], *_from_until(one), f"{one['hours']:g}", one["time_zone"]]


def _passed(alert: dict[str, Any]) -> list[Text | str]:
    acked_by = alert["acked_by"] or screen.UNKNOWN
    return [alert["id"], screen.word(alert["severity"]), alert["since"], acked_by, alert["summary"]]


def _from_until(one: dict[str, Any]) -> list[str]:
    return [_local(one[name], one["time_zone"]) for name in ("start", "end")]


def _local(instant: str, zone: str) -> str:
    """As the people of the rotation see it on their clocks."""
    return f"{datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M}"
