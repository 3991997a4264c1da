"""`uptake alerts ack`, `snooze`, `close`, `assign` ...: acts on alerts in somebody's name, and lets storms go."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.acting import act, by_option, comment_option, end_options, instant, request
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_STORMS = (
    *(Column(name) for name in ("rule", "held since", "until")),
    *(Column(name, right=True) for name in ("alerts", "of")),
)


@click.command(epilog=EXIT_CODES)
@click.argument("alert")
@end_options
@comment_option
@by_option
@data_option
@json_option
def ack(
    alert: str,
    until: datetime | None,
    lasts: str | None,
    comment: str | None,
    by: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Somebody looks after ALERT: no reminders, no escalation, for 3 days (critical) or 7.

    It counts as unacked again after that, and as soon as the alert gets worse.
    """
    _tell(act(data, by, "alerts", alert, "ack", until=instant(until), comment=comment, **{"for": lasts}), as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("alert")
@comment_option
@by_option
@data_option
@json_option
def unack(alert: str, comment: str | None, by: str | None, data: Path | None, as_json: bool) -> None:
    """Take back the ack and the snooze of ALERT."""
    _tell(act(data, by, "alerts", alert, "unack", comment=comment), as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("alert")
@end_options
@comment_option
@by_option
@data_option
@json_option
def snooze(
    alert: str,
    until: datetime | None,
    lasts: str | None,
    comment: str | None,
    by: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Hear nothing of ALERT until then, unless it ends."""
    _tell(act(data, by, "alerts", alert, "snooze", until=instant(until), comment=comment, **{"for": lasts}), as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("alert")
@click.option("--comment", required=True, help="Why, for the history.")
@by_option
@data_option
@json_option
def close(alert: str, comment: str, by: str | None, data: Path | None, as_json: bool) -> None:
    """End ALERT by hand. It does not fire again before the condition was over."""
    _tell(act(data, by, "alerts", alert, "close", comment=comment), as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("alert")
@click.argument("person", required=False)
@click.option("--owner", "to_owner", is_flag=True, help="Give it back to its owner.")
@comment_option
@by_option
@data_option
@json_option
def assign(
    alert: str,
    person: str | None,
    to_owner: bool,
    comment: str | None,
    by: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Give ALERT to PERSON, who is told of it as its owner would be."""
    if (person is None) != to_owner:
        raise click.UsageError("Say to whom: a PERSON, or --owner to give it back.")
    why = {"comment": comment} if comment is not None else {}
    _tell(request(data, by, "alerts", alert, "assign", to=person, **why), as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("alert")
@click.argument("text")
@by_option
@data_option
@json_option
def note(alert: str, text: str, by: str | None, data: Path | None, as_json: bool) -> None:
    """Write TEXT into the history of ALERT, also when it is over."""
    _tell(act(data, by, "alerts", alert, "note", note=text), as_json)


@click.command(epilog=EXIT_CODES)
@data_option
@json_option
def storms(data: Path | None, as_json: bool) -> None:
    """Rules of which too many alerts came at once: held back until somebody releases them, or the time is over."""
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "breakers"))
    if as_json:
        click.echo(answer)
    elif rows := json.loads(answer):
        screen.print_table(_STORMS, map(_storm, rows))
    else:
        click.echo("Nothing is held back.")


@click.command(epilog=EXIT_CODES)
@click.argument("rule")
@by_option
@data_option
@json_option
def release(rule: str, by: str | None, data: Path | None, as_json: bool) -> None:
    """Let go what is held back of RULE: whatever still fires comes to each person in one digest."""
    answer = act(data, by, "breakers", rule, "release")
    if as_json:
        return click.echo(json.dumps(answer))
    storm = answer["storm"]
    already = "" if answer["changed"] else " already"
    click.echo(f"Released{already}: {storm['breaching']} alerts of {rule} go out in one digest a person.")


COMMANDS: tuple[click.Command, ...] = (ack, unack, snooze, close, assign, note, storms, release)


def _tell(answer: dict[str, Any], as_json: bool) -> None:
    click.echo(json.dumps(answer) if as_json else f"{answer['alert']['id']}: {answer['said']}")


def _storm(storm: dict[str, Any]) -> list[Text | str]:
    counted = (str(storm[name]) for name in ("breaching", "accounts"))
    return [storm["rule"], storm["tripped_at"], storm["until"], *counted]
