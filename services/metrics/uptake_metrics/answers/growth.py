"""Answers about who came, stayed, came back and went away, month by month. Computes no number."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from uptake.lists import Format, table
from uptake.problems import Problem
from uptake_metrics import growth
from uptake_metrics.answers.asking import FIRST_DAY, Asking
from uptake_metrics.growth import MonthGrowth, Movement, Part
from uptake_metrics.zones import closes_at

MAX_MONTHS = 120
_USUAL_MONTHS = 12

Month = Annotated[
    str | None, Query(pattern="^[0-9]{4}-(0[1-9]|1[0-2])$", description="a calendar month", examples=["2026-05"])
]


def router(asking: Asking) -> APIRouter:
    """`/api/v1/accounts/{account}/growth`."""
    router = APIRouter()

    @router.get("/api/v1/accounts/{account:path}/growth", response_model=list[MonthGrowth])
    async def months(
        account: str,
        first: Annotated[Month, Query(alias="from")] = None,
        last: Annotated[Month, Query(alias="to")] = None,
        part: Annotated[Part | None, Query(alias="list", description="list the people behind this number")] = None,
        format: Format = "json",
    ) -> Response:
        """New, retained, resurrected and churned users by month; without `from` and `to` the last twelve months."""
        begin, end = span(first, last, asking.day(account, None))
        masks = await asking.tally.masks(account, date(1970, 1, 1), growth.last_day(end))
        found = await asyncio.to_thread(growth.movements, masks, begin, end)
        return table(await _answers(asking, account, found, part), format, MonthGrowth)

    return router


def span(first: str | None, last: str | None, today: date) -> tuple[date, date]:
    """The first days of the first and the last month. Raises `Problem`."""
    running = growth.first_day(today)
    end = date.fromisoformat(f"{last}-01") if last else running
    begin = date.fromisoformat(f"{first}-01") if first else _back(end, _USUAL_MONTHS - 1)
    if not FIRST_DAY <= begin <= end <= running:
        raise Problem(400, "invalid_range", f"'from' must be at most 'to', from 1970-03 to {running:%Y-%m}")
    if (end.year - begin.year) * 12 + end.month - begin.month >= MAX_MONTHS:
        raise Problem(400, "invalid_range", f"at most {MAX_MONTHS} months at a time")
    return begin, end


def _back(month: date, months: int) -> date:
    for _ in range(months):
        month = max(growth.month_before(month), FIRST_DAY)
    return month


async def _answers(asking: Asking, account: str, found: Sequence[Movement], part: Part | None) -> list[MonthGrowth]:
    now, zone = asking.clock(), asking.register.zone_of(account)
    answers = []
    for one in found:
        last = growth.last_day(one.month)
        users = await asking.tally.names(account, getattr(one, part)) if part else None
        answers.append(
            MonthGrowth(
                account=account,
                month=f"{one.month:%Y-%m}",
                first_day=one.month,
                last_day=last,
                partial=now < closes_at(last, zone),
                active=len(one.active),
                new=len(one.new),
                retained=len(one.retained),
                resurrected=len(one.resurrected),
                churned=len(one.churned),
                users=users,
            )
        )
    return answers
