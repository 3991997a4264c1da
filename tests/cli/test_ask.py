"""Lists on the command line: every filter and order of the API is an option, and `--csv` shows what came."""

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel

from uptake_cli.app import main
from uptake_metrics.answers.accounts import AccountsQuery, PortfolioQuery
from uptake_metrics.answers.sales import TeamQuery, TrialsQuery

SPAN = ["--from", "2026-05-01", "--to", "2026-05-10"]
LISTS = {
    "/api/v1/accounts": ["accounts"],
    "/api/v1/portfolio": ["portfolio"],
    "/api/v1/trials": ["trials"],
    "/api/v1/team": ["team"],
    "/api/v1/accounts/acme/history": ["history", "acme", *SPAN],
    "/api/v1/accounts/acme/users": ["users", "acme", "--as-of", "2026-05-10"],
}


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize(("path", "arguments"), LISTS.items())
def test_csv_is_asked_for_and_shown_as_it_came(fake: Any, path: str, arguments: list[str]) -> None:
    fake.answers[path] = (200, "a,b\r\n1,2\r\n")  # which the fake writes as JSON
    result = ask(*arguments, "--csv")
    assert (result.exit_code, result.stdout) == (0, '"a,b\\r\\n1,2\\r\\n"')
    ((asked, query),) = fake.gets
    assert (asked, query["format"]) == (path, ["csv"])


@pytest.mark.parametrize(
    ("command", "query"),
    [("accounts", AccountsQuery), ("portfolio", PortfolioQuery), ("trials", TrialsQuery), ("team", TeamQuery)],
)
def test_every_question_of_the_api_is_an_option(command: str, query: type[BaseModel]) -> None:
    options = {parameter.name for parameter in main.commands[command].params if isinstance(parameter, click.Option)}
    assert options - {"data"} == {"form" if name == "format" else name for name in query.model_fields}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (
            "accounts",
            "--owner dana --region emea --segment smb --lifecycle ramping --status on_target --usage poor "
            "--data-health stale --search ac --sort=-adoption --limit 5 --as-of 2026-05-10",
        ),
        ("portfolio", "--lifecycle production --data-health fresh --usage healthy --search ac"),
        (
            "trials",
            "--state running --complexity complex --engineer kim --owner dana --region emea --account acme "
            "--flag breached --sort=-cycle_days --limit 3 --as-of 2026-05-10",
        ),
    ],
)
def test_every_option_reaches_the_api(fake: Any, command: str, arguments: str) -> None:
    fake.answers[f"/api/v1/{command}"] = (200, [])
    words = arguments.replace("=", " ").split()
    given = {
        name.removeprefix("--").replace("-", "_"): [value] for name, value in zip(words[::2], words[1::2], strict=True)
    }
    if "search" in given:
        given["q"] = given.pop("search")
    assert ask(command, *arguments.split(), "--json").exit_code == 0
    assert fake.gets == [(f"/api/v1/{command}", given)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["accounts", "--owner", "x"], "No account is so."), (["trials", "--owner", "x"], "No trial is so.")],
)
def test_a_filter_that_leaves_nothing_is_no_empty_instance(fake: Any, arguments: list[str], says: str) -> None:
    fake.answers[f"/api/v1/{arguments[0]}"] = (200, [])
    assert ask(*arguments).stdout == f"{says}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["accounts", "--lifecycle", "old"],
        ["accounts", "--usage", "fine"],
        ["accounts", "--limit", "0"],
        ["portfolio", "--data-health", "fine"],
        ["trials", "--state", "paused"],
        ["trials", "--flag", "late"],
    ],
)
def test_wrong_usage_is_exit_code_2(fake: Any, arguments: list[str]) -> None:
    assert (ask(*arguments).exit_code, fake.gets) == (2, [])


def test_a_wrong_order_is_refused_in_the_words_of_the_service(fake: Any) -> None:
    fake.answers["/api/v1/accounts"] = (400, {"error": "invalid_request", "detail": "sort: must be one of account"})
    result = ask("accounts", "--sort", "size")
    assert (result.exit_code, "must be one of account" in result.stderr) == (1, True)
