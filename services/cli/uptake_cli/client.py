"""Talks HTTP to one running Uptake and turns what goes wrong into a line that says what to do. Prints nothing."""

import asyncio
import difflib
import json
from collections.abc import AsyncIterator
from typing import Any, Self
from urllib.parse import quote

import httpx2

from uptake_cli.instance import Instance, Service
from uptake_cli.problems import Refused, Unreachable, WrongUsage

PATIENCE_S = 120.0  # how long overload or a restarting service is waited for, all in all, before giving up
LONGEST_WAIT_S = 15.0
#: By the service's own names: the question makes no sense, whatever is stored.
_WRONG_USAGE = {"invalid_request", "invalid_day", "invalid_range", "invalid_query", "unknown_use_case"}
_TIMEOUT_S = httpx2.Timeout(30.0, connect=3.0)


class Client:
    """Every answer comes back as text, since `--json` prints it unchanged."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._http = httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False)  # a proxy has no business on loopback
        self._answered = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, service: Service, *path: str, **params: str | None) -> str:
        """GET; a path part may hold any character. 404 and other refusals become `Refused` with the service's words."""
        given = {name: value for name, value in params.items() if value is not None}
        return await self._ask("GET", service, path, params=given)

    async def lines(self, service: Service, *path: str, **params: str) -> AsyncIterator[str]:
        """GET an answer that may be larger than memory, line by line."""
        try:
            async with self._http.stream("GET", self._url(service, path), params=params) as answer:
                if not answer.is_success:
                    await answer.aread()
                    _ready(answer, service)
                async for line in answer.aiter_lines():
                    yield line
        except httpx2.TransportError as error:
            raise self._unreachable(service, error) from None

    async def tell(self, service: Service, *path: str, **body: Any) -> str:
        """POST something that a service is to do; never twice, since not everything may be done twice."""
        return await self._ask("POST", service, path, json=body)

    async def submit(self, service: Service, *path: str, content: bytes, **params: str | None) -> str:
        """POST a file that a service is only to look at."""
        given = {name: value for name, value in params.items() if value is not None}
        return await self._ask("POST", service, path, content=content, params=given)

    async def _ask(self, method: str, service: Service, path: tuple[str, ...], **content: Any) -> str:
        try:
            answer = await self._http.request(method, self._url(service, path), **content)
        except httpx2.TransportError as error:
            raise self._unreachable(service, error) from None
        return _ready(answer, service)

    def _url(self, service: Service, path: tuple[str, ...]) -> str:
        return "/".join([self.instance.url(service), *(quote(part, safe="") for part in path)])

    async def account(self, account: str, *what: str, **params: str | None) -> str:
        """GET something of one account; an unknown one is answered with the names that come close."""
        return await self.about(account, "accounts", account, *what, **params)

    async def about(self, account: str, /, *what: str, **params: str | None) -> str:
        """GET something of metrics that is asked for one account."""
        try:
            return await self.get("metrics", "api", "v1", *what, **params)
        except NotFound as missing:
            known = [row["account"] for row in json.loads(await self.get("metrics", "api", "v1", "accounts"))]
            if account in known:
                raise
            raise Refused(_unknown_account(account, known)) from missing

    async def post(self, path: str, body: bytes, headers: dict[str, str], **params: str | None) -> Any:
        """POST to ingestion with the producer key. Waits out 429, 503 and a restart: repeating an event is safe."""
        url = f"{self.instance.url('ingestion')}{path}"
        headers = {**headers, "Authorization": f"Bearer {self.instance.key()}"}
        given = {name: value for name, value in params.items() if value is not None}
        waited_s, attempt = 0.0, 0
        while True:
            answer = await self._attempt(url, body, headers, given)
            if answer is not None and answer.status_code not in (429, 503):
                return json.loads(_accepted(answer, "ingestion"))
            delay_s = _delay_s(answer, attempt)
            waited_s, attempt = waited_s + max(delay_s, 0.05), attempt + 1
            if waited_s > PATIENCE_S:
                why = _words(answer) if answer is not None else "no answer"
                raise Unreachable(f"ingestion is still not taking events after {PATIENCE_S:.0f} s: {why}.")
            await asyncio.sleep(delay_s)

    async def _attempt(
        self, url: str, body: bytes, headers: dict[str, str], params: dict[str, str]
    ) -> httpx2.Response | None:
        """None when a service that answered before does not answer now."""
        try:
            answer = await self._http.post(url, content=body, headers=headers, params=params)
        except httpx2.TransportError as error:
            if not self._answered:
                raise self._unreachable("ingestion", error) from None
            return None
        self._answered = True
        return answer

    def _unreachable(self, service: Service, error: Exception) -> Unreachable:
        said = str(error) or type(error).__name__
        where = self.instance.url(service)
        return Unreachable(f"{service} does not answer at {where} ({said}). Is it running? Start it with `./dev up`.")


class NotFound(Refused):
    """The service knows no such thing."""


def _ready(answer: httpx2.Response, service: Service) -> str:
    if answer.status_code == 503:
        raise Unreachable(f"{service} is not ready yet: {_words(answer)}. Try again in a moment.")
    return _accepted(answer, service)


def _accepted(answer: httpx2.Response, service: Service) -> str:
    if answer.is_success:
        return answer.text
    words = _words(answer)
    if answer.status_code in (401, 403):
        raise Refused(
            f"{service} does not accept the producer key: {words}. The key of an instance is DIR/producer.key."
        )
    if answer.status_code == 404:
        raise NotFound(words)
    if _code(answer) in _WRONG_USAGE:
        raise WrongUsage(words)
    raise Refused(f"{service} refused ({answer.status_code}): {words}", _code(answer))


def _words(answer: httpx2.Response) -> str:
    """The reason in the body, whatever of the usual fields it stands in."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text.strip()[:500] or answer.reason_phrase
    if isinstance(body, dict):
        for field in ("detail", "reason", "error", "message"):
            if body.get(field):
                return str(body[field])
    return json.dumps(body)[:500]


def _code(answer: httpx2.Response) -> str | None:
    """The refusal's name for programs, where the service gives one."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return None


def _delay_s(answer: httpx2.Response | None, attempt: int) -> float:
    asked = answer.headers.get("Retry-After", "") if answer is not None else ""
    if asked.isascii() and asked.isdigit():
        return min(float(asked), LONGEST_WAIT_S)
    return min(0.25 * 2.0**attempt, LONGEST_WAIT_S)


def _unknown_account(account: str, known: list[str]) -> str:
    close = difflib.get_close_matches(account, known, n=3, cutoff=0.5)
    if close:
        return f"No account {account!r}. Did you mean {', '.join(close)}?"
    return f"No account {account!r}. `uptake accounts` lists the {len(known)} there are."
