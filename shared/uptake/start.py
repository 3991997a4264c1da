"""How the process of a service starts: settings, logging, then migrate or serve. Knows no service."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from starlette.types import ASGIApp

from uptake.serve import serve
from uptake.settings import ServiceSettings, SettingsError
from uptake.telemetry import configure_logging

WRONG_SETTINGS = 2
WRONG_CONFIG = 1

S = TypeVar("S", bound=ServiceSettings)


def start(
    service: str,
    settings_class: type[S],
    build: Callable[[S], ASGIApp],
    migrate: Callable[[S], None] | None = None,
    check: Callable[[Path], list[str]] | None = None,
    tools: Mapping[str, Callable[[list[str]], int]] = MappingProxyType({}),
) -> int:
    """The console script `uptake-<service>`; returns its exit code.

    Without an argument it serves until a signal; with `migrate`, where the service has a schema, it brings that up to
    date and ends. Wrong settings are one line on standard error.

    `check DIR`, where the service reads configuration files, says what is wrong with those in the folder and ends: with
    1 if there is something. It needs no settings and nothing that runs; nor does any of `tools`, which is given the
    arguments after its name and returns the exit code.
    """
    if sys.argv[1:] and sys.argv[1] in tools:
        return tools[sys.argv[1]](sys.argv[2:])
    if check and sys.argv[1:2] == ["check"]:
        return _told(service, check, sys.argv[2:])
    try:
        settings = settings_class()
    except SettingsError as error:
        sys.stderr.write(f"uptake-{service}: {error}\n")
        return WRONG_SETTINGS
    configure_logging(service, settings.log_format)
    if migrate and sys.argv[1:] == ["migrate"]:
        migrate(settings)
    else:
        asyncio.run(serve(build(settings), settings))
    return 0


def _told(service: str, check: Callable[[Path], list[str]], folders: list[str]) -> int:
    if len(folders) != 1:
        sys.stderr.write(f"uptake-{service}: check needs one folder\n")
        return WRONG_SETTINGS
    problems = check(Path(folders[0]))
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return WRONG_CONFIG if problems else 0
