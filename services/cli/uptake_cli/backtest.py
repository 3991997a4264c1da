"""`uptake rules backtest`: what a file of rules would have told, over the history that the instance has published."""

import json
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import click

from uptake_cli import screen
from uptake_cli.ask import DAY, ask, data_option, json_option
from uptake_cli.client import Client
from uptake_cli.instance import data_folder
from uptake_cli.problems import EXIT_CODES, REFUSED, Refused, WrongUsage
from uptake_cli.programs import run
from uptake_cli.screen import Column

_DAYS = 90
_LEAD_DAYS = 30  # played before the first day and not counted: else whatever was open already would begin on it
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_BEFORE_AND_AFTER = ("episodes", "notices", "flaps")
_RULES = (Column("rule"), *(Column(name, right=True) for name in _BEFORE_AND_AFTER))
_PEOPLE = (Column("engineer"), Column("fullest week"), *(Column(n, right=True) for n in ("notices", "mean a week")))


@click.command(epilog=EXIT_CODES)
@click.option("--rules", "file", type=_FILE, help="The candidate. Default: the rules in force here.")
@click.option("--baseline", help="What to compare with: a file, or `shipped`. Default: the rules in force here.")
@click.option("--from", "first", type=DAY, help=f"Default: {_DAYS} days before the last one.")
@click.option("--to", "last", type=DAY, help="Default: yesterday.")
@click.option(
    "--max-notices-per-engineer-week",
    "most",
    type=click.IntRange(min=0),
    help="Refuse rules that would tell somebody more in any week.",
)
@data_option
@json_option
def backtest(
    file: Path | None,
    baseline: str | None,
    first: datetime | None,
    last: datetime | None,
    most: int | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Play the published days again under other rules, and compare with the present ones. Nobody is told anything.

    Trials are played as they were published. A digest counts as one notice. Exit code 1 when the gate is shut.
    """
    end = last.date() if last else datetime.now(UTC).date() - timedelta(days=1)
    begin = first.date() if first else end - timedelta(days=_DAYS - 1)
    if begin > end:
        raise WrongUsage(f"--from {begin} is after --to {end}.")
    config = data_folder(data) / "config"
    in_force = str(config / "rules.yml") if (config / "rules.yml").exists() else "shipped"
    words = ["--rules", str(file or in_force), "--baseline", baseline or in_force]
    words += ["--from", str(begin), "--to", str(end)]
    words += ["--roster", str(config / "roster.yml")] if (config / "roster.yml").exists() else []
    words += ["--max", str(most)] if most is not None else []
    _play(words, "")  # what is wrong with a file is told before a day is asked for
    with tempfile.TemporaryFile("w+b") as history:
        _fetch(data, begin - timedelta(days=_LEAD_DAYS), end, history)
        with screen.progress() as bar:
            bar.add_task("replaying", total=None)
            told = _play(words, history)
    found = json.loads(told)
    click.echo(told.rstrip()) if as_json else _show(found)
    if found["problems"]:
        raise Refused("\n".join(found["problems"]))


def _play(words: list[str], history: str | IO[bytes]) -> str:
    """The report. Raises WrongUsage when a file is wrong."""
    done = run("alerting", "backtest", *words, given=history)
    if done.returncode not in (0, REFUSED) or not done.stdout:
        raise WrongUsage(done.stderr.strip() or f"The replay ended with {done.returncode} and said nothing.")
    return done.stdout


def _fetch(data: Path | None, first: date, last: date, into: IO[bytes]) -> None:
    """What the instance has published, by lines."""

    async def lines(client: Client) -> None:
        with screen.progress() as bar:
            task = bar.add_task("reading days", total=None)
            async for line in client.lines(
                "metrics", "api", "v1", "snapshots", **{"from": str(first), "to": str(last)}
            ):
                into.write(line.encode() + b"\n")
                bar.advance(task)

    ask(data, lines)
    into.seek(0)


def _show(found: dict[str, Any]) -> None:
    played = f"{found['days']} days of {found['accounts']} accounts, {found['from']} to {found['to']}"
    not_played = [("not played", ", ".join(found["not_played"]))] if found["not_played"] else []
    screen.print_pairs([("played", played), *not_played])
    rows = [[one["rule"], *(_change(one[name]) for name in _BEFORE_AND_AFTER)] for one in found["rules"]]
    screen.print_table(_RULES, rows)
    people = [
        [
            one["engineer"],
            one["candidate"]["week"] or screen.UNKNOWN,
            _change({name: one[name]["notices"] for name in ("baseline", "candidate")}),
            _change({name: one[name]["mean"] for name in ("baseline", "candidate")}),
        ]
        for one in found["engineers"]
    ]
    screen.print_table(_PEOPLE, people)


def _change(pair: dict[str, float]) -> str:
    """The baseline and, where it differs, the candidate."""
    before, after = pair["baseline"], pair["candidate"]
    return f"{after:g}" if before == after else f"{before:g} → {after:g}"
