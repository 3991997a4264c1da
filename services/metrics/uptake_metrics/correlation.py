"""Which use cases and features go together with a healthy habit, over accounts. Pure; reads no store, no clock.

Source: the domain definition, "Beyond the handbook": saturation in the window that ends at D-28 against usage(D). That
two numbers move together says nothing about why.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from uptake_metrics.userdays import starts

LAG_DAYS: Final = 28
MIN_ACCOUNTS: Final = 8

Floats = npt.NDArray[np.float64]
Reason = Literal["too_few_accounts", "constant"]


class Correlation(NamedTuple):
    """Both in -1..1 and to four decimals, or null with a reason. `n`: the accounts that are compared."""

    pearson: float | None
    spearman: float | None
    n: int
    reason: Reason | None


class Habits:
    """The usage of some accounts, made ready to be compared with one saturation after another."""

    def __init__(self, usage: Sequence[Fraction]) -> None:
        values = np.array([float(one) for one in usage], np.float64)
        self._centred = _centred(values)
        self._ranks = _centred(ranks(values))
        self._constant = len(set(usage)) < 2

    def with_saturation(self, saturation: Mapping[int, Fraction]) -> Correlation:
        """`saturation` by place of the account; of those that it does not name it is 0.

        What nobody uses costs nothing: few features are used by more than a few of thousands of accounts.
        """
        n = len(self._centred)
        at = np.array(list(saturation), np.int64)
        values = np.array([float(one) for one in saturation.values()], np.float64)
        if n < MIN_ACCOUNTS:
            return Correlation(None, None, n, "too_few_accounts")
        if self._constant or len({*saturation.values(), *([Fraction(0)] if len(at) < n else [])}) < 2:
            return Correlation(None, None, n, "constant")
        zeros = n - np.count_nonzero(values)
        # Above the rank that all the zeros share: a correlation does not change when one side is moved.
        above = np.where(values > 0, ranks(values) + (n - len(at)) - (zeros + 1) / 2, 0)
        return Correlation(_r(values, self._centred, at), _r(above, self._ranks, at), n, None)


def ranks(values: Floats) -> Floats:
    """From 1 on; values that are equal share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    heads = starts(ordered)
    sizes = np.diff(heads, append=len(ordered))
    found = np.empty(len(values), np.float64)
    found[order] = np.repeat(heads + (sizes + 1) / 2, sizes)
    return found


def _centred(values: Floats) -> Floats:
    centred: Floats = values - (math.fsum(values) / len(values) if len(values) else 0)
    return centred


def _r(values: Floats, centred: Floats, at: npt.NDArray[np.int64]) -> float:
    """Pearson's r of two sides that both vary: one is `values` at some places and 0 elsewhere, one has mean 0."""
    n = len(centred)
    mean = math.fsum(values) / n
    spread = math.fsum((values - mean) ** 2) + (n - len(values)) * mean**2
    r = math.fsum(values * centred[at]) / math.sqrt(spread * math.fsum(centred**2))
    return round(max(-1.0, min(1.0, r)), 4) + 0.0  # no negative zero
