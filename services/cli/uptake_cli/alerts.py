"""`uptake alerts`: what fires, what did, and why."""

import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_COLUMNS = [Column(name) for name in ("alert", "state", "severity", "since", "owner", "told", "what")]
_HISTORY = [Column(name) for name in ("when", "what", "reason")]
_DELIVERIES = [*(Column(n) for n in ("channel", "notice", "status")), Column("attempts", right=True), Column("reason")]

_state_option = click.option(
    "--state",
    type=click.Choice(["open", "firing", "recovering", "resolved", "closed"]),
    help="Only alerts in this state; open = firing or recovering.",
)


@click.group(invoke_without_command=True, epilog=EXIT_CODES)
@_state_option
@data_option
@json_option
@click.pass_context
def alerts(context: click.Context, state: str | None, data: Path | None, as_json: bool) -> None:
    """Alerts: all of them, or one with its history."""
    if context.invoked_subcommand is None:
        context.invoke(list_alerts, state=state, data=data, as_json=as_json)


@alerts.command("list", epilog=EXIT_CODES)
@_state_option
@data_option
@json_option
def list_alerts(state: str | None, data: Path | None, as_json: bool) -> None:
    """All alerts, newest first."""
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "alerts", state=state))
    if as_json:
        click.echo(answer)
    elif rows := json.loads(answer):
        screen.print_table(_COLUMNS, map(_row, rows))
    else:
        click.echo("No alerts." if state is None else f"No alerts in state {state}.")


@alerts.command(epilog=EXIT_CODES)
@click.argument("alert")
@data_option
@json_option
def show(alert: str, data: Path | None, as_json: bool) -> None:
    """One ALERT: what broke, its history, and who was told."""
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "alerts", alert))
    if as_json:
        click.echo(answer)
        return
    found = json.loads(answer)
    screen.print_pairs(_pairs(found))
    screen.print_table(_HISTORY, map(_transition, found["transitions"]))
    screen.print_table(_DELIVERIES, map(_delivery, found["deliveries"]))


def _row(alert: dict[str, Any]) -> list[Text | str]:
    return [
        alert["id"],
        screen.word(alert["state"]),
        screen.word(alert["severity"]),
        alert["since"] or screen.UNKNOWN,
        alert["owner"] or screen.UNKNOWN,
        _told(alert),
        alert["summary"],
    ]


def _told(alert: dict[str, Any]) -> Text | str:
    """The channels that heard of it."""
    if alert["undeliverable"]:
        return Text("nobody", style="red")
    heard = {delivery["channel"]: None for delivery in alert["deliveries"] if delivery["status"] == "delivered"}
    waiting = any(delivery["status"] in ("pending", "sending") for delivery in alert["deliveries"])
    return ", ".join(heard) or Text("not yet" if waiting else screen.UNKNOWN, style="dim")


def _pairs(alert: dict[str, Any]) -> list[tuple[str, Text | str]]:
    return [
        ("alert", alert["id"]),
        ("rule", alert["rule"]),
        (alert["subject_kind"], alert["subject"]),
        ("state", Text.assemble(screen.word(alert["state"]), f" ({alert['reason']})")),
        ("what", alert["summary"]),
        ("since", alert["since"] or screen.UNKNOWN),
        ("owner", alert["owner"] or screen.UNKNOWN),
        ("told", _told(alert)),
        ("next step", alert["next_step"]),
    ]


def _transition(transition: dict[str, Any]) -> list[Text | str]:
    return [transition["at"], screen.word(transition["kind"]), transition["reason"]]


def _delivery(delivery: dict[str, Any]) -> list[Text | str]:
    return [
        delivery["channel"],
        delivery["kind"],
        screen.word(delivery["status"]),
        str(delivery["attempts"]),
        delivery["reason"] or "",
    ]
