"""`uptake team`: the trials, technical closure and New ACV of one quarter."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, form_of, list_option, show
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_TRIALS = (
    Column("trials"),
    *(Column(name, right=True) for name in ("stopped", "within")),
    *(Column(name) for name in ("share", "met", "median days", "p90 days")),
)


def _quarter(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[0-9]{4}Q[1-4]", value):
        raise click.BadParameter(f"{value!r} is not a quarter such as 2026Q3.")
    return value


@click.command(epilog=EXIT_CODES)
@click.option("--quarter", callback=_quarter, help="Such as 2026Q3, in the vendor's days. Default: the running one.")
@data_option
@list_option
def team(quarter: str | None, data: Path | None, form: str | None) -> None:
    """How the team did in one quarter, to date if it is not over."""
    query = form_of(form) | {"quarter": quarter}
    answer = ask(data, lambda client: client.get("metrics", "api", "v1", "team", **query))
    if form:
        return show(answer, form)
    found = json.loads(answer)
    screen.print_pairs([("quarter", found["quarter"])])
    screen.print_table(_TRIALS, [_trials(name, found[name]) for name in ("standard", "complex")])
    screen.print_pairs(_pairs(found["closure"], found["new_acv"]))


def _trials(name: str, kpi: dict[str, Any]) -> list[Text | str]:
    share = {"value": kpi["share"], "num": kpi["within"], "den": kpi["n"], "reason": kpi["reason"]}
    return [
        name,
        screen.number(kpi["n"]),
        screen.number(kpi["within"]),
        screen.ratio(share),
        _met(kpi["met"]),
        screen.number(kpi["median_days"], kpi["reason"]),
        screen.number(kpi["p90_days"], kpi["reason"]),
    ]


def _pairs(closure: dict[str, Any], acv: dict[str, Any]) -> list[tuple[str, Text | str]]:
    target = screen.percent(closure["target"])
    return [
        ("closure", Text.assemble(screen.ratio(closure), "  target ", target, ", met ", _met(closure["met"]))),
        ("New ACV", _money(acv["cents"], acv)),
        ("net", _money(acv["net_cents"], acv)),
        *((name, screen.number(acv[name])) for name in ("customers", "opportunities", "products")),
    ]


def _met(met: bool | None) -> Text:
    if met is None:
        return screen.unknown(None)
    return Text("yes", style="green") if met else Text("no", style="red")


def _money(cents: int | None, acv: dict[str, Any]) -> Text:
    """Hundredths of the currency; without a currency there is only the reason."""
    if cents is None or acv["currency"] is None:
        return screen.unknown(acv["reason"])
    return Text(f"{Decimal(cents) / 100:,.2f} {acv['currency']}")
