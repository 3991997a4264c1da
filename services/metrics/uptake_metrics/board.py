"""The current numbers of every account, kept ready: what lists and gauges show, from the one tally. Judges nothing.

"Current" is the account's own local day, still open: `partial` is true and the day's DAU is what there is so far.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from uptake.messages.kpi import AccountKpis
from uptake_metrics import seats
from uptake_metrics.accounts import Account
from uptake_metrics.counting import Counting
from uptake_metrics.kpis import account_kpis
from uptake_metrics.register import Register
from uptake_metrics.tally import Tally
from uptake_metrics.zones import last_closed_day, local_day

_AT_A_TIME = 50  # accounts between two turns of the event loop: about 10 ms


@dataclass(frozen=True, slots=True)
class Line:
    """One account with its seats and KPIs as of its local day."""

    account: Account
    seats: int | None
    kpis: AccountKpis


class Board:
    """Follows `counting` and `register`; a line is at most one `refresh` old."""

    def __init__(self, counting: Counting, register: Register, tally: Tally, clock: Callable[[], datetime]) -> None:
        self._counting = counting
        self._register = register
        self._tally = tally
        self._clock = clock
        self.lines: dict[str, Line] = {}
        self.version = 0  # rises whenever a line changes
        self.complete = False  # there is a line of every account
        self._days: dict[str, tuple[date, date]] = {}  # by zone: the open day, and the last that is closed

    async def refresh(self) -> None:
        """Bring the lines of all accounts that changed, or whose day is over, up to date."""
        waiting = self._take_touched()
        waiting |= self._in_turned_zones(waiting)
        changed = bool(waiting)
        try:
            for number, name in enumerate(list(waiting), 1):
                self.lines[name] = await self.line(name, self.today(name))
                waiting.discard(name)
                if number % _AT_A_TIME == 0:
                    await asyncio.sleep(0)
        finally:
            self.version += changed
            self._register.touched |= waiting  # the database failed half-way: the rest is for the next time
        self.complete = True

    def knows(self, name: str) -> bool:
        return name in self._register.accounts or self._counting.shard_of(name).contact(name) is not None

    def today(self, name: str) -> date:
        return local_day(self._clock(), self._register.zone_of(name))

    async def line(self, name: str, day: date) -> Line:
        """Any day of an account, computed now."""
        tallied = self._tally.now(name, day) or (await self._tally.days(name, day, day))[0]
        account = self._register.account(name)
        kpis = account_kpis(account, day, tallied.counts, tallied.last_contact, self._clock(), 0)
        return Line(account, seats.seats(account, day).count, kpis)

    async def on(self, day: date) -> list[Line]:
        """The lines of another day, of every account whose local clock has reached it."""
        lines = []
        for number, name in enumerate(list(self.lines), 1):
            if day <= self.today(name):
                lines.append(await self.line(name, day))
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return lines

    def _take_touched(self) -> set[str]:
        touched = self._counting.touched | self._register.touched
        self._counting.touched, self._register.touched = set(), set()
        return touched

    def _in_turned_zones(self, waiting: set[str]) -> set[str]:
        """Accounts in whose zone a day began or closed since the last look: their numbers move without any event."""
        now = self._clock()
        zones = {line.account.time_zone for line in self.lines.values()} | {self._register.zone_of(n) for n in waiting}
        days = {zone: (local_day(now, zone), last_closed_day(now, zone)) for zone in zones}
        turned = {zone for zone, pair in days.items() if pair != self._days.get(zone, pair)}
        self._days = days
        return {name for name, line in self.lines.items() if line.account.time_zone in turned} if turned else set()
