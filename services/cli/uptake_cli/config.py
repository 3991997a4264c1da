"""`uptake config`: looks at configuration files before any service does. Each service reads its own, as a process."""

import json
from pathlib import Path

import click

from uptake_cli.ask import data_option, json_option
from uptake_cli.instance import data_folder
from uptake_cli.problems import EXIT_CODES, Refused
from uptake_cli.programs import problems

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
    found = [problem for service in _SERVICES for problem in problems(service, place)]
    if as_json:
        click.echo(json.dumps({"problems": found}))
    if found:
        raise Refused("\n".join(found))
    if not as_json:
        click.echo(f"All files in {place} can be in force.")
