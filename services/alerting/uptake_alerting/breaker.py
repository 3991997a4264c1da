"""The mass-breach breaker: when too many alerts of one rule are no news but a fault of the pipeline. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

WINDOW = timedelta(hours=1)  # alerts that were detected within it count as one storm
GATHERS = timedelta(minutes=1)  # so long may a storm take to arrive before anybody is told of its first alerts
LASTS = timedelta(hours=24)  # then it releases by itself
FEWEST, SHARE = 20, Fraction(1, 10)
FEWEST_OF_RULE = {"telemetry-silent": 5}  # more installations at once: the collection failed, not the customers


@dataclass(frozen=True, slots=True)
class Breaker:
    """One storm of one rule. `released_at` is null while it holds."""

    rule: str
    tripped_at: datetime
    until: datetime
    released_at: datetime | None = None

    def over_at(self) -> datetime:
        return self.until if self.released_at is None else min(self.until, self.released_at)

    def caught(self, detected_at: datetime) -> bool:
        """Of an alert of its rule: it belongs to the storm."""
        return self.tripped_at - WINDOW < detected_at < self.over_at()


@dataclass(frozen=True, slots=True)
class Held:
    """What the breakers of its rule say about one alert."""

    until: datetime | None = None  # held now, and until when
    released: bool = False  # it was held: now it is told in a digest


def may_trip(rule: str, unannounced: int) -> bool:
    """So many that the next evaluation may make a storm of them."""
    return unannounced > FEWEST_OF_RULE.get(rule, FEWEST)


def trips(rule: str, unannounced: int, subjects: int) -> bool:
    """`unannounced`: new alerts of the rule that nobody was told of; `subjects`: how many the rule knows."""
    if (fewest := FEWEST_OF_RULE.get(rule)) is not None:
        return unannounced > fewest
    return unannounced > FEWEST and unannounced > SHARE * subjects


def held(breakers: Sequence[Breaker], detected_at: datetime, announced: bool, now: datetime) -> Held:
    """`breakers` are those of the alert's rule. What was announced before the storm was seen goes on as it was."""
    if announced:
        return Held()
    caught = [b for b in breakers if b.caught(detected_at)]
    until = max((b.over_at() for b in caught if now < b.over_at()), default=None)
    return Held(until, released=bool(caught) and until is None)
