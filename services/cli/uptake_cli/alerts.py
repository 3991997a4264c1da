"""`uptake alerts`: what fires, what did, who was told and why, and why nobody is told now."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.text import Text

from uptake_cli import handling, screen
from uptake_cli.ask import ask, data_option, form_of, json_option, list_option
from uptake_cli.ask import show as show_as
from uptake_cli.problems import EXIT_CODES, WrongUsage
from uptake_cli.screen import Column

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = [Column(name) for name in ("alert", "state", "severity", "since", "owner", "handling", "told", "what")]
_HISTORY = [Column(name) for name in ("when", "what", "reason", "by", "note")]
_DELIVERIES = [
    *(Column(name) for name in ("channel", "notice", "to", "status")),
    Column("attempts", right=True),
    Column("reason"),
]
_STATES = ["open", "unacked", "acked", "snoozed", "firing", "recovering", "resolved", "closed"]
_FILTERS = (
    click.option(
        "--state",
        type=click.Choice(_STATES),
        help="Only alerts in this state; open = firing or recovering; unacked, acked and snoozed are of open ones.",
    ),
    click.option("--rule", help="Only alerts of this rule."),
    click.option("--account", help="Only alerts of this account."),
    click.option("--owner", help="Only alerts that this engineer owns or was given."),
    click.option("--severity", type=click.Choice(["info", "warning", "critical"]), help="Only alerts this severe."),
    click.option(
        "--limit", type=click.IntRange(1, 1000), default=200, help="At most so many, the newest; default: 200."
    ),
)


def _filters(command: Command) -> Command:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.group(invoke_without_command=True, epilog=EXIT_CODES)
@_filters
@data_option
@list_option
@click.pass_context
def alerts(context: click.Context, /, data: Path | None, form: str | None, **only: Any) -> None:
    """Alerts: all of them, or one with its history; and what to do about one."""
    if context.invoked_subcommand is None:
        context.invoke(list_alerts, data=data, form=form, **only)


@alerts.command("list", epilog=EXIT_CODES)
@_filters
@data_option
@list_option
def list_alerts(data: Path | None, form: str | None, limit: int, **only: str | None) -> None:
    """All alerts, newest first; or those that every given option names."""
    query = only | form_of(form) | {"limit": str(limit)}
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "alerts", **query))
    if form:
        show_as(answer, form)
    elif rows := json.loads(answer):
        screen.print_table(_COLUMNS, map(_row, rows))
        if len(rows) == limit:
            click.echo(f"These are the newest {limit}; there may be more. --limit and the other options.", err=True)
    else:
        click.echo("No alert is so." if any(only.values()) else "No alerts.")


@alerts.command(epilog=EXIT_CODES)
@click.argument("alert")
@data_option
@json_option
def show(alert: str, data: Path | None, as_json: bool) -> None:
    """One ALERT: what broke, why who was told, why nobody is told now, its history and its notices."""
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "alerts", alert))
    if as_json:
        click.echo(answer)
        return
    found = json.loads(answer)
    screen.print_pairs(_pairs(found))
    screen.print_table(_HISTORY, map(_transition, found["transitions"]))
    screen.print_table(_DELIVERIES, map(_delivery, found["deliveries"]))


for command in handling.COMMANDS:
    alerts.add_command(command)


def _row(alert: dict[str, Any]) -> list[Text | str]:
    return [
        alert["id"],
        screen.word(alert["state"]),
        screen.word(alert["severity"]),
        alert["since"] or screen.UNKNOWN,
        _whose(alert),
        _handled(alert),
        _told(alert),
        alert["summary"],
    ]


def _whose(alert: dict[str, Any]) -> str:
    """Whoever it was given to, else the owner."""
    return alert["handling"]["assignee"] or alert["owner"] or screen.UNKNOWN


def _handled(alert: dict[str, Any]) -> Text | str:
    """What somebody does about it, else what keeps notices back."""
    handling, shut = alert["handling"], [gate["reason"] for gate in alert["gates"]]
    if handling["state"] == "acked":
        return f"acked by {handling['acked_by']}"
    words = dict.fromkeys([*([handling["state"]] if handling["state"] == "snoozed" else []), *shut])
    return ", ".join(words) or Text(screen.UNKNOWN, style="dim")


def _told(alert: dict[str, Any]) -> Text | str:
    """The channels that heard of it."""
    if alert["undeliverable"]:
        return Text("nobody", style="red")
    heard = {delivery["channel"]: None for delivery in alert["deliveries"] if delivery["status"] == "delivered"}
    waiting = any(delivery["status"] in ("collected", "pending", "sending") for delivery in alert["deliveries"])
    return ", ".join(heard) or Text("not yet" if waiting else screen.UNKNOWN, style="dim")


def _pairs(alert: dict[str, Any]) -> list[tuple[str, Text | str]]:
    steps = alert["route"]["steps"] if alert["route"] else []
    labelled = [("why", steps), ("held back", [_gate(gate) for gate in alert["gates"]])]
    return [
        ("alert", alert["id"]),
        ("rule", alert["rule"]),
        (alert["subject_kind"], alert["subject"]),
        ("state", Text.assemble(screen.word(alert["state"]), f" ({alert['reason']})")),
        ("severity", screen.word(alert["severity"])),
        ("what", alert["summary"]),
        ("since", alert["since"] or screen.UNKNOWN),
        ("owner", alert["owner"] or screen.UNKNOWN),
        ("handling", _handling(alert["handling"])),
        ("told", _told(alert)),
        *((name if number == 0 else "", line) for name, lines in labelled for number, line in enumerate(lines)),
        ("next step", alert["next_step"]),
    ]


def _handling(found: dict[str, Any]) -> str:
    words = [found["state"]]
    if found["acked_by"]:
        words = [f"acked by {found['acked_by']}{_until(found['ack_until'])}"]
    if found["snoozed_until"]:
        words = [*(words if found["acked_by"] else []), f"snoozed{_until(found['snoozed_until'])}"]
    if found["assignee"]:
        words.append(f"assigned to {found['assignee']}")
    if found["escalation"]:
        words.append(f"escalated to level {found['escalation']}")
    return ", ".join(words)


def _gate(gate: dict[str, Any]) -> str:
    """Why no notice goes out now, and until when."""
    what = f" ({gate['what']})" if gate["what"] else ""
    return f"{gate['reason']}{what}{_until(gate['until'])}"


def _until(at: str | None) -> str:
    return f" until {at}" if at else ""


def _transition(transition: dict[str, Any]) -> list[Text | str]:
    by, via = transition["by"], transition["via"]
    return [
        transition["at"],
        screen.word(transition["kind"]),
        transition["reason"],
        f"{by} ({via})" if by and via else by or "",
        transition["note"] or "",
    ]


def _delivery(delivery: dict[str, Any]) -> list[Text | str]:
    return [
        delivery["channel"],
        delivery["kind"],
        delivery["person"] or delivery["destination"],
        screen.word(delivery["status"]),
        str(delivery["attempts"]),
        delivery["reason"] or "",
    ]


@alerts.command(epilog=EXIT_CODES)
@click.argument("alert", required=False)
@click.option("--rule", help="Instead of an alert: an invented one of this rule.")
@click.option(
    "--channel",
    type=click.Choice(["text", "slack", "slack_app", "email", "webhook", "pagerduty", "alertmanager", "apprise"]),
    default="text",
    help="In the form of this type of channel. Default: the words alone.",
)
@click.option(
    "--kind",
    type=click.Choice(["trigger", "update", "reminder", "escalation", "terminal"]),
    help="Default: the beginning of an alert that is open, the end of one that is over.",
)
@data_option
@json_option
def preview(
    alert: str | None, rule: str | None, channel: str, kind: str | None, data: Path | None, as_json: bool
) -> None:
    """Show what a notice about ALERT would look like. Sends nothing."""
    if (alert is None) == (rule is None):
        raise WrongUsage("Name an alert, or a rule with --rule.")
    what = ("alerts", str(alert)) if rule is None else ("rules", rule)
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", *what, "preview", channel=channel, kind=kind))
    if as_json:
        return click.echo(answer)
    form = json.loads(answer)["form"]
    click.echo(form if isinstance(form, str) else json.dumps(form, indent=2, ensure_ascii=False))
