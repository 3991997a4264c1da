"""The table in docs/benchmarks.md, made from docs/benchmarks.json: no figure is typed by hand. Measures nothing."""

import json
from pathlib import Path
from typing import Any

from .table import markdown

DOCS = Path(__file__).parents[2] / "docs"
PAGE, REPORT = DOCS / "benchmarks.md", DOCS / "benchmarks.json"
BEGIN = "<!-- made by `./dev bench --document` from benchmarks.json -->\n"
END = "<!-- end of what is made -->\n"


def document() -> None:
    """Write the section anew."""
    PAGE.write_text(documented(PAGE.read_text(), json.loads(REPORT.read_text())))


def documented(page: str, report: dict[str, Any]) -> str:
    """The page with the section that this report makes."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section(report)}\n{END}{after}"


def section(report: dict[str, Any]) -> str:
    about = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version is not None)
    failing = sum(not result["holds"] for result in report["measures"])
    return (
        f"{about['cpu']}, {about['cores']} cores ({_allowed(about)}), {about['memory_gib']} GiB, {about['system']}, "
        f"Python {about['python']}; load at the end {about['load_at_the_end'][0]}. {versions}.\n\n"
        f"Size {report['size']}, {report['rounds']} rounds. {len(report['measures'])} measures, "
        f"{failing} of them with a bound that does not hold.\n\n{markdown(report)}"
    )


def _allowed(about: dict[str, Any]) -> str:
    allowed = about["allowed_cores"]
    return "all of them allowed" if allowed is None or len(allowed) == about["cores"] else f"{len(allowed)} allowed"
