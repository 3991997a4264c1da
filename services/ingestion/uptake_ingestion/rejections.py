"""Why a whole HTTP request was turned away, as the JSON that says so. Single items are refused elsewhere."""

from typing import Any

import msgspec
from starlette.responses import Response


class Rejected(Exception):
    def __init__(self, status: int, error: str, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail, self.retry_after_s = status, error, detail, retry_after_s


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def answer_of(rejected: Rejected) -> Response:
    headers = {} if rejected.retry_after_s is None else {"retry-after": str(rejected.retry_after_s)}
    if rejected.status == 401:
        headers["www-authenticate"] = "Bearer"
    return answer({"error": rejected.error, "detail": rejected.detail}, rejected.status, headers)
