"""The current numbers of every account, kept ready: what lists and gauges show, from the one tally. Judges nothing.

"Current" is the account's own local day, still open: `partial` is true and the day's DAU is what there is so far.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from uptake.messages.kpi import AccountKpis
from uptake_metrics.accounts import Account
from uptake_metrics.counting import Counting
from uptake_metrics.evaluation import Evaluation
from uptake_metrics.ordering import in_turns
from uptake_metrics.register import Register
from uptake_metrics.tally import Tallied, Tally
from uptake_metrics.zones import last_closed_day, local_day

_AT_A_TIME = 1_000  # accounts to ask the archive for at once, where memory cannot tell


@dataclass(frozen=True, slots=True)
class Line:
    """One account with its seats and KPIs as of its local day."""

    account: Account
    kpis: AccountKpis
    turns_at: datetime | None = None  # when silence alone may change it

    @property
    def seats(self) -> int | None:
        return self.kpis.adoption.den


class Board:
    """Follows `counting` and `register`; a line is at most one `refresh` old."""

    def __init__(
        self,
        counting: Counting,
        register: Register,
        tally: Tally,
        evaluation: Evaluation,
        clock: Callable[[], datetime],
    ) -> None:
        self._counting = counting
        self._register = register
        self._tally = tally
        self._evaluation = evaluation
        self._clock = clock
        self.lines: dict[str, Line] = {}
        self.version = 0  # rises whenever a line changes
        self.complete = False  # there is a line of every account
        self._days: dict[str, tuple[date, date]] = {}  # by zone: the open day, and the last that is closed

    async def refresh(self) -> None:
        """Bring the lines of all accounts that changed, or whose day is over, up to date."""
        waiting = self._take_touched()
        waiting |= self._in_turned_zones(waiting) | self._silent()
        changed = bool(waiting)
        try:
            for names in _parts(list(waiting)):
                for line in await self._lines(self.todays(names)):
                    self.lines[line.account.account] = line
                waiting.difference_update(names)
        finally:
            self.version += changed
            self._register.touched |= waiting  # the database failed half-way: the rest is for the next time
        self.complete = True

    def knows(self, name: str) -> bool:
        return name in self._register.accounts or self._counting.shard_of(name).contact(name) is not None

    def today(self, name: str) -> date:
        return local_day(self._clock(), self._register.zone_of(name))

    def todays(self, names: Iterable[str]) -> dict[str, date]:
        """`today` of many, at the price of their zones."""
        zones, now = {name: self._register.zone_of(name) for name in names}, self._clock()
        days = {zone: local_day(now, zone) for zone in set(zones.values())}
        return {name: days[zone] for name, zone in zones.items()}

    async def line(self, name: str, day: date) -> Line:
        """Any day of an account, computed now."""
        return (await self._lines({name: day}))[0]

    async def _lines(self, days: Mapping[str, date]) -> list[Line]:
        """A day each of some accounts."""
        told = await self._tally.on(days)
        return [self._line(name, day, told[name]) async for name, day in in_turns(days.items())]

    def _line(self, name: str, day: date, tallied: Tallied) -> Line:
        account = self._register.account(name).on(day)
        kpis, turns_at = self._evaluation.kpis(name, tallied), self._evaluation.turns_at(name, tallied)
        return Line(account, kpis, turns_at)

    async def on(self, day: date) -> list[Line]:
        """The lines of another day, of every account whose local clock has reached it."""
        lines: list[Line] = []
        for names in _parts([name for name, today in self.todays(self.lines).items() if day <= today]):
            lines += await self._lines(dict.fromkeys(names, day))
        return lines

    def _take_touched(self) -> set[str]:
        touched = self._counting.touched | self._register.touched
        self._counting.touched, self._register.touched = set(), set()
        return touched

    def _silent(self) -> set[str]:
        """Accounts whose data may have become stale since their line was made."""
        now = self._clock()
        return {name for name, line in self.lines.items() if line.turns_at and line.turns_at < now}

    def _in_turned_zones(self, waiting: set[str]) -> set[str]:
        """Accounts in whose zone a day began or closed since the last look: their numbers move without any event."""
        now = self._clock()
        zones = {line.account.time_zone for line in self.lines.values()} | {self._register.zone_of(n) for n in waiting}
        days = {zone: (local_day(now, zone), last_closed_day(now, zone)) for zone in zones}
        turned = {zone for zone, pair in days.items() if pair != self._days.get(zone, pair)}
        self._days = days
        return {name for name, line in self.lines.items() if line.account.time_zone in turned} if turned else set()


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_A_TIME] for start in range(0, len(names), _AT_A_TIME))
