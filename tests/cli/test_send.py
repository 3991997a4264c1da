"""`uptake send`: what goes out, what is said about it, and the exit code a script sees."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from uptake_cli.app import main


def send(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["send", *arguments], input=stdin)


def events(count: int) -> str:
    return "".join(json.dumps({"id": f"e{n}", "type": "usage"}) + "\n" for n in range(count))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "events.ndjson"
    file.write_text(events(3))
    return file


def test_a_file_is_sent_and_counted(fake: Any, file: Path) -> None:
    result = send(str(file))
    assert (result.exit_code, result.stdout) == (0, "accepted 3, duplicate 0, conflict 0, refused 0\n")
    assert [event["id"] for event in fake.events] == ["e0", "e1", "e2"]


def test_a_pipe_and_gzip_work_alike(fake: Any, tmp_path: Path) -> None:
    assert send("-", stdin=events(2)).exit_code == 0
    (tmp_path / "e.gz").write_bytes(gzip.compress(events(2).encode()))
    assert send(str(tmp_path / "e.gz")).exit_code == 0
    assert [event["id"] for event in fake.events] == ["e0", "e1"] * 2


def test_lines_of_an_activity_log_become_usage(fake: Any) -> None:
    send("-", stdin='{"id": "1", "account": "a", "user": "u", "feature": "f", "received_at": "x"}')
    assert fake.events[0]["type"] == "usage"


def test_a_long_file_goes_out_in_requests_of_a_thousand(fake: Any) -> None:
    assert send("-", stdin=events(2500)).exit_code == 0
    assert fake.batch_sizes == [1000, 1000, 500]


def test_what_was_not_taken_is_listed_with_its_line_and_the_exit_code_says_so(fake: Any, file: Path) -> None:
    fake.verdicts = {"e1": ("refused", "too_old"), "e2": ("conflict", "conflict"), "e0": ("duplicate", "")}
    result = send(str(file))
    assert result.exit_code == 1
    assert "accepted 0, duplicate 1, conflict 1, refused 1" in result.stdout
    assert any(line.split() == ["2", "e1", "refused", "too_old"] for line in result.stdout.splitlines())


def test_duplicates_alone_are_a_success(fake: Any, file: Path) -> None:
    fake.verdicts = {f"e{n}": ("duplicate", "") for n in range(3)}
    assert send(str(file)).exit_code == 0


def test_broken_lines_go_along_but_a_request_of_nothing_else_does_not(fake: Any) -> None:
    assert "accepted 1, duplicate 0, conflict 0, refused 1" in send("-", stdin='{"id": "1"}\nnope').stdout
    result = send("-", stdin="nope")
    assert (result.exit_code, fake.batch_sizes) == (1, [2])
    assert "not_json" in result.stdout


def test_only_the_first_refusals_are_listed(fake: Any) -> None:
    fake.verdicts = {f"e{n}": ("refused", "too_old") for n in range(50)}
    assert "… and 30 more." in send("-", stdin=events(50)).stdout


def test_json_is_all_there_is_on_standard_output(fake: Any, file: Path) -> None:
    fake.verdicts = {"e1": ("refused", "too_old")}
    result = send(str(file), "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["accepted"], answer["refused"]) == (1, 2, 1)
    assert answer["refusals"] == [{"line": 2, "id": "e1", "status": "refused", "reason": "too_old"}]


@pytest.mark.parametrize("status", [429, 503])
def test_overload_is_waited_out(fake: Any, file: Path, status: int) -> None:
    fake.busy = [(status, "0"), (status, "0")]
    assert send(str(file)).exit_code == 0
    assert len(fake.events) == 3


def test_a_wrong_key_says_where_the_right_one_is(fake: Any, file: Path) -> None:
    (fake.data / "producer.key").write_text("wrong")
    result = send(str(file))
    assert result.exit_code == 1
    assert "does not accept the producer key" in result.stderr
    assert "producer.key" in result.stderr


def uptake(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uptake_cli", "--data", str(data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_script_sees_0_when_everything_was_taken_and_1_when_not(fake: Any, file: Path) -> None:
    assert uptake("send", str(file), data=fake.data).returncode == 0
    fake.verdicts = {"e1": ("refused", "too_old")}
    assert uptake("send", str(file), data=fake.data).returncode == 1


def test_a_script_sees_2_on_wrong_usage(fake: Any) -> None:
    assert uptake("send", "/no/such/file", data=fake.data).returncode == 2


def test_a_script_sees_3_when_nothing_answers(tmp_path: Path, file: Path) -> None:
    nothing = uptake("send", str(file), data=tmp_path)
    (tmp_path / "instance.json").write_text('{"urls": {"ingestion": "http://127.0.0.1:9"}}')
    (tmp_path / "producer.key").write_text("k")
    silent = uptake("send", str(file), data=tmp_path)
    assert [(run.returncode, run.stdout) for run in (nothing, silent)] == [(3, "")] * 2
    assert "./dev up" in nothing.stderr
    assert "does not answer at http://127.0.0.1:9" in silent.stderr
