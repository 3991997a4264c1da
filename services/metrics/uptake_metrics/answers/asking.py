"""What every answer over HTTP starts from: what the service knows, and whether what is asked for exists."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated

from fastapi import Query
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.problems import Problem
from uptake_metrics.board import Board, Line
from uptake_metrics.counting import Counting, newest_day
from uptake_metrics.evaluation import Evaluation
from uptake_metrics.register import Register
from uptake_metrics.sales import Sales
from uptake_metrics.tally import Tally
from uptake_metrics.zones import to_day

FIRST_DAY = date(1970, 3, 1)  # of which every window lies in the days that are counted

AsOf = Annotated[date | None, Query(description="a local day of the account; default: today, still open")]


class Asking:
    """Shared by all routers of `uptake_metrics.answers`."""

    def __init__(
        self,
        engine: AsyncEngine,
        counting: Counting,
        register: Register,
        tally: Tally,
        board: Board,
        evaluation: Evaluation,
        vendor_zone: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.engine = engine
        self.counting = counting
        self.register = register
        self.tally = tally
        self.board = board
        self.evaluation = evaluation
        self.vendor_zone = vendor_zone
        self.clock = clock
        self.sales = Sales(register, vendor_zone, clock)

    def require(self, account: str) -> None:
        """Raises `Problem` of an unknown account."""
        if not self.board.knows(account):
            raise Problem(404, "unknown_account", f"no usage and no fact of account {account!r} has arrived")

    def day(self, account: str, as_of: date | None) -> date:
        """`as_of`, else the account's own today. Raises `Problem` of an unknown account, or a day out of range."""
        self.require(account)
        today = self.board.today(account)
        return today if as_of is None else in_range(as_of, today)

    async def lines(self, as_of: date | None) -> list[Line]:
        """Every account on its own today, or on another day."""
        if as_of is None:
            return list(self.board.lines.values())
        return await self.board.on(in_range(as_of, to_day(newest_day(self.clock()))))


def in_range(day: date, today: date) -> date:
    if not FIRST_DAY <= day <= today:
        raise Problem(400, "invalid_day", f"the newest day is {today}: ask for a day from {FIRST_DAY} to then")
    return day
