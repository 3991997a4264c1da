"""One POST to an address that somebody configured: bounded in time and size, no redirects, no private targets."""

import asyncio
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import httpx2

from uptake.messages.alerts import AlertData
from uptake_alerting.patience import Sent, judge
from uptake_alerting.senders.target import is_public
from uptake_alerting.wording import Notice

CONNECT_S, SEND_S = 5.0, 15.0
MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """What a channel's form is made of. `delivery` is for ever the same for one notice to one destination."""

    delivery: str
    kind: Literal["trigger", "terminal"]
    created_at: datetime
    why: str
    data: AlertData
    notice: Notice


@dataclass(frozen=True, slots=True)
class Request:
    url: str
    headers: dict[str, str]
    body: bytes


class _PrivateTarget(Exception):
    """The name leads to an address inside, where a customer-facing hook has no business."""


def new_client() -> httpx2.AsyncClient:
    """No redirects, no proxy and no credentials from the environment, and no connection kept.

    We connect to the checked address, so a kept connection could serve another name of that address.
    """
    return httpx2.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(SEND_S, connect=CONNECT_S),
        limits=httpx2.Limits(max_connections=50, max_keepalive_connections=0),
    )


async def post(client: httpx2.AsyncClient, request: Request, *, allow_private: bool) -> Sent:
    """Resolve, check, connect to what was checked. The answer's body is never read."""
    if len(request.body) > MAX_BODY_BYTES:
        return Sent("failed", "too_large")
    try:
        url = httpx2.URL(request.url)
    except httpx2.InvalidURL:
        return Sent("failed", "bad_url")
    if url.scheme not in ("http", "https") or not url.host:
        return Sent("failed", "bad_url")
    try:
        async with asyncio.timeout(SEND_S):
            return await _post_to_first(client, url, request, allow_private)
    except _PrivateTarget:
        return Sent("failed", "private_address")
    except (httpx2.ConnectError, httpx2.ConnectTimeout, OSError) as error:
        if isinstance(error, TimeoutError):
            return Sent("retry", "timeout", ambiguous=True)  # ours, over everything: the request may be out
        return Sent("retry", "network")  # never connected, or the name does not resolve
    except httpx2.TimeoutException:
        return Sent("retry", "timeout", ambiguous=True)
    except httpx2.HTTPError:
        return Sent("retry", "network", ambiguous=True)


async def _post_to_first(client: httpx2.AsyncClient, url: httpx2.URL, request: Request, allow_private: bool) -> Sent:
    addresses = await _addresses(url)
    if not allow_private and not all(map(is_public, addresses)):
        raise _PrivateTarget
    for address in addresses[:-1]:
        try:
            return await _exchange(client, url, address, request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            continue  # such as IPv6 where only IPv4 leads out
    return await _exchange(client, url, addresses[-1], request)


async def _addresses(url: httpx2.URL) -> list[str]:
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


async def _exchange(client: httpx2.AsyncClient, url: httpx2.URL, address: str, request: Request) -> Sent:
    headers = {**request.headers, "Host": url.netloc.decode(), "Accept-Encoding": "identity"}
    extensions = {"sni_hostname": url.host} if url.scheme == "https" else {}
    async with client.stream(
        "POST", url.copy_with(host=address), content=request.body, headers=headers, extensions=extensions
    ) as response:
        return judge(response.status_code, response.headers.get("retry-after"), datetime.now(UTC))
