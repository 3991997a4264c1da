"""When something was heard of one teller: of every UTC day the first and the last second. Pure; no I/O, no clock.

From these two every local day of any zone is known exactly. A zone's midnight cuts a UTC day in two: before it
something was heard just when the first is before it, and after it when the last is not. So what comes every minute for
years is two numbers a day.
"""

from array import array
from bisect import bisect_left
from typing import Final

DAY_S: Final = 86_400
#: The seconds since 1970 of which there are local days; what claims to be of any other time is heard by nobody.
FIRST_S, END_S = DAY_S, 4_133_894_400  # 1970-01-02 and 2101-01-01


class Heartbeats:
    """20 bytes a UTC day. The order in which it learns, and repeats, change nothing."""

    __slots__ = ("_days", "_first", "_last")

    def __init__(self) -> None:
        self._days, self._first, self._last = array("i"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self._days)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Heartbeats):
            return NotImplemented
        return (self._days, self._first, self._last) == (other._days, other._first, other._last)

    __hash__ = None  # type: ignore[assignment]  # it changes

    @property
    def first_s(self) -> int | None:
        return self._first[0] if self._first else None

    @property
    def last_s(self) -> int | None:
        return self._last[-1] if self._last else None

    def add(self, first_s: int, last_s: int) -> None:
        """Something was heard at both seconds, which are of one UTC day."""
        if not FIRST_S <= first_s <= last_s < END_S:
            return
        day = first_s // DAY_S
        at = bisect_left(self._days, day)
        if at < len(self._days) and self._days[at] == day:
            self._first[at] = min(self._first[at], first_s)
            self._last[at] = max(self._last[at], last_s)
        else:
            self._days.insert(at, day)
            self._first.insert(at, first_s)
            self._last.insert(at, last_s)

    def newest_before(self, end_s: int) -> int | None:
        """The newest second before `end_s` as far as it is known: in its own UTC day at least, on its own local day."""
        at = bisect_left(self._days, end_s // DAY_S)
        if at < len(self._days) and self._days[at] == end_s // DAY_S:
            if self._last[at] < end_s:
                return self._last[at]
            if self._first[at] < end_s:
                return self._first[at]
        return self._last[at - 1] if at else None

    def knows(self, second: int) -> bool:
        """Whether to learn of this second would change nothing."""
        if not FIRST_S <= second < END_S:
            return True
        at = bisect_left(self._days, second // DAY_S)
        known = at < len(self._days) and self._days[at] == second // DAY_S
        return known and self._first[at] <= second <= self._last[at]
