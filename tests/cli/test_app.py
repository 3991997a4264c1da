"""The command as a whole: what there is, and that each part explains itself."""

import click
import pytest
from click.testing import CliRunner

from uptake_cli.app import COMMANDS, main


def test_these_commands_exist() -> None:
    assert set(main.commands) == {
        *("up", "send", "import", "accounts", "kpis", "users", "history", "portfolio", "trials", "team", "alerts"),
        *("backup", "restore", "rebuild", "erase", "policy", "config", "instances", "silences", "oncall"),
        *("rules", "route"),
        *("features", "calendar", "correlation", "growth", "changes", "time-to-value"),
    }


def questions() -> list[list[str]]:
    """The words of each; a group that answers by itself is one, and any other group is its parts."""
    found = []
    for command in COMMANDS:
        parts = isinstance(command, click.Group) and not command.invoke_without_command and list(command.commands)
        found += [[str(command.name), part] for part in parts] if parts else [[str(command.name)]]
    return found


PRINT_A_FILE = (["oncall", "calendar"],)


@pytest.mark.parametrize("question", questions(), ids=" ".join)
def test_every_question_has_json_a_folder_and_its_exit_codes_in_its_help(question: list[str]) -> None:
    help_text = CliRunner().invoke(main, [*question, "--help"]).output
    assert ("--json" in help_text) == (question not in PRINT_A_FILE)
    assert "--data" in help_text
    assert "3 the service is unreachable" in " ".join(help_text.split())
