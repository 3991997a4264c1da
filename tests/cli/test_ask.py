"""Lists on the command line: every filter and order of the API is an option, and `--csv` shows what came."""

from typing import Any

import click
import pytest
from pydantic import BaseModel

from uptake_cli.app import main
from uptake_cli.problems import EXIT_CODES
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
    "/api/v1/accounts/acme/growth": ["growth", "acme"],
    "/api/v1/accounts/acme/time-to-value": ["time-to-value", "acme"],
    "/api/v1/time-to-value": ["time-to-value"],
    "/api/v1/instances": ["instances"],
    "/api/v1/policies": ["policy", "show"],
}


@pytest.mark.parametrize(("path", "arguments"), LISTS.items())
def test_csv_is_asked_for_and_shown_as_it_came(fake: Any, path: str, arguments: list[str], ask: Any) -> None:
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
def test_every_option_reaches_the_api(fake: Any, command: str, arguments: str, ask: Any) -> None:
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
def test_a_filter_that_leaves_nothing_is_no_empty_instance(
    fake: Any, arguments: list[str], says: str, ask: Any
) -> None:
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
def test_wrong_usage_is_exit_code_2(fake: Any, arguments: list[str], ask: Any) -> None:
    assert (ask(*arguments).exit_code, fake.gets) == (2, [])


def test_a_wrong_order_is_refused_in_the_words_of_the_service(fake: Any, ask: Any) -> None:
    fake.answers["/api/v1/accounts"] = (400, {"error": "invalid_request", "detail": "sort: must be one of account"})
    result = ask("accounts", "--sort", "size")
    assert (result.exit_code, result.stderr) == (2, "Error: sort: must be one of account\n")


@pytest.mark.parametrize(
    ("error", "exit_code", "says"),
    [
        ("invalid_day", 2, "Error: the newest day is 2026-05-10\n"),
        ("invalid_range", 2, "Error: the newest day is 2026-05-10\n"),
        ("invalid_query", 2, "Error: the newest day is 2026-05-10\n"),
        ("invalid_policies", 1, "Error: metrics refused (400): the newest day is 2026-05-10\n"),
    ],
)
def test_what_no_data_could_answer_is_wrong_usage(fake: Any, ask: Any, error: str, exit_code: int, says: str) -> None:
    fake.answers["/api/v1/accounts"] = (400, {"error": error, "detail": "the newest day is 2026-05-10"})
    result = ask("accounts", "--as-of", "2030-01-01")
    assert (result.exit_code, result.stderr) == (exit_code, says)


def test_trials_of_an_unknown_account_are_not_none(fake: Any, ask: Any) -> None:
    fake.answers["/api/v1/accounts"] = (200, [{"account": "acme"}])
    result = ask("trials", "--account", "acne")
    assert (result.exit_code, result.stderr) == (1, "Error: No account 'acne'. Did you mean acme?\n")


def test_every_command_says_what_its_exit_codes_mean() -> None:
    commands = [one for name, one in main.commands.items() if name not in ("up", "backup", "restore")]
    groups = [one for one in commands if isinstance(one, click.Group)]
    commands += [inner for group in groups for inner in group.commands.values()]
    assert [
        one.name for one in commands if not (isinstance(one, click.Group) or EXIT_CODES in (one.epilog or ""))
    ] == []
