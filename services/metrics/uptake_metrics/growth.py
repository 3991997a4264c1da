"""Growth accounting: who came, stayed, came back and went away, by calendar month of local days. It counts no KPI.

Source: the domain definition, "Beyond the handbook", in the usual terms of growth accounting. Active in a month: active
on at least one local day of it. Two identities hold for every month, by construction of the sets:

    active(m) = new(m) + retained(m) + resurrected(m)
    active(m) = active(m-1) + new(m) + resurrected(m) - churned(m)
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from uptake.messages.fields import Day, Message
from uptake_metrics import archive
from uptake_metrics.userdays import U64, Masks
from uptake_metrics.zones import DAY, to_number

Part = Literal["active", "new", "retained", "resurrected", "churned"]


@dataclass(frozen=True, slots=True)
class Movement:
    """The people of one month, as hashes that ascend."""

    month: date
    active: U64
    new: U64
    retained: U64
    resurrected: U64
    churned: U64


class MonthGrowth(Message):
    """`GET /api/v1/accounts/{account}/growth`. `partial`: the month is not over, and who is missing may still come.

    `users`: the people behind the number that was asked for; null when none was.
    """

    account: str
    month: str
    first_day: Day
    last_day: Day
    partial: bool
    active: int
    new: int
    retained: int
    resurrected: int
    churned: int
    users: list[str] | None = None


def movements(masks: Masks, first: date, last: date) -> list[Movement]:
    """Each month from that of `first` to that of `last`. `masks` is all there ever was, as one series.

    New: never active before. Retained: active in the month before too. Resurrected: active once, but not in the month
    before. Churned: active in the month before, and not in this one.
    """
    month = first_day(first)
    before = month_before(month)
    ever = archive.active(masks, 0, to_number(before) - 1)
    previous = _active(masks, before)
    found = []
    while month <= last:
        active = _active(masks, month)
        known = np.union1d(ever, previous)
        retained = np.intersect1d(active, previous)
        new = np.setdiff1d(active, known)
        resurrected = np.setdiff1d(np.intersect1d(active, known), retained)
        found.append(Movement(month, active, new, retained, resurrected, np.setdiff1d(previous, active)))
        ever, previous, month = known, active, month_after(month)
    return found


def first_day(day: date) -> date:
    """The first day of the month that `day` is in."""
    return day.replace(day=1)


def last_day(month: date) -> date:
    return month_after(month) - DAY


def month_before(month: date) -> date:
    return first_day(month - DAY)


def month_after(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _active(masks: Masks, month: date) -> U64:
    return archive.active(masks, to_number(month), to_number(last_day(month)))
