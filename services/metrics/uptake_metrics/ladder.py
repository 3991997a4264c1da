"""The step of an adoption ladder that a day stands on, and the pace. It knows no account's numbers.

Source: the domain definition, "The ladder (adoption target)". Targets are exact fractions of the seats.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from uptake_metrics.accounts import Account
from uptake_metrics.policies import Ladder


@dataclass(frozen=True, slots=True)
class Step:
    """What holds on one day of the ladder. `pace` is the target when it is due only at the end of its band."""

    target: Fraction | None
    pace: Fraction | None
    band_end: int | None
    next_target: Fraction | None


NO_STEP = Step(None, None, None, None)


def anchor_day(ladder: Ladder, account: Account) -> date | None:
    """Day 0 of the ladder."""
    return account.production_date if ladder.anchor == "production" else account.contract_start


def ladder_day(ladder: Ladder, account: Account, as_of: date) -> int | None:
    """`n`: local days from the anchor to `as_of`, negative before it; null without an anchor."""
    anchor = anchor_day(ladder, account)
    return None if anchor is None else (as_of - anchor).days


def judge(ladder: Ladder, n: int | None) -> Step:
    """The step that day `n` stands on. Nothing holds without an anchor and before it; before the first step no target.

    The pace is linear between band ends, and constant once the last band is reached. It starts from 0 on day 0, or on
    the last day before the first step.
    """
    if n is None or n < 0:
        return NO_STEP
    place = bisect_right(ladder.steps, n, key=lambda band: band.day) - 1
    following = ladder.steps[place + 1] if place + 1 < len(ladder.steps) else None
    if place < 0 and following:
        return Step(None, None, following.day - 1, following.target)
    band = ladder.steps[place]
    if following is None:
        return Step(band.target, band.target, None, None)
    band_end = following.day - 1
    reached = ladder.steps[place - 1].target if place else Fraction(0)
    begin = max(0, band.day - 1)
    passed = Fraction(n - begin, band_end - begin) if band_end > begin else 1  # a band that is day 0 alone
    pace = reached + (band.target - reached) * passed
    return Step(band.target, pace, band_end, following.target)
