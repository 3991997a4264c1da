"""`uptake config`: looks at configuration files before any service does. Each service reads its own, as a process."""

import json
import subprocess
import sysconfig
from pathlib import Path

import click

from uptake_cli.ask import data_option, json_option
from uptake_cli.instance import data_folder
from uptake_cli.problems import EXIT_CODES, Refused

_SERVICES = ("metrics", "alerting")


@click.group()
def config() -> None:
    """The files of DIR/config."""


@config.command(epilog=EXIT_CODES)
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the files. Default: `config` in the data folder.",
)
@data_option
@json_option
def check(folder: Path | None, data: Path | None, as_json: bool) -> None:
    """Say file and line of whatever keeps a file from being in force, or alerts from reaching anybody.

    Nothing needs to run.
    """
    place = folder or data_folder(data) / "config"
    if not place.is_dir():
        raise Refused(f"There is no {place}. Name the folder of the files with --dir.")
    problems = [problem for service in _SERVICES for problem in _problems(service, place)]
    if as_json:
        click.echo(json.dumps({"problems": problems}))
    if problems:
        raise Refused("\n".join(problems))
    if not as_json:
        click.echo(f"All files in {place} can be in force.")


def _problems(service: str, place: Path) -> list[str]:
    script = Path(sysconfig.get_path("scripts")) / f"uptake-{service}"
    if not script.exists():
        raise Refused(f"{script.name} is not installed beside this command; its files cannot be checked.")
    done = subprocess.run([script, "check", place], capture_output=True, text=True, check=False)  # noqa: S603  # our own
    if done.returncode and not done.stderr.strip():
        raise Refused(f"{script.name} ended with {done.returncode} and said nothing.")
    return done.stderr.splitlines() if done.returncode else []
