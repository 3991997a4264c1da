"""`uptake rebuild`: asks once, follows the job to its end, and says what differed, by its exit code too."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from uptake_cli.app import main

DONE = {
    "state": "done",
    "check": False,
    "read": 6,
    "of": 6,
    "covered_from": "2026-10-10",
    "accounts": 2,
    "user_days": 900,
    "differing": 3,
    "fixed": 3,
    "counts_drifted": 0,
    "facts_differing": 1,
    "differences": [{"account": "acme/eu €", "missing": 2, "extra": 0, "first_day": "2026-11-02"}],
    "reason": None,
}
EQUAL: dict[str, Any] = {"differing": 0, "fixed": 0, "facts_differing": 0, "differences": [], "covered_from": None}


@pytest.fixture
def rebuild(fake: Any) -> Any:
    """Runs the command against a metrics that says these things one after the other."""

    def run(*words: str, says: list[dict[str, Any]]) -> Any:
        first, *later = says

        def get(path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
            assert path == "/api/v1/rebuild"
            return 200, later.pop(0)

        def post(path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
            fake.posts.append((path, json.loads(body)))
            return 202, first

        fake.get, fake.post = get, post
        return CliRunner().invoke(main, ["rebuild", *words])

    return run


def test_it_follows_the_job_and_says_what_was_put_right(rebuild: Any, fake: Any) -> None:
    running = DONE | {"state": "running", "read": 2, "fixed": 0, "differing": 0}
    done = rebuild(says=[running, running, DONE])
    assert done.exit_code == 0, done.output
    assert fake.posts == [("/api/v1/rebuild", {"check": False})]
    for words in ("acme/eu €", "2026-11-02", "from 2026-10-10 on", "1 accounts and opportunities", "put right  3"):
        assert words in done.output


@pytest.mark.parametrize(("found", "code"), [({}, 1), (EQUAL, 0)])
def test_a_check_tells_by_its_exit_code_whether_something_differs(
    rebuild: Any, fake: Any, found: dict[str, Any], code: int
) -> None:
    done = rebuild("--check", says=[DONE | {"check": True} | found])
    assert done.exit_code == code
    assert fake.posts == [("/api/v1/rebuild", {"check": True})]
    assert "it was a check" in done.output


def test_json_is_the_result_itself(rebuild: Any) -> None:
    assert json.loads(rebuild("--json", says=[DONE]).output) == DONE


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ({"state": "failed", "reason": "StreamMismatch: USAGE is another"}, "USAGE is another"),
        ({"state": "idle", "reason": None}, "started again"),
    ],
)
def test_one_that_did_not_end_is_no_success(rebuild: Any, end: dict[str, Any], says: str) -> None:
    done = rebuild(says=[DONE | {"state": "running"}, DONE | end])
    assert done.exit_code == 1
    assert says in done.output


def test_a_running_rebuild_of_the_other_kind_is_not_taken_for_ours(rebuild: Any) -> None:
    done = rebuild("--check", says=[DONE | {"state": "running"}])
    assert done.exit_code == 1
    assert "Another rebuild is running" in done.output
