"""Carries notices to their channels: claims one, sends it, records what came of it. Decides nothing about them."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime

import httpx2
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.clock import utc_now
from uptake.loops import log_failure
from uptake_alerting import outbox, wording
from uptake_alerting.outbox import Claimed
from uptake_alerting.patience import Next, Sent, after
from uptake_alerting.roster import fallback
from uptake_alerting.routes import Routes, RoutesFile
from uptake_alerting.senders import Letter, send

POLL_S, WORKERS = 0.5, 4
DRAIN_S = 5.0  # a send that is under way may finish before the process ends

log = structlog.get_logger(__name__)


class Courier:
    """`on_outcome(channel_type, outcome, reason)` counts every attempt."""

    def __init__(
        self,
        engine: AsyncEngine,
        routes: RoutesFile,
        client: httpx2.AsyncClient,
        on_outcome: Callable[[str, str, str], None],
    ) -> None:
        self._engine, self._routes, self._client, self._on_outcome = engine, routes, client, on_outcome
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; then no new delivery is claimed, and those under way get a little time."""
        workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        try:
            await asyncio.wait(workers)  # unlike gather, it leaves them running when it is cancelled
        finally:
            self._stopping.set()
            await asyncio.wait(workers, timeout=DRAIN_S)
            for worker in workers:
                worker.cancel()

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = await self.deliver_one(utc_now())
            except Exception as error:
                busy = False  # the claim's lease ends by itself, and the delivery is tried again
                log_failure("a delivery", error)
            if not busy:
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def deliver_one(self, now: datetime) -> bool:
        """False when nothing is due."""
        routes = self._routes.current()
        async with self._engine.begin() as connection:
            claimed = await outbox.claim(connection, now)
        if claimed is None:
            return False
        following = await self._attempt(claimed, routes, now)
        async with self._engine.begin() as connection:
            spare = fallback(routes.default, claimed.channel)
            await outbox.finish(connection, claimed, following, spare, routes, now)
        self._tell(claimed, following)
        return True

    async def _attempt(self, claimed: Claimed, routes: Routes, now: datetime) -> Next:
        """The last look before sending. A trigger that may have arrived is sent again, so that its end can be told."""
        if claimed.kind == "trigger" and claimed.episode_ended and not claimed.ambiguous:
            return Next("skipped", "episode_ended")
        channel = routes.channels.get(claimed.channel)
        if channel is None:
            return Next("skipped", "channel_removed")
        letter = Letter(
            claimed.id,
            claimed.kind,
            claimed.created_at,
            claimed.why,
            claimed.data,
            wording.notice(claimed.data, claimed.why),
        )
        sent: Sent = await send(self._client, channel, letter, now)
        return after(sent, claimed.attempts, claimed.created_at, now, random.random())  # noqa: S311 - spreads load

    def _tell(self, claimed: Claimed, following: Next) -> None:
        outcome = "retry" if following.status == "pending" else following.status
        self._on_outcome(claimed.channel_type, outcome, following.reason)
        level = log.info if following.status == "delivered" else log.warning
        level(
            "notice",
            delivery=claimed.id,
            episode=claimed.episode,
            kind=claimed.kind,
            channel=claimed.channel,
            outcome=outcome,
            reason=following.reason,
            attempts=claimed.attempts,
        )
