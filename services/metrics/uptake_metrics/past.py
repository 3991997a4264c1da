"""What facts said at the end of a past day: every state that one day ended with, the newest with all before it.

So a past quarter is told the same for ever: a fact changes it only if it is dated into it. Pure, and knows no domain.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A state that facts lead to."""

    since: date = date.min
    """The day of its newest fact."""
    earlier: tuple[Self, ...] = ()
    """The states with which earlier days ended, oldest first, none of which has any in turn."""

    def at_end_of(self, day: date) -> Self | None:
        """The state at the end of `day`; null before the first fact."""
        if self.since <= day:
            return self
        return next((state for state in reversed(self.earlier) if state.since <= day), None)

    @classmethod
    def newest(cls, states: Iterable[Self]) -> Self | None:
        """The last of `states`, which are in the order of their days."""
        ends: list[Self] = []
        for state in states:
            if ends and ends[-1].since == state.since:
                ends.pop()
            ends.append(state)
        return replace(ends[-1], earlier=tuple(ends[:-1])) if ends else None
