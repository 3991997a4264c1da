"""Adoption over many accounts: the mean of their ratios and the pooled ratio, never one for the other. It does no I/O.

Source: the domain definition, "Beyond the handbook". Accounts whose adoption is unknown are counted, and left out of
both. All sums are of exact fractions; rounding is for the reader only.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import reduce
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

from uptake.messages.fields import Message
from uptake.messages.kpi import AccountKpis, AdoptionKpi, DataHealth
from uptake_metrics.accounts import Account
from uptake_metrics.kpis import rounded
from uptake_metrics.lifecycle import Lifecycle

Status = Literal["on_target", "off_target", "ramping", "not_started", "unknown"]
Habit = Literal["healthy", "concerning", "poor", "unknown"]


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
    """One account and its numbers on the day asked for."""

    account: Account
    kpis: AccountKpis
    lifecycle: Lifecycle


class Choice(BaseModel):
    """Which accounts are meant: those that have every value that is given. A misspelt one is refused, not ignored.

    `status` is that of the adoption, `usage` that of the habit; `q` is part of the id or of the name, in any case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str | None = None
    region: str | None = None
    segment: str | None = None
    lifecycle: Lifecycle | None = None
    status: Status | None = None
    usage: Habit | None = None
    data_health: DataHealth | None = None
    q: str | None = None

    def covers(self, member: Member) -> bool:
        account, kpis = member.account, member.kpis
        return (
            self.owner in (None, account.owner)
            and self.region in (None, account.region)
            and self.segment in (None, account.segment)
            and self.lifecycle in (None, member.lifecycle)
            and self.status in (None, kpis.adoption.status)
            and self.usage in (None, kpis.usage.status)
            and self.data_health in (None, kpis.data_health)
            and (self.q is None or _named(self.q, account))
        )


def portfolio_kpis(adoptions: Iterable[AdoptionKpi]) -> PortfolioKpis:
    """Both ratios over the accounts that were chosen."""
    chosen = list(adoptions)
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


def _named(part: str, account: Account) -> bool:
    return any(part.casefold() in text.casefold() for text in (account.account, account.name or ""))


def _mean(ratios: Sequence[tuple[int, int]]) -> Fraction:
    """Exact over one common denominator: adding reduced fractions one by one takes minutes for 20,000 accounts."""
    common = reduce(math.lcm, {den for _, den in ratios})  # one call of all would hold up every other thread
    return Fraction(sum(num * (common // den) for num, den in ratios), common * len(ratios))
