"""The configuration files: shipped ones, changed ones, bad ones, and what is said of them."""

from pathlib import Path

import pytest

from uptake.telemetry import REGISTRY
from uptake_metrics.config import Config, check

FILES = ("policies", "activity", "use_cases")
SHORT = """\
default: easy
policies:
  easy: [{from: 2022-01-01, anchor: production, steps: [{day: 0, target: 10 %}]}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "config"


@pytest.fixture
def config(folder: Path) -> Config:
    config = Config(folder)
    config.write_defaults()
    return config


def is_good(file: str) -> float | None:
    return REGISTRY.get_sample_value("uptake_metrics_config_good", {"file": file})


def test_the_first_start_writes_the_shipped_files_with_their_comments(config: Config, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["activity.yml", "policies.yml", "use_cases.yml"]
    assert all((folder / f"{name}.yml").read_text().startswith("# ") for name in FILES)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert (config.problems(), config.version, check(folder)) == ([], 0, [])


def test_no_file_of_ours_replaces_one_that_is_there(folder: Path) -> None:
    folder.mkdir()
    (folder / "policies.yml").write_text(SHORT)
    config = Config(folder)
    config.write_defaults()
    assert (folder / "policies.yml").read_text() == SHORT
    assert list(config.policies.policies) == ["easy"]


def test_without_a_folder_what_is_shipped_is_in_force(config: Config) -> None:
    unset = Config(None)
    unset.write_defaults()
    assert (unset.policies, unset.activity, unset.use_cases) == (config.policies, config.activity, config.use_cases)
    assert (unset.version, unset.problems()) == (0, [])


def test_a_folder_that_is_only_for_reading_needs_no_files_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = Config(tmp_path / "file" / "config")  # nobody can make it, not even root
    config.write_defaults()
    assert config.policies == Config(None).policies


def test_a_changed_file_is_in_force_at_once(config: Config, folder: Path) -> None:
    before = config.fingerprint()
    (folder / "policies.yml").write_text(SHORT)
    assert config.policies.default[0].policy == "easy"
    assert config.version == 1
    assert config.fingerprint() != before
    (folder / "policies.yml").write_text(SHORT + "# a word more\n")
    assert config.version == 1  # the same content


def test_a_bad_file_leaves_the_last_good_one_in_force(config: Config, folder: Path) -> None:
    file = folder / "policies.yml"
    file.write_text(SHORT)
    assert config.version == 1
    file.write_text(SHORT.replace("10 %", "0 %"))
    assert config.policies.default[0].policy == "easy"
    (problem,) = config.problems()
    assert problem.startswith(f"{file}: line 3: policies.easy.0.steps.0.target: ")
    assert (config.version, is_good("policies"), is_good("activity")) == (1, 0, 1)
    assert check(folder) == [problem]
    file.write_text(SHORT)
    assert (config.problems(), config.version, is_good("policies")) == ([], 1, 1)


def test_a_file_that_is_taken_away_leaves_the_last_good_one_in_force(config: Config, folder: Path) -> None:
    (folder / "policies.yml").write_text(SHORT)
    assert config.version == 1
    (folder / "policies.yml").unlink()
    assert config.policies.default[0].policy == "easy"
    assert len(config.problems()) == 1


def test_whoever_begins_with_a_bad_file_is_not_settled_until_it_is_good(folder: Path) -> None:
    folder.mkdir()
    (folder / "policies.yml").write_text(SHORT.replace("10 %", "0 %"))
    config = Config(folder)
    config.write_defaults()
    unsettled = config.unsettled() or ""
    assert unsettled.startswith(f"{folder / 'policies.yml'}: line 3: policies.easy.0.steps.0.target: ")
    (folder / "policies.yml").write_text(SHORT)
    assert (config.unsettled(), config.policies.default[0].policy) == (None, "easy")
    (folder / "policies.yml").write_text("bad")
    assert (config.unsettled(), config.policies.default[0].policy) == (None, "easy")  # the last good one is known


def test_what_is_shipped_is_settled_where_there_is_no_file(folder: Path) -> None:
    assert (Config(None).unsettled(), Config(folder).unsettled()) == (None, None)


def test_a_bad_file_that_is_taken_away_is_none(folder: Path) -> None:
    folder.mkdir()
    (folder / "activity.yml").write_text("bad")
    config = Config(folder)
    assert config.unsettled()
    (folder / "activity.yml").unlink()
    assert config.unsettled() is None


def test_the_fingerprint_is_of_the_content_and_the_same_in_every_process(config: Config) -> None:
    assert config.fingerprint() == Config(None).fingerprint()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("policies: &all {}\ndefault: *all\n", "line 2: a *reference is not read"),
        ("a: " + "[" * 5000 + "]" * 5000, "line 1: nested too deeply"),
        ("a: " + "9" * 5000, "line 1: "),
        (SHORT.replace("2022-01-01", "2022-02-30"), "line 3: policies.easy.0.from: "),
        ("\x00", "line 1: not YAML"),
        ("- 1\n", "line 1: the file: "),
    ],
)
def test_no_file_stops_a_check(folder: Path, text: str, problem: str) -> None:
    folder.mkdir()
    (folder / "policies.yml").write_text(text)
    (found,) = check(folder)
    assert found.startswith(f"{folder / 'policies.yml'}: {problem}")


def test_a_check_names_every_file_that_is_wrong(folder: Path) -> None:
    folder.mkdir()
    for name in FILES:
        (folder / f"{name}.yml").write_text("unheard_of: 1\n")
    assert len(check(folder)) == len(FILES)
