"""`uptake config check`: each service reads its own files, and nothing has to run."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from uptake_cli.app import main


def check(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["config", "check", *map(str, arguments)])
    return result.exit_code, result.output


def test_good_files_of_all_services_and_absent_ones(tmp_path: Path) -> None:
    (tmp_path / "routes.yml").write_text("channels: {}\n")
    assert check("--dir", tmp_path) == (0, f"All files in {tmp_path} can be in force.\n")


def test_every_problem_of_every_service_is_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "policies.yml").write_text("default: gone\npolicies: {}\n")
    (tmp_path / "routes.yml").write_text("channels: {}\ndefault: [nobody]\n")
    (tmp_path / "roster.yml").write_text("people:\n- {name: ann, region: mars}\n")
    code, said = check("--dir", tmp_path)
    assert code == 1
    assert f"{tmp_path / 'policies.yml'}: line 1: default.0.policy: names a policy that this file does not have" in said
    assert f"{tmp_path / 'routes.yml'}: line 1: " in said
    assert f"{tmp_path / 'roster.yml'}: line 2: people.0.region: names a region that this file does not have" in said


def test_problems_as_json(tmp_path: Path) -> None:
    assert check("--dir", tmp_path, "--json") == (0, '{"problems": []}\n')
    (tmp_path / "policies.yml").write_text("x: 1\n")
    result = CliRunner().invoke(main, ["config", "check", "--dir", str(tmp_path), "--json"])
    assert (result.exit_code, len(json.loads(result.stdout)["problems"])) == (1, 1)


def test_the_folder_is_that_of_the_instance(tmp_path: Path) -> None:
    assert check("--data", tmp_path)[0] == 1
    (tmp_path / "config").mkdir()
    assert check("--data", tmp_path)[0] == 0


def test_without_the_services_nothing_is_called_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    code, said = check("--dir", tmp_path)
    assert (code, "uptake-metrics is not installed" in said) == (1, True)
