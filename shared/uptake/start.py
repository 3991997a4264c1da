"""How the process of a service starts: settings, logging, then migrate or serve. Knows no service."""

import asyncio
import sys
from collections.abc import Callable
from typing import TypeVar

from starlette.types import ASGIApp

from uptake.serve import serve
from uptake.settings import ServiceSettings, SettingsError
from uptake.telemetry import configure_logging

WRONG_SETTINGS = 2

S = TypeVar("S", bound=ServiceSettings)


def start(
    service: str, settings_class: type[S], build: Callable[[S], ASGIApp], migrate: Callable[[S], None] | None = None
) -> int:
    """The console script `uptake-<service>`; returns its exit code.

    Without an argument it serves until a signal; with `migrate`, where the service has a schema, it brings that up to
    date and ends. Wrong settings are one line on standard error.
    """
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
