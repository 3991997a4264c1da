"""One POST to an address that somebody configured: bounded in time and size, no redirects, no private targets."""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx2

from uptake_alerting.patience import Sent, judge
from uptake_alerting.senders.target import is_public

CONNECT_S, SEND_S = 5.0, 15.0
MAX_BODY_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    headers: dict[str, str]
    body: bytes
    max_bytes: int = MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is null when it is too large to be read."""

    status: int
    retry_after: str | None
    body: bytes | None = None


class PrivateTarget(Exception):
    """The name leads to an address inside, where a customer-facing hook has no business."""


async def post(client: httpx2.AsyncClient, request: Request, *, allow_private: bool) -> Sent:
    """Resolve, check, connect to what was checked. The answer's body is never read."""
    answer = await exchange(client, request, allow_private=allow_private, read=False)
    return answer if isinstance(answer, Sent) else judge(answer.status, answer.retry_after, datetime.now(UTC))


async def exchange(client: httpx2.AsyncClient, request: Request, *, allow_private: bool, read: bool) -> Answer | Sent:
    """What the other side said, or what it means that it said nothing."""
    if len(request.body) > request.max_bytes:
        return Sent("failed", "too_large")
    try:
        url = httpx2.URL(request.url)
    except httpx2.InvalidURL:
        return Sent("failed", "bad_url")
    if url.scheme not in ("http", "https") or not url.host:
        return Sent("failed", "bad_url")
    try:
        async with asyncio.timeout(SEND_S):
            return await _exchange_with_first(client, url, request, allow_private, read)
    except PrivateTarget:
        return Sent("failed", "private_address")
    except (httpx2.ConnectError, httpx2.ConnectTimeout, OSError) as error:
        if isinstance(error, TimeoutError):
            return Sent("retry", "timeout", ambiguous=True)  # ours, over everything: the request may be out
        return Sent("retry", "tls" if _is_tls(error) else "network")  # never connected, or no such name
    except httpx2.TimeoutException:
        return Sent("retry", "timeout", ambiguous=True)
    except httpx2.HTTPError:
        return Sent("retry", "network", ambiguous=True)


async def addresses(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Where a name leads. Raises PrivateTarget if one of them is not of the open internet, OSError if there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    known = list(dict.fromkeys(str(item[4][0]) for item in found))
    if not allow_private and not all(map(is_public, known)):
        raise PrivateTarget
    return known


async def _exchange_with_first(
    client: httpx2.AsyncClient, url: httpx2.URL, request: Request, allow_private: bool, read: bool
) -> Answer:
    known = await addresses(url.host, url.port or (443 if url.scheme == "https" else 80), allow_private=allow_private)
    for address in known[:-1]:
        try:
            return await _exchange(client, url, address, request, read)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue  # such as IPv6 where only IPv4 leads out
    return await _exchange(client, url, known[-1], request, read)


async def _exchange(client: httpx2.AsyncClient, url: httpx2.URL, address: str, request: Request, read: bool) -> Answer:
    headers = {**request.headers, "Host": url.netloc.decode(), "Accept-Encoding": "identity"}
    extensions = {"sni_hostname": url.host} if url.scheme == "https" else {}
    async with client.stream(
        "POST", url.copy_with(host=address), content=request.body, headers=headers, extensions=extensions
    ) as response:
        body = await _bounded(response) if read else None
        return Answer(response.status_code, response.headers.get("retry-after"), body)


def _is_tls(error: BaseException) -> bool:
    """Whether it is, or comes from, a failed handshake."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


async def _bounded(response: httpx2.Response) -> bytes | None:
    parts, size = [], 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)
