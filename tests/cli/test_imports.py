"""`uptake import`: one job per content, whose end is waited for."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from uptake_cli.app import main

CONTENT = '{"id": "1", "user": "u", "feature": "f"}\n{"id": "2", "user": "u", "feature": "f"}\n'


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["import", *arguments], input=stdin)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "history.ndjson"
    file.write_text(CONTENT)
    return file


@pytest.fixture
def job(fake: Any, file: Path) -> str:
    """The job of `file`, which metrics calls done."""
    run(str(file), "--reason", "first", "--no-wait")
    import_id: str = fake.posts[0][1]["import_id"]
    fake.posts.clear()
    fake.gets.clear()
    fake.events.clear()
    fake.answers[f"/api/v1/imports/{import_id}"] = (200, {"import_id": import_id, "state": "done"})
    return import_id


def test_a_job_is_started_filled_finished_and_waited_for(fake: Any, file: Path, job: str) -> None:
    result = run(str(file), "--reason", "migration")
    assert result.exit_code == 0
    assert fake.posts == [
        ("/v1/imports", {"import_id": job, "reason": "migration"}),
        (f"/v1/imports/{job}/finish", {"usage_sequence": 42, "accepted": 2, "refused": 0}),
    ]
    assert fake.gets[-1][0] == f"/api/v1/imports/{job}"
    assert f"import {job} done\naccepted 2" in result.stdout


def test_the_same_content_is_the_same_job_however_it_comes(fake: Any, file: Path, job: str) -> None:
    packed = file.with_suffix(".gz")
    packed.write_bytes(gzip.compress(CONTENT.encode()))
    run(str(packed), "--reason", "again")
    run("-", "--reason", "again", stdin=CONTENT)
    assert {said["import_id"] for path, said in fake.posts if path == "/v1/imports"} == {job}


@pytest.mark.parametrize("form", [CONTENT.encode(), gzip.compress(CONTENT.encode(), mtime=0)], ids=["plain", "gzip"])
@pytest.mark.parametrize("source", ["pipe", "file"])
def test_a_real_pipe_and_a_redirected_file_are_read_too(
    fake: Any, file: Path, job: str, form: bytes, source: str
) -> None:
    file.write_bytes(form)
    command = f"{sys.executable} -m uptake_cli --data {fake.data} import - --reason again"
    line = f"cat {file} | {command}" if source == "pipe" else f"{command} < {file}"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=False)  # noqa: S602  # a pipe is what is tested
    assert (done.returncode, f"import {job} done" in done.stdout) == (0, True), done.stderr


def test_a_job_that_was_finished_before_is_a_success_that_sends_nothing(fake: Any, file: Path, job: str) -> None:
    fake.finished_imports = {job}
    result = run(str(file), "--reason", "again", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"import_id": job, "already_done": True})
    assert not fake.events


def test_a_job_that_stopped_in_the_middle_is_taken_up_whatever_the_reason_is_now(
    fake: Any, file: Path, job: str
) -> None:
    assert run(str(file), "--reason", "another one").exit_code == 0
    assert len(fake.events) == 2
    assert fake.reasons[job] == "first"


def test_something_refused_is_exit_code_1(fake: Any, file: Path, job: str) -> None:
    fake.verdicts = {"2": ("refused", "invalid_field")}
    result = run(str(file), "--reason", "migration", "--json")
    assert (result.exit_code, json.loads(result.stdout)["refused"]) == (1, 1)


def test_without_waiting_metrics_is_not_asked(fake: Any, file: Path) -> None:
    assert run(str(file), "--reason", "r", "--no-wait").exit_code == 0
    assert not fake.gets


def test_a_reason_is_required(fake: Any) -> None:
    assert run("-", stdin=CONTENT).exit_code == 2
