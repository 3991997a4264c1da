"""What commands of the CLI share: `--data`, `--json`, `--csv`, which accounts, and one question to the instance."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from uptake_cli.client import Client
from uptake_cli.instance import DEFAULT_DATA, find

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])


class Near(click.DateTime):
    """Far from both ends of the calendar, where reckoning with days breaks."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not 1970 <= found.year <= 9000:
            self.fail(f"{value} does not lie in the years 1970 to 9000.", param, ctx)
        return found


DAY = Near(["%Y-%m-%d"])


def data_option(command: Command) -> Command:
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=lambda: click.get_current_context().find_root().obj,  # `uptake --data DIR accounts` works as well
        help=f"Folder of the running instance. Default: UPTAKE_DATA, else {DEFAULT_DATA}.",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="The answer as JSON on standard output.")(command)


def list_option(command: Command) -> Command:
    """`form`: how the answer is wanted as it comes, else null."""
    as_csv = click.option("--csv", "form", flag_value="csv", help="The answer as CSV on standard output.")
    as_json = click.option("--json", "form", flag_value="json", help="The answer as JSON on standard output.")
    return as_json(as_csv(command))


def form_of(form: str | None) -> dict[str, str | None]:
    """The query that asks for it: JSON is what comes anyway."""
    return {"format": "csv" if form == "csv" else None}


def show(answer: str, form: str) -> None:
    """The answer as it came."""
    click.echo(answer, nl=form == "json")


def sort_option(help: str) -> Callable[[Command], Command]:
    return click.option("--sort", help=f"{help} A minus sign in front: the largest first. The unknown come last.")


limit_option = click.option("--limit", type=click.IntRange(min=1), help="At most so many, after sorting.")


def choice_options(command: Command) -> Command:
    """Which accounts are meant: those that have every value that is given."""
    for option in reversed(_CHOICE):
        command = option(command)
    return command


def _words(*words: str) -> click.Choice[str]:
    return click.Choice(words)


_CHOICE = (
    click.option("--owner", help="Only accounts of this engineer."),
    click.option("--region", help="Only accounts of this region."),
    click.option("--segment", help="Only accounts of this segment."),
    click.option(
        "--lifecycle",
        type=_words("trial", "onboarding", "ramping", "production", "churned", "unknown"),
        help="Only accounts that stand there.",
    ),
    click.option(
        "--status",
        type=_words("on_target", "off_target", "ramping", "not_started", "unknown"),
        help="Only accounts whose adoption has this status.",
    ),
    click.option(
        "--usage", type=_words("healthy", "concerning", "poor", "unknown"), help="Only accounts whose usage is so."
    ),
    click.option("--data-health", type=_words("fresh", "stale", "none"), help="Only accounts whose data are so."),
    click.option("--search", "q", help="Only accounts with this in their id or name."),
)


def ask(data: Path | None, question: Callable[[Client], Awaitable[T]]) -> T:
    """Put the question to the instance at `data` and wait for the answer."""

    async def inside() -> T:
        async with Client(find(data)) as client:
            return await question(client)

    return asyncio.run(inside())
