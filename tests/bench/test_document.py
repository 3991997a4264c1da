"""The page of the benchmarks tells what a run said."""

import json
import tomllib

from tests.bench import document, run, table

ROOT = document.DOCS.parent


def test_the_table_of_the_page_is_that_of_the_run():
    page = document.PAGE.read_text()
    assert page == document.documented(page, json.loads(document.REPORT.read_text()))


def test_the_run_is_of_full_size_and_of_every_measure():
    report = json.loads(document.REPORT.read_text())
    names = [name for module in run.found() for name in module.NAMES]
    assert (report["size"], {one["name"] for one in report["measures"]}) == ("full", set(names))


def test_the_page_tells_of_every_measure():
    page = document.PAGE.read_text()
    assert [name for module in run.found() for name in module.NAMES if f"`{name}`" not in page] == []


def test_a_section_is_replaced_and_the_rest_stays():
    report = {
        "machine": MACHINE,
        "size": "small",
        "rounds": 1,
        "measures": [{"name": "a", "error": "b", "holds": False}],
    }
    page = f"before\n{document.BEGIN}figures of yesterday{document.END}after\n"
    made = document.documented(page, report)
    assert made == document.documented(made, report)
    assert made.startswith("before\n")
    assert made.endswith("after\n")
    assert "yesterday" not in made
    assert table.markdown(report) in made


def test_whoever_runs_tests_only_needs_no_peer():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    locked = {line.split("==")[0] for line in (ROOT / "requirements/dev.txt").read_text().splitlines() if "==" in line}
    peers = {one for one in groups["bench"] if isinstance(one, str)}
    assert len(peers) > 5
    assert not peers & locked


def test_the_lock_of_the_benchmark_is_that_of_the_tests_and_more():
    def lines(name: str) -> set[str]:
        text = (ROOT / f"requirements/{name}.txt").read_text()
        return {line.split(" ")[0] for line in text.splitlines() if "==" in line}

    assert lines("dev") < lines("bench")


MACHINE = {
    "cpu": "a",
    "cores": 1,
    "allowed_cores": [0],
    "memory_gib": 1,
    "system": "b",
    "python": "3",
    "load_at_the_end": [0.0],
    "versions": {"c": "1", "d": None},
}
