"""What every command of the CLI shares: `--data`, `--json`, and one question put to the running instance."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from uptake_cli.client import Client
from uptake_cli.instance import DEFAULT_DATA, find

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

DAY = click.DateTime(["%Y-%m-%d"])


def data_option(command: Command) -> Command:
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=lambda: click.get_current_context().find_root().obj,  # `uptake --data DIR accounts` works as well
        help=f"Folder of the running instance. Default: UPTAKE_DATA, else {DEFAULT_DATA}.",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="The answer as JSON on standard output.")(command)


def ask(data: Path | None, question: Callable[[Client], Awaitable[T]]) -> T:
    """Put the question to the instance at `data` and wait for the answer."""

    async def inside() -> T:
        async with Client(find(data)) as client:
            return await question(client)

    return asyncio.run(inside())
