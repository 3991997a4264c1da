"""Finding the running instance: which of folder, environment and default wins, and what is said when there is none."""

import json
from pathlib import Path

import pytest

from uptake_cli.instance import DEFAULT_DATA, find, to_copy
from uptake_cli.problems import Refused, Unreachable


def instance_at(folder: Path, url: str) -> Path:
    folder.mkdir()
    (folder / "instance.json").write_text(json.dumps({"urls": {"metrics": url}}))
    return folder


def test_the_option_beats_the_environment(tmp_path: Path) -> None:
    named, other = instance_at(tmp_path / "a", "http://a"), instance_at(tmp_path / "b", "http://b")
    assert find(named, {"UPTAKE_DATA": str(other)}).url("metrics") == "http://a"
    assert find(None, {"UPTAKE_DATA": str(other)}).url("metrics") == "http://b"


def test_an_explicit_address_beats_the_folder(tmp_path: Path) -> None:
    environment = {"UPTAKE_METRICS_URL": "http://there/", "UPTAKE_PRODUCER_KEY_FILE": str(tmp_path / "k")}
    (tmp_path / "k").write_text("secret\n")
    found = find(instance_at(tmp_path / "a", "http://a"), environment)
    assert (found.url("metrics"), found.key()) == ("http://there", "secret")


def test_nothing_running_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"Nothing runs at .*\./dev up --data .*UPTAKE_ALERTING_URL"):
        find(tmp_path, {}).url("alerting")


def test_a_line_to_copy_names_the_folder_unless_it_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "disk" / "me"
    home.mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    monkeypatch.chdir(home)
    usual = Path(DEFAULT_DATA).expanduser()
    assert [to_copy("up", folder) for folder in (usual, usual.resolve())] == ["./dev up"] * 2
    assert to_copy("uptake", Path("my data")) == f"./dev uptake --data '{home}/my data'"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"urls": 1}', "\x00"])
def test_a_broken_description_is_no_traceback(tmp_path: Path, content: str) -> None:
    (tmp_path / "instance.json").write_text(content)
    with pytest.raises(Unreachable, match="does not describe a running instance"):
        find(tmp_path, {})


def test_a_missing_key_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"producer\.key"):
        find(tmp_path, {}).key()
