"""Who is let in."""

import hashlib
import json
import os

import pytest

from uptake_ingestion.keys import KeyRing, parse
from uptake_ingestion.rejections import Rejected


def line(producer, key):
    return json.dumps({"producer": producer, "key_sha256": hashlib.sha256(key.encode()).hexdigest()}) + "\n"


def write(path, text, number):
    path.write_text(text)
    os.utime(path, ns=(number, number))  # two writes within one tick of the clock would look like one


def test_a_changed_file_counts_at_once_and_a_bad_one_changes_nothing(tmp_path):
    path = tmp_path / "keys"
    ring = KeyRing(path)
    with pytest.raises(Rejected):
        ring.admit("Bearer one")
    write(path, line("crm", "one") + "\n" + line("crm", "two"), 1)
    assert ring.admit("Bearer one") == ring.admit("bearer  two ") == "crm"
    write(path, line("billing", "three") + "{broken", 2)
    assert ring.admit("Bearer one") == "crm"
    path.unlink()
    assert ring.admit("Bearer one") == "crm"
    write(path, line("billing", "three"), 3)
    assert ring.admit("Bearer three") == "billing"
    with pytest.raises(Rejected):
        ring.admit("Bearer one")


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("", 401), ("Bearer", 401), ("Bearer ", 401), ("Basic one", 401), ("one", 401), ("Bearer two", 403)],
)
def test_without_a_key_401_with_a_wrong_one_403(tmp_path, header, status):
    path = tmp_path / "keys"
    path.write_text(line("crm", "one"))
    with pytest.raises(Rejected) as caught:
        KeyRing(path).admit(header)
    assert caught.value.status == status


@pytest.mark.parametrize("text", ["{}", line("C R M", "one"), '{"producer": "crm", "key_sha256": "one"}', "crm one"])
def test_a_bad_line_is_named(text):
    with pytest.raises(ValueError, match="line 2"):
        parse(line("crm", "one") + text)


def test_without_a_file_nobody_is_let_in():
    with pytest.raises(Rejected):
        KeyRing(None).admit("Bearer one")
