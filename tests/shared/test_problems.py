"""Every problem has one shape, and what is no problem of ours stays an error."""

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from uptake.problems import Problem, install


class Refused(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


async def answer_to(error: Exception) -> httpx2.Response:
    app = FastAPI()
    install(app)

    @app.get("/")
    async def ask(day: int = 0) -> None:
        raise error

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    ("error", "status", "word", "retry_after"),
    [
        (Problem(404, "unknown_account", "no such account"), 404, "unknown_account", None),
        (Problem(503, "starting", "the counts are being loaded"), 503, "starting", "1"),
        (DBAPIError("", None, Refused("57P01")), 503, "unavailable", "1"),
        (DBAPIError("", None, Refused("22021")), 400, "invalid_request", None),
        (ConnectionRefusedError(), 503, "unavailable", "1"),
        (TimeoutError(), 503, "unavailable", "1"),
        (PoolTimeoutError(), 503, "unavailable", "1"),
        (asyncpg.InterfaceError("the connection is closed"), 503, "unavailable", "1"),
    ],
)
async def test_a_problem_has_a_status_a_word_and_a_sentence(
    error: Exception, status: int, word: str, retry_after: str | None
) -> None:
    answer = await answer_to(error)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert answer.json()["error"] == word
    assert answer.json().keys() == {"error", "detail"}


@pytest.mark.parametrize("error", [ValueError("a bug"), DBAPIError("", None, Refused("42P01"))])
async def test_a_mistake_of_ours_is_no_problem_of_theirs(error: Exception) -> None:
    with pytest.raises(type(error)):
        await answer_to(error)


async def test_a_bad_parameter_is_named_in_plain_words() -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    async def ask(day: int) -> None:
        return None

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as client:
        for query, says in [("", "day: is missing"), ("?day=x", "day: must be a whole number")]:
            answer = await client.get(f"/{query}")
            assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request", "detail": says})
