"""`uptake rules`: which alerts there are, whether a file of them is right, and how it behaves before it is in force."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.backtest import backtest
from uptake_cli.instance import data_folder
from uptake_cli.problems import EXIT_CODES, REFUSED, Refused, WrongUsage
from uptake_cli.programs import problems, run
from uptake_cli.screen import Column

_FILES = ("rules.yml", "routes.yml", "roster.yml")
_COLUMNS = (*map(Column, ("rule", "subject", "when", "for", "severity", "to")), Column("open", right=True))


@click.group()
def rules() -> None:
    """The rules of alerting: which there are, and tests of them before they are in force."""


@rules.command("list", epilog=EXIT_CODES)
@data_option
@json_option
def list_rules(data: Path | None, as_json: bool) -> None:
    """The rules in force, and how many alerts of each are open."""
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "rules"))
    if as_json:
        return click.echo(answer)
    found = json.loads(answer)
    screen.print_table(_COLUMNS, map(_row, found["rules"]))
    if found["problem"]:
        click.echo(f"A newer file is not in force: {found['problem']}", err=True)


@rules.command(epilog=EXIT_CODES)
@click.argument("place", required=False, type=click.Path(exists=True, path_type=Path))
@data_option
@json_option
def check(place: Path | None, data: Path | None, as_json: bool) -> None:
    """Say file and line of what is wrong with PLACE: a file of rules, or a folder with its routes and its roster too.

    Default: `config` in the data folder. Nothing needs to run.
    """
    where = place or data_folder(data) / "config"
    if not where.exists():
        raise Refused(f"There is no {where}. Name a file of rules, or a folder.")
    if where.is_dir() and not any((where / name).exists() for name in _FILES):
        raise WrongUsage(f"There is none of {', '.join(_FILES)} in {where}.")
    found = problems("alerting", where)
    if as_json:
        click.echo(json.dumps({"problems": found}))
    if found:
        raise Refused("\n".join(found))
    if not as_json:
        click.echo(f"{where} can be in force.")


@rules.command(epilog=EXIT_CODES)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[FILE]...")
@data_option
@json_option
def test(files: tuple[Path, ...], data: Path | None, as_json: bool) -> None:
    """Play the histories of each FILE and compare what the rules make of them; without any, those of the shipped rules.

    Nothing needs to run. Exit code 1, and what differs, when a test fails; 2 when a file is wrong.
    """
    with ThreadPoolExecutor() as turns:  # most of the time a process starts
        results = list(turns.map(_tested, files or _shipped()))
    if as_json:
        click.echo(json.dumps({"passed": all(one["passed"] for one in results), "files": results}))
    else:
        for one in results:
            _show(one)
    if not all(one["passed"] for one in results):
        click.get_current_context().exit(REFUSED)


rules.add_command(backtest)


def _shipped() -> list[Path]:
    done = run("alerting", "test")
    return [Path(line) for line in done.stdout.splitlines()]


def _tested(file: Path) -> dict[str, Any]:
    """Metrics makes the snapshots of the histories, alerting judges them: neither knows the other."""
    sampled = run("metrics", "sample", file)
    done = run("alerting", "test", file, "--json", given=sampled.stdout) if sampled.returncode == 0 else sampled
    if done.returncode not in (0, REFUSED) or not done.stdout:
        raise WrongUsage(done.stderr.strip() or f"{file}: the test ended with {done.returncode} and said nothing.")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _show(one: dict[str, Any]) -> None:
    for test in one["tests"]:
        if not test["passed"]:
            click.echo(f"FAILED {test['name']}")
            for line in test["failures"]:
                click.echo(f"  {line}")
    passed = sum(test["passed"] for test in one["tests"])
    click.echo(f"{one['file']}: {passed} of {len(one['tests'])} passed")


def _row(one: dict[str, Any]) -> list[Text | str]:
    return [
        one["rule"],
        one["subject"],
        one["when"],
        one["hold"] or screen.UNKNOWN,
        screen.word(one["severity"]),
        ", ".join(one["to"]),
        str(one["open"]),
    ]
