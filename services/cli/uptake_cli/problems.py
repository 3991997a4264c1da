"""What the `uptake` command says and returns when it cannot do what was asked. No I/O.

Exit codes: 0 done, 1 refused (by the service, or part of a file), not found or in conflict, 2 wrong usage, 3 nothing
answers there.
"""

import click

REFUSED, WRONG_USAGE, UNREACHABLE = 1, 2, 3
EXIT_CODES = "Exit codes: 0 done, 1 something was refused or not found, 2 wrong usage, 3 the service is unreachable."


class Refused(click.ClickException):
    """The service answered, and the answer is no. `code` is the service's own name for why, if it gave one."""

    exit_code = REFUSED

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class WrongUsage(click.ClickException):
    """An option holds what nobody can answer, such as a day that is yet to come."""

    exit_code = WRONG_USAGE


class Unreachable(click.ClickException):
    """Nothing answers, so trying again later can help."""

    exit_code = UNREACHABLE
