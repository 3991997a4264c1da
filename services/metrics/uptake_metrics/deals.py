"""How each opportunity ended, technically and commercially, and what that is worth a year. It adds up no quarter.

Source: the domain definition, "Trials (pre-sales)". All days are days in the vendor's zone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from uptake.messages.events import OpportunityClosed, OpportunityReopened, TrialDecided
from uptake.messages.facts import Fact
from uptake_metrics.accounts import in_order
from uptake_metrics.past import Dated
from uptake_metrics.zones import local_day


class Close(NamedTuple):
    day: date
    said: OpportunityClosed


@dataclass(frozen=True, slots=True)
class Deal(Dated):
    """The end of one opportunity, as far as it has come; of one that is open again, that it has none."""

    opportunity: str
    decided: date | None = None
    """The day of the first technical decision: a later one corrects the outcome, not the day."""
    close: Close | None = None
    """The last word on the sale; null while the opportunity is open, or open again."""

    @property
    def sale(self) -> OpportunityClosed | None:
        """What was won; null while it is not."""
        return self.close.said if self.close and self.close.said.outcome == "won" else None

    @property
    def concluded(self) -> date | None:
        """The day of the technical decision or of the close, whichever came first."""
        return min((day for day in (self.decided, self.close and self.close.day) if day), default=None)


def fold(opportunity: str, facts: Iterable[Fact], vendor_zone: str) -> Deal | None:
    """The end of `opportunity` after its facts, in any order and any number of times; null if it never had one."""
    return Deal.newest(_states(opportunity, facts, vendor_zone))


def _states(opportunity: str, facts: Iterable[Fact], vendor_zone: str) -> Iterator[Deal]:
    """After each fact that says anything of the end, from the first one on."""
    deal = Deal(opportunity)
    for fact in in_order(facts):
        day = local_day(fact.occurred_at, vendor_zone)
        match fact.event:
            case TrialDecided():
                deal = replace(deal, since=day, decided=deal.decided or day)
            case OpportunityClosed() as said:
                deal = replace(deal, since=day, close=Close(day, said))
            case OpportunityReopened() if deal.close:
                deal = replace(deal, since=day, close=None)
            case _:
                continue
        yield deal


def annual_change_cents(said: OpportunityClosed) -> int | None:
    """What recurs more, or less, a year since the close; null when it does not say enough to tell.

    New business and an expansion are new as a whole, a renewal only by its difference. Both totals are over the term
    of `years`. One-time fees are in none of it: a proof of concept is a deal of which nothing recurs. Rounded to the
    cent deal by deal (half to even), so that a quarter is exactly the sum of its deals.
    """
    before = said.previous_recurring_cents if said.kind == "renewal" else 0
    if said.kind is None or said.recurring_cents is None or before is None:
        return None
    return round(Fraction(said.recurring_cents - before, said.years))
