"""Carries notices to their channels: claims a letter of them, sends it, records what came of it. Decides no more."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import stamina
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.loops import is_cancelled, log_failure
from uptake.messages.alerts import AlertData
from uptake_alerting import claims, server_clock, wording
from uptake_alerting.channels import UNREADABLE, Channel
from uptake_alerting.claims import Claimed
from uptake_alerting.links import NO_LINKS, Links
from uptake_alerting.notices import Addressee
from uptake_alerting.patience import Next, Sent, after
from uptake_alerting.routes import Routes, RoutesFile
from uptake_alerting.senders import Letter, Outlet, send
from uptake_alerting.threads import OPENERS
from uptake_alerting.wording import Notice

POLL_S = 0.5
AT_ONCE, PER_CHANNEL = 32, 4  # a channel that hangs holds back itself, and only so many of them all others
RECORDINGS, RECORD_S = 5, 10.0  # how often an outcome is written down at most, and for how long; the lease is longer
DRAIN_S = 5.0  # a send that is under way may finish before the process ends

log = structlog.get_logger(__name__)


class Courier:
    """`on_outcome(channel_type, outcome, reason)` counts every attempt; `person` finds somebody of the roster."""

    def __init__(
        self,
        engine: AsyncEngine,
        routes: RoutesFile,
        outlet: Outlet,
        on_outcome: Callable[[str, str, str], None],
        person: Callable[[str], Addressee | None] = lambda name: None,
        links: Links = NO_LINKS,
    ) -> None:
        self._engine, self._routes, self._outlet = engine, routes, outlet
        self._on_outcome, self._person, self._links = on_outcome, person, links
        self._under_way: Counter[str] = Counter()  # by channel
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; then no new delivery is claimed, and those under way get a little time."""
        try:
            while not is_cancelled():
                if not await self._start_one():
                    await self._wait()
            raise asyncio.CancelledError
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=DRAIN_S)
            for task in self._tasks:
                task.cancel()

    async def deliver_one(self, now: datetime) -> bool:
        """False when nothing is due."""
        claimed = await self._claim(now)
        if not claimed:
            return False
        await self._deliver(claimed, now)
        return True

    async def _start_one(self) -> bool:
        """False when there is nothing to start now."""
        if len(self._tasks) >= AT_ONCE:
            return False
        try:
            claimed = await self._claim(await server_clock.ask(self._engine))
        except Exception as error:
            log_failure("a delivery", error)
            return False
        if not claimed:
            return False
        self._under_way[claimed[0].channel] += 1
        task = asyncio.create_task(self._carry(claimed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _carry(self, claimed: Sequence[Claimed]) -> None:
        try:
            await self._deliver(claimed, await server_clock.ask(self._engine))
        except Exception as error:
            log_failure("a delivery", error)  # the claim's lease ends by itself, and the delivery is tried again
        finally:
            self._under_way[claimed[0].channel] -= 1
            self._freed.set()

    async def _wait(self) -> None:
        self._freed.clear()
        try:
            async with asyncio.timeout(POLL_S):
                await self._freed.wait()
        except TimeoutError:
            pass

    async def _claim(self, now: datetime) -> Sequence[Claimed]:
        busy = [channel for channel, count in self._under_way.items() if count >= PER_CHANNEL]
        async with self._engine.begin() as connection:
            return await claims.claim(connection, now, busy)

    async def _deliver(self, claimed: Sequence[Claimed], now: datetime) -> None:
        """Each takes its last look, and its words, alone; what is left of the letter has one outcome."""
        routes = self._routes.current()
        found = [(one, self._page(one, routes)) for one in claimed]
        pages = [page for _, page in found if isinstance(page, _Page)]
        sent = await self._attempt(pages, routes, now) if pages else None
        for one, page in found:
            following = page if isinstance(page, Next) else sent
            if following is not None:
                await self._finish(one, following, now)

    def _page(self, claimed: Claimed, routes: Routes) -> "_Page | Next":
        """The last look before sending. What is skipped is planned anew."""
        channel = routes.channels.get(claimed.channel)
        if channel is None:
            return Next("skipped", "channel_removed")
        if (reason := _outdated(claimed, channel, self._addressee(claimed))) is not None:
            return Next("skipped", reason)
        try:
            return _page(claimed, self._links)
        except Exception as error:  # of a template: it stops this notice, and no other
            log.error("a notice has no words", delivery=claimed.id, error=type(error).__name__)
            return Next("failed", "broken")

    def _addressee(self, claimed: Claimed) -> Addressee | None:
        return self._person(claimed.person) if claimed.person is not None else None

    async def _attempt(self, pages: Sequence["_Page"], routes: Routes, now: datetime) -> Next:
        first = pages[0].claimed
        letter = _letter(pages, self._addressee(first))
        sent: Sent = await send(self._outlet, routes.channels[first.channel], letter, now)
        created_at = max(page.claimed.created_at for page in pages)  # what is older is tried as long as the newest
        return after(sent, first.attempts, created_at, now, random.random())  # noqa: S311 - spreads load

    async def _finish(self, claimed: Claimed, following: Next, now: datetime) -> None:
        """What came of it is known, and must not be lost to a passing trouble: it would be sent again."""
        async for attempt in stamina.retry_context(on=DBAPIError, attempts=RECORDINGS, timeout=RECORD_S):
            with attempt:
                async with self._engine.begin() as connection:
                    await claims.finish(connection, claimed, following, now)
        self._tell(claimed, following)

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


def _outdated(claimed: Claimed, channel: Channel, person: Addressee | None) -> str | None:
    """Why it must not go out any more. What may have opened a thread is made sure of, and the end goes to all who know.

    A secret that cannot be read names no destination: the sender says so.
    """
    unsure = claimed.ambiguous and claimed.kind in OPENERS
    if claimed.kind == "terminal" or unsure:
        return None
    if claimed.episode_ended:
        return "episode_ended"
    if person is not None and not person.active:
        return "recipient_left"
    moved = channel.destination(person) not in (claimed.destination, UNREADABLE)
    return "destination_changed" if moved and claimed.thread is None else None


class _Page(NamedTuple):
    """What one notice puts into a letter."""

    claimed: Claimed
    data: AlertData | None
    notice: Notice
    items: tuple[AlertData, ...] = ()


def _page(claimed: Claimed, links: Links) -> _Page:
    """A digest is told as what it carries is now. Another notice without an event brings its own words."""
    if claimed.items:
        items = [links.added_to(one) for one in claimed.items]
        return _Page(claimed, None, wording.digest(items, claimed.person, "Alerts"), tuple(items))
    if claimed.data is None:
        content = claimed.content or {}
        return _Page(claimed, None, Notice(str(content["headline"]), tuple(map(str, content["lines"]))))
    data = links.added_to(claimed.data)
    return _Page(claimed, data, wording.notice(data, claimed.why, claimed.kind))


def _letter(pages: Sequence[_Page], person: Addressee | None) -> Letter:
    """Of several, each says in full what it would have said alone, below one head line."""
    (first, data, notice, items), alone = pages[0], len(pages) == 1
    notices = tuple(page.notice for page in pages)
    return Letter(
        delivery=first.letter,
        kind=first.kind,
        sequence=first.sequence,
        created_at=first.created_at,
        why=first.why,
        person=person,
        destination=first.destination,
        thread=first.thread,
        data=data if alone else None,
        notice=notice if alone else wording.cover(notices, first.person),
        parts=() if alone else notices,
        items=items if alone else tuple(page.data for page in pages if page.data is not None),
        attempts=first.attempts,
        ambiguous=any(page.claimed.ambiguous for page in pages),
        ended=first.episode_ended and first.kind != "terminal",
    )
