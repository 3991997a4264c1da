"""The adoption ladders: policies as data, and the step a day stands on. It knows no account's numbers.

Source: the domain definition, "The ladder (adoption target)". Targets are exact fractions of the seats.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

from uptake_metrics.accounts import Account


@dataclass(frozen=True, slots=True)
class Band:
    """The target from day `start` of the ladder on, up to the day before the next band."""

    start: int
    target: Fraction


@dataclass(frozen=True, slots=True)
class Policy:
    """A named ladder. Day 0 is the day of the anchor, and the first band starts on it."""

    name: str
    anchor: Literal["production", "contract"]
    steps: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What holds on one day of the ladder. `pace` is the target when it is due only at the end of its band."""

    target: Fraction | None
    pace: Fraction | None
    band_end: int | None
    next_target: Fraction | None


NO_STEP = Step(None, None, None, None)

CE_2022 = Policy(
    "ce-2022",
    anchor="production",
    steps=(
        Band(0, Fraction("0.25")),
        Band(91, Fraction("0.50")),
        Band(181, Fraction("0.75")),
        Band(271, Fraction("0.75")),
    ),
)
POLICIES = {policy.name: policy for policy in (CE_2022,)}


def ladder_day(policy: Policy, account: Account, as_of: date) -> int | None:
    """`n`: local days from the anchor to `as_of`, negative before it; null without an anchor."""
    anchor = account.production_date if policy.anchor == "production" else account.contract_start
    return None if anchor is None else (as_of - anchor).days


def judge(policy: Policy, n: int | None) -> Step:
    """The step that day `n` stands on; nothing holds without an anchor and before it.

    The pace is linear between band ends, from 0 on day 0, and constant once the last band is reached.
    """
    if n is None or n < 0:
        return NO_STEP
    place = bisect_right(policy.steps, n, key=lambda band: band.start) - 1
    band = policy.steps[place]
    if place + 1 == len(policy.steps):
        return Step(band.target, band.target, None, None)
    following = policy.steps[place + 1]
    band_end = following.start - 1
    begin, reached = (band.start - 1, policy.steps[place - 1].target) if place else (0, Fraction(0))
    pace = reached + (band.target - reached) * Fraction(n - begin, band_end - begin)
    return Step(band.target, pace, band_end, following.target)
