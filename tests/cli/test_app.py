"""The command as a whole: what there is, and that each part explains itself."""

import click
import pytest
from click.testing import CliRunner

from uptake_cli.app import COMMANDS, main


def test_these_commands_exist() -> None:
    assert set(main.commands) == {
        *("up", "send", "import", "accounts", "kpis", "users", "history", "portfolio", "trials", "team", "alerts"),
        *("backup", "restore", "rebuild"),
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_question_has_json_a_folder_and_its_exit_codes_in_its_help(command: click.Command) -> None:
    help_text = CliRunner().invoke(main, [str(command.name), "--help"]).output
    assert "--json" in help_text
    assert "--data" in help_text
    assert "3 the service is unreachable" in " ".join(help_text.split())
