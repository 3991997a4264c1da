"""`uptake silences`: alerts that nobody is told of for a while, and why."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.acting import INSTANT, act, by_option, end_options, instant
from uptake_cli.ask import ask, data_option, form_of, json_option, list_option, show
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_COLUMNS = (
    *(Column(name) for name in ("silence", "state", "matchers", "until")),
    Column("covers", right=True),
    *(Column(name) for name in ("by", "comment")),
)
_state_option = click.option(
    "--state",
    type=click.Choice(["active", "pending", "expired"]),
    help="Only silences in this state. Default: those in force and those to come.",
)


@click.group(invoke_without_command=True, epilog=EXIT_CODES)
@_state_option
@data_option
@list_option
@click.pass_context
def silences(context: click.Context, state: str | None, data: Path | None, form: str | None) -> None:
    """Silences: which alerts nobody is told of, until when and why. The alerts go on under them."""
    if context.invoked_subcommand is None:
        context.invoke(list_silences, state=state, data=data, form=form)


@silences.command("list", epilog=EXIT_CODES)
@_state_option
@data_option
@list_option
def list_silences(state: str | None, data: Path | None, form: str | None) -> None:
    """Those that end last come first, each with how many open alerts it covers now."""
    query = {"state": state} | form_of(form)
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "silences", **query))
    if form:
        show(answer, form)
    elif rows := json.loads(answer):
        screen.print_table(_COLUMNS, map(_row, rows))
    else:
        click.echo("No silences." if state is None else f"No silence is {state}.")


@silences.command(epilog=EXIT_CODES)
@click.argument("matchers", nargs=-1, required=True, metavar="MATCHER...")
@click.option("--comment", required=True, help="Why.")
@click.option("--from", "start", type=INSTANT, help="From when on. Default: now.")
@end_options
@by_option
@data_option
@json_option
def add(
    matchers: tuple[str, ...],
    comment: str,
    start: datetime | None,
    until: datetime | None,
    lasts: str | None,
    by: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Tell nobody of the alerts that every MATCHER covers, such as account=acme or region!=emea.

    Names are rule, account, region, owner, severity, subject, subject_kind and the labels of rules. At most 30 days.
    """
    body = {"matchers": list(matchers), "comment": comment, "for": lasts}
    answer = act(data, by, "silences", starts_at=instant(start), ends_at=instant(until), **body)
    if as_json:
        return click.echo(json.dumps(answer))
    silence = answer["silence"]
    made = "Silenced" if answer["changed"] else "Silenced already"
    click.echo(f"{silence['id']}: {made} until {silence['ends_at']}; {_covers(silence['covers'])}")


@silences.command(epilog=EXIT_CODES)
@click.argument("silence")
@by_option
@data_option
@json_option
def expire(silence: str, by: str | None, data: Path | None, as_json: bool) -> None:
    """End SILENCE now. What fires and was not told is told."""
    answer = act(data, by, "silences", silence, "expire")
    if as_json:
        return click.echo(json.dumps(answer))
    click.echo(f"{silence}: {'Expired.' if answer['changed'] else 'It is over already.'}")


def _covers(alerts: int) -> str:
    if alerts == 0:
        return "no open alert matches now. Is every name and value spelt right?"
    return f"{alerts} open {'alert matches' if alerts == 1 else 'alerts match'} now."


def _row(silence: dict[str, Any]) -> list[Text | str]:
    return [
        silence["id"],
        screen.word(silence["state"]),
        ", ".join(silence["matchers"]),
        silence["ends_at"],
        str(silence["covers"]),
        silence["created_by"],
        silence["comment"],
    ]
