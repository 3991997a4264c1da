"""What must have been counted: plain sets of what producers sent and what was acknowledged to them. Asks nobody."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Act:
    """One user used one feature of one account on one day."""

    account: str
    feature: str
    user: str
    day: date


@dataclass(slots=True)
class Model:
    """Accounts belong to one producer each, so what one of them knows decides about every user-day of its own."""

    sent: set[Act] = field(default_factory=set)  # may be counted
    acknowledged: set[Act] = field(default_factory=set)  # must be counted
    events: Counter[str] = field(default_factory=Counter)  # acknowledged, by account; the same one twice is two
    failures: int = 0  # deliveries that were not acknowledged
    given_up: int = 0  # of those, how many were never tried again

    def send(self, acts: Iterable[Act]) -> None:
        self.sent.update(acts)

    def acknowledge(self, acts: Iterable[Act], times: int = 1) -> None:
        for act in acts:
            self.acknowledged.add(act)
            self.events[act.account] += times

    def accounts(self) -> list[str]:
        return sorted({act.account for act in self.sent})

    def days(self) -> list[date]:
        return sorted({act.day for act in self.sent})


Days = dict[tuple[str, date], set[str]]
Months = dict[tuple[str, str], set[str]]


def by_day(acts: Iterable[Act]) -> Days:
    """The users of each account and day."""
    found: Days = defaultdict(set)
    for act in acts:
        found[act.account, act.day].add(act.user)
    return found


def by_month(acts: Iterable[Act], last: date) -> Months:
    """The users of each account and feature in the thirty days until `last`."""
    found: Months = defaultdict(set)
    for act in acts:
        if last - timedelta(29) <= act.day <= last:
            found[act.account, act.feature].add(act.user)
    return found
