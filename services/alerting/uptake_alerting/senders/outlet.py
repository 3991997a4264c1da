"""What senders connect with: the HTTP client, and whom TLS trusts. Sends nothing itself."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2

from uptake_alerting.senders import posting


@dataclass(frozen=True, slots=True)
class Outlet:
    client: httpx2.AsyncClient
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)


def new_client(tls: ssl.SSLContext | None = None) -> httpx2.AsyncClient:
    """No redirects, no proxy and no credentials from the environment, and no connection kept.

    We connect to the checked address, so a kept connection could serve another name of that address.
    """
    return httpx2.AsyncClient(
        verify=True if tls is None else tls,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(posting.SEND_S, connect=posting.CONNECT_S),
        limits=httpx2.Limits(max_connections=100, max_keepalive_connections=0),
    )


@asynccontextmanager
async def new_outlet(tls: ssl.SSLContext | None = None) -> AsyncIterator[Outlet]:
    """`tls`: other authorities than the machine's; null = those."""
    async with new_client(tls) as client:
        yield Outlet(client) if tls is None else Outlet(client, tls)
