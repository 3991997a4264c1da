"""The file of a backup: what was written comes back, and whatever is cut off or changed in it is found out."""

import random
from pathlib import Path

import pytest

from uptake_local import backup_file
from uptake_local.backup_file import PART_BYTES, BrokenBackup, Writer


@pytest.fixture
def database() -> bytes:
    return random.Random(1).randbytes(PART_BYTES + 12_345)


@pytest.fixture
def whole(tmp_path: Path, database: bytes) -> Path:
    file = tmp_path / "kept"
    with file.open("wb") as out:
        writer = Writer(out)
        parts = writer.stream("database")
        for start in range(0, len(database), 100_000):
            parts.write(database[start : start + 100_000])
        parts.end()
        writer.stream("streams/EMPTY").end()
        writer.add("files/config/für alle.yml", b"a: 1\n")
        writer.seal("2026-05-01T00:00:00+00:00", {"uptake": "1"}, {"EMPTY": {"cut_at": None}})
    return file


def test_what_was_written_comes_back(whole: Path, database: bytes) -> None:
    read: list[int] = []
    manifest = backup_file.verify(whole, read.append)
    assert (manifest.made_at, manifest.streams) == ("2026-05-01T00:00:00+00:00", {"EMPTY": {"cut_at": None}})
    assert sum(read) > len(database)
    kept = list(backup_file.parts(whole, "database"))
    assert [len(part) for part in kept] == [PART_BYTES, 12_345]
    assert b"".join(kept) == database
    assert b"".join(backup_file.parts(whole, "streams/EMPTY")) == b""
    assert list(backup_file.members(whole, "files")) == [("config/für alle.yml", b"a: 1\n")]


@pytest.mark.parametrize("left", [0.0, 0.0001, 0.3, 0.9, 0.995, 0.9995])
def test_a_file_that_is_cut_off_is_found_out(whole: Path, left: float) -> None:
    content = whole.read_bytes().rstrip(b"\0")  # a tar ends in empty blocks, which nobody misses
    whole.write_bytes(content[: int(len(content) * left)])
    with pytest.raises(BrokenBackup, match="kept"):
        backup_file.verify(whole)


def test_one_changed_byte_is_found_out_wherever_it_is(whole: Path) -> None:
    content = whole.read_bytes()
    used = len(content.rstrip(b"\0"))
    rng = random.Random(7)
    for at in [*rng.sample(range(used - 3_000), 20), *rng.sample(range(used - 3_000, used), 40)]:
        if content[at] == 0:
            continue  # the filling between two parts
        whole.write_bytes(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
        with pytest.raises(BrokenBackup, match="kept"):
            backup_file.verify(whole)


def test_something_else_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear all")
    with pytest.raises(BrokenBackup, match="no backup of Uptake"):
        backup_file.verify(tmp_path / "letter")


def test_a_later_format_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_file, "FORMAT", 2)
    with (tmp_path / "kept").open("wb") as out:
        Writer(out).seal("2026-05-01T00:00:00+00:00", {}, {})
    monkeypatch.undo()
    with pytest.raises(BrokenBackup, match="has format 2; this version reads format 1"):
        backup_file.verify(tmp_path / "kept")
