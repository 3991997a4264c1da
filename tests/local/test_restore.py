"""What cannot be restored is refused, and leaves nothing. A backup that comes back whole is in test_backup."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

from uptake_local.backup_file import Writer
from uptake_local.restore import _draft_of

UPTAKE = Path(sysconfig.get_path("scripts")) / "uptake"


def restore(file: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([UPTAKE, "restore", file, "--data", folder], capture_output=True, text=True, timeout=120)


def write(file: Path, database: bytes = b"", files: tuple[str, ...] = ("producer.key", "config/routes.yml")) -> Path:
    with file.open("wb") as out:
        writer = Writer(out)
        parts = writer.stream("database")
        parts.write(database)
        parts.end()
        for name in files:
            writer.add(f"files/{name}", b"x\n")
        writer.seal("2026-05-01T00:00:00+00:00", {"uptake": "0"}, {})
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where nothing may be left; its parent holds nothing else."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place" / "data"


@pytest.mark.parametrize("left", [0, 10, 2_000, -11_000])
def test_a_truncated_file_changes_nothing(tmp_path: Path, folder: Path, left: int) -> None:
    file = write(tmp_path / "kept")
    file.write_bytes(file.read_bytes()[:left])
    done = restore(file, folder)
    assert done.returncode == 1
    assert "Nothing was restored" in done.stderr
    assert list(folder.parent.iterdir()) == []


def test_a_database_that_postgresql_does_not_take_changes_nothing(tmp_path: Path, folder: Path) -> None:
    """The file is whole, and so the servers have been started when it is found out."""
    done = restore(write(tmp_path / "kept", b"no dump at all"), folder)
    assert done.returncode == 1
    assert "pg_restore failed" in done.stderr
    assert list(folder.parent.iterdir()) == []
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(folder) not in running


@pytest.mark.parametrize(
    "name", ["../escaped", "config/../../escaped", "config/..", "/etc/escaped", "postgres/postgresql.conf", "nats"]
)
def test_a_file_never_lands_where_it_does_not_belong(tmp_path: Path, folder: Path, name: str) -> None:
    done = restore(write(tmp_path / "kept", files=("producer.key", name)), folder)
    assert done.returncode == 1
    assert "holds a file where none belongs" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "place"]
    assert list(folder.parent.iterdir()) == []


def test_a_folder_with_data_is_left_alone(tmp_path: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "precious").write_text("data")
    done = restore(write(tmp_path / "kept"), folder)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert [path.read_text() for path in folder.iterdir()] == ["data"]


def test_a_second_attempt_leaves_the_first_alone(tmp_path: Path, folder: Path) -> None:
    with _draft_of(folder) as (draft, _):
        (draft / "half").write_text("of the first")
        done = restore(write(tmp_path / "kept"), folder)
        assert done.returncode == 1
        assert "already" in done.stderr
        assert (draft / "half").read_text() == "of the first"
    assert (folder / "half").read_text() == "of the first"


def test_what_a_killed_attempt_left_is_of_no_use(folder: Path) -> None:
    draft = folder.with_name("data.restoring")
    (draft / "postgres").mkdir(parents=True)
    (draft / "producer.key").write_text("old")
    with _draft_of(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_an_unknown_file_is_named(tmp_path: Path, folder: Path) -> None:
    done = restore(tmp_path / "none", folder)
    assert (done.returncode, list(folder.parent.iterdir())) == (1, [])
    assert f"There is no file {tmp_path / 'none'}" in done.stderr
