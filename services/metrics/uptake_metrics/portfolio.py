"""Adoption over many accounts: the mean of their ratios and the pooled ratio, never one for the other. It does no I/O.

Source: the domain definition, "Beyond the handbook". Accounts whose adoption is unknown are counted, and left out of
both. All sums are of exact fractions; rounding is for the reader only.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

from uptake.messages.fields import Message
from uptake.messages.kpi import AdoptionKpi
from uptake_metrics.accounts import Account
from uptake_metrics.kpis import rounded

Status = Literal["on_target", "off_target", "ramping", "not_started", "unknown"]


class PooledKpi(Message):
    """Active users of all known accounts together, over their seats together: a large account weighs more."""

    num: int
    den: int
    value: float | None
    reason: Literal["no_known_account"] | None


class PortfolioKpis(Message):
    """`GET /api/v1/portfolio`. `known` of `accounts` have an adoption; `by_status` counts all of them.

    `mean_ratio` is the mean of the known accounts' adoptions: each weighs the same.
    """

    accounts: int
    known: int
    mean_ratio: float | None
    pooled: PooledKpi
    by_status: dict[Status, int]
    reason: Literal["no_known_account"] | None


class Member(NamedTuple):
    """One account and its adoption on the day asked for."""

    account: Account
    adoption: AdoptionKpi


@dataclass(frozen=True, slots=True)
class Choice:
    """Which accounts are meant: those that have every value that is given."""

    owner: str | None = None
    region: str | None = None
    segment: str | None = None
    status: Status | None = None

    def covers(self, member: Member) -> bool:
        account = member.account
        asked = (self.owner, self.region, self.segment, self.status)
        has = (account.owner, account.region, account.segment, member.adoption.status)
        return all(want is None or want == value for want, value in zip(asked, has, strict=True))


def portfolio_kpis(members: Iterable[Member], choice: Choice) -> PortfolioKpis:
    """Both ratios over the accounts that `choice` covers."""
    chosen = [member.adoption for member in members if choice.covers(member)]
    known = [(one.num, one.den) for one in chosen if one.value is not None and one.num is not None and one.den]
    statuses = Counter(one.status for one in chosen)
    num, den = sum(num for num, _ in known), sum(den for _, den in known)
    reason: Literal["no_known_account"] | None = None if known else "no_known_account"
    return PortfolioKpis(
        accounts=len(chosen),
        known=len(known),
        mean_ratio=rounded(_mean(known)) if known else None,
        pooled=PooledKpi(num=num, den=den, value=rounded(Fraction(num, den)) if known else None, reason=reason),
        by_status={status: statuses[status] for status in get_args(Status)},
        reason=reason,
    )


def _mean(ratios: Sequence[tuple[int, int]]) -> Fraction:
    """Exact over one common denominator: adding reduced fractions one by one takes minutes for 20,000 accounts."""
    common = math.lcm(*(den for _, den in ratios))
    return Fraction(sum(num * (common // den) for num, den in ratios), common * len(ratios))
