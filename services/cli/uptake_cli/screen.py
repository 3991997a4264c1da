"""How answers look in a terminal and in a pipe. An unknown number is a dash with its reason, never a zero."""

import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

UNKNOWN = "–"
PIPE_WIDTH = 1000  # nothing is cut or folded when another program reads
_STYLES = {
    **dict.fromkeys(("healthy", "on_target", "resolved", "win", "within"), "green"),
    **dict.fromkeys(("concerning", "pending", "recovering", "stale", "warning"), "yellow"),
    **dict.fromkeys(("poor", "off_target", "firing", "critical", "breached", "loss"), "red"),
    **dict.fromkeys(("ramping", "running"), "cyan"),
    **dict.fromkeys(("unknown", "not_started", "none", "closed", "stopped", UNKNOWN), "dim"),
}


class Column(NamedTuple):
    name: str
    right: bool = False


def console() -> Console:
    """Standard output: as wide as the terminal, or as wide as the data. Colour as NO_COLOR and the terminal say."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def progress() -> Progress:
    """A bar on standard error, so that standard output stays clean; silent when nobody looks."""
    errors = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=errors, disable=not errors.is_terminal)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Text | str]]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name, right in columns:
        table.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    console().print(table)


def print_pairs(pairs: Iterable[tuple[str, Text | str]]) -> None:
    """One thing in full: a name and a value a line."""
    grid = Table.grid(padding=(0, 2))
    for name, value in pairs:
        grid.add_row(Text(name, style="bold"), value if isinstance(value, Text) else Text(value))
    console().print(grid)


def word(value: str | None) -> Text:
    """A status, in its colour."""
    return Text(value or UNKNOWN, style=_STYLES.get(value or UNKNOWN, ""))


def number(value: float | None, reason: str | None = None) -> Text:
    return unknown(reason) if value is None else Text(f"{value:g}" if isinstance(value, float) else str(value))


def percent(value: float | None, reason: str | None = None) -> Text:
    return unknown(reason) if value is None else Text(_percent(Fraction(str(value))))


def ratio(kpi: dict[str, Any]) -> Text:
    """A KPI with the exact numbers it is made of: `50.0 % 20/40`."""
    if kpi["value"] is None:
        return unknown(kpi["reason"])
    return Text.assemble(_percent(Fraction(kpi["num"], kpi["den"])), (f" {kpi['num']}/{kpi['den']}", "dim"))


def _percent(value: Fraction) -> str:
    """One decimal, cut and not rounded, so that 24.96 never reads as 25 beside "off target"."""
    tenths = int(value * 1000)
    return f"{tenths // 10}.{tenths % 10} %"


def unknown(reason: str | None) -> Text:
    return Text(f"{UNKNOWN} {reason}" if reason else UNKNOWN, style="dim")
