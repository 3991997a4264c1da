"""The `uptake` command: questions to the HTTP APIs in, tables or JSON out. Owns nothing and decides nothing."""

import io
import sys
from pathlib import Path

import click

from uptake_cli.accounts import accounts
from uptake_cli.alerts import alerts
from uptake_cli.ask import data_option
from uptake_cli.changes import changes
from uptake_cli.config import config
from uptake_cli.erase import erase
from uptake_cli.features import calendar, correlation, features
from uptake_cli.growth import growth, time_to_value
from uptake_cli.imports import import_file
from uptake_cli.instances import instances
from uptake_cli.kpis import history, kpis
from uptake_cli.oncall import oncall
from uptake_cli.policy import policy
from uptake_cli.portfolio import portfolio
from uptake_cli.problems import EXIT_CODES
from uptake_cli.rebuild import rebuild
from uptake_cli.route import route
from uptake_cli.rules import rules
from uptake_cli.send import send
from uptake_cli.silences import silences
from uptake_cli.team import team
from uptake_cli.trials import trials
from uptake_cli.users import users

COMMANDS: tuple[click.Command, ...] = (
    send,
    import_file,
    accounts,
    kpis,
    users,
    history,
    changes,
    features,
    calendar,
    correlation,
    growth,
    time_to_value,
    portfolio,
    policy,
    config,
    trials,
    team,
    instances,
    alerts,
    silences,
    oncall,
    rules,
    route,
    rebuild,
    erase,
)


@click.group(epilog=EXIT_CODES)
@data_option
@click.version_option(package_name="uptake")
@click.pass_context
def main(context: click.Context, data: Path | None) -> None:
    """Which customers take the product up, and which do not.

    Works on the instance that runs on this machine; UPTAKE_INGESTION_URL, UPTAKE_METRICS_URL, UPTAKE_ALERTING_URL and
    UPTAKE_PRODUCER_KEY_FILE point it to another one.
    """
    context.obj = data
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without our dashes shows a mark in their place
            stream.reconfigure(errors="replace")


def _add_local() -> None:
    """What starts or copies servers comes with the extra `local`; without it the other commands still work."""
    try:
        from uptake_local.backup import backup
        from uptake_local.restore import restore
        from uptake_local.up import up
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("uptake"):  # not an extra that was left out, but a broken installation
            raise
        return
    for command in (up, backup, restore):
        main.add_command(command)


for command in COMMANDS:
    main.add_command(command)
_add_local()
