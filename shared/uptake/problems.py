"""What a service says over HTTP when it has no answer: a status and `{"error", "detail"}`. Knows no service's answers.

`error` is a bounded word for programs, `detail` a sentence for people.
"""

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from uptake.complaints import in_plain_words
from uptake.database import is_data_error, is_unavailable

_RETRY_AFTER_S = 1


class Problem(Exception):
    """Raised by a handler that has no answer."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail = status, error, detail

    def answer(self) -> Response:
        headers = {"Retry-After": str(_RETRY_AFTER_S)} if self.status == 503 else None
        return JSONResponse({"error": self.error, "detail": self.detail}, self.status, headers)


def install(app: FastAPI) -> None:
    """Gives every problem of `app` the one shape: its own, an unknown path, bad parameters, an absent database."""

    @app.exception_handler(Problem)
    async def own(request: Request, error: Problem) -> Response:
        return error.answer()

    @app.exception_handler(HTTPException)
    async def no_such_door(request: Request, error: HTTPException) -> Response:
        body = {"error": "not_found" if error.status_code == 404 else "not_allowed", "detail": error.detail}
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        detail = "; ".join(f"{item['loc'][-1]}: {in_plain_words(item)}" for item in error.errors())
        return Problem(400, "invalid_request", detail).answer()

    @app.exception_handler(DBAPIError)
    @app.exception_handler(PoolTimeoutError)
    @app.exception_handler(asyncpg.InterfaceError)
    @app.exception_handler(OSError)
    async def of_the_database(request: Request, error: Exception) -> Response:
        if is_data_error(error):  # such as a NUL character in an id
            return Problem(400, "invalid_request", "a value cannot be stored").answer()
        if not is_unavailable(error):
            raise error
        return Problem(503, "unavailable", "the database does not answer; see /readyz").answer()
