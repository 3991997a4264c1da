"""The table of a report, for a terminal and for docs/benchmarks.md. Formats what was measured; computes nothing new."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

HEADINGS = ("measure", "ours", "peer", "ratio", "at least", "holds")


def table(report: dict[str, Any]) -> Table:
    about = report["machine"]
    machine = f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB"
    title = f"{report['size']}, {report['rounds']} rounds: {machine}"
    shown = Table(*HEADINGS, title=title)
    for result in report["measures"]:
        for row in rows(result):
            shown.add_row(*row, style=None if row[-1] == "yes" else "bold red")
        shown.add_section()
    return shown


def markdown(report: dict[str, Any]) -> str:
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row for result in report["measures"] for row in rows(result))]
    return "".join(f"| {' | '.join(_cell(text) for text in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """In one line; of an error the beginning is enough."""
    return " ".join(text.replace("|", "/").split())[:160]


def rows(result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for our own limit, or when there is no peer; one for each peer."""
    if "ours" not in result:
        yield (result["name"], f"error: {result['error']}", "", "", "", "no")
        return
    ours, unit = figure(result["ours"]), result["unit"]
    if result["limit"] is not None or not result["peers"]:
        sign = ">=" if result["higher_is_better"] else "<="
        bound = f"{sign} {number(result['limit'])} {unit}" if result["limit"] is not None else ""
        yield (result["title"], f"{ours} {unit}", "", "", bound, _yes(_reached(result)))
    for peer in result["peers"]:
        ratio = "" if peer["ratio"] is None else f"{number(peer['ratio'])}x"
        bound = "" if peer["at_least"] is None else f"{number(peer['at_least'])}x"
        yield (result["title"], f"{ours} {unit}", f"{peer['name']}: {figure(peer)}", ratio, bound, _yes(peer["holds"]))


def figure(outcome: dict[str, Any]) -> str:
    """The median, and how far apart the runs were."""
    if "error" in outcome:
        return f"error: {outcome['error']}"
    low, high = min(outcome["runs"]), max(outcome["runs"])
    spread = f" ({number(low)}-{number(high)})" if len(outcome["runs"]) > 1 else ""
    return number(outcome["median"]) + spread


def number(value: float) -> str:
    """Three digits that mean something."""
    if value == 0:
        return "0"
    digits = max(0, 2 - _magnitude(abs(value)))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _magnitude(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _reached(result: dict[str, Any]) -> bool:
    median, limit = result["ours"]["median"], result["limit"]
    if median is None or limit is None:
        return median is not None
    return bool(median >= limit if result["higher_is_better"] else median <= limit)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
