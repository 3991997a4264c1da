"""Answers about how long accounts took to be worth something to their users. Computes no number."""

import asyncio
from datetime import date
from operator import attrgetter

import numpy as np
from fastapi import APIRouter, Response

from uptake_metrics import archive
from uptake_metrics.accounts import Account
from uptake_metrics.answers.asking import Asking
from uptake_metrics.answers.table import Format, table
from uptake_metrics.counting import newest_day
from uptake_metrics.tally import ACCOUNTS_A_TURN
from uptake_metrics.time_to_value import UNKNOWN, TimeToValue, in_production, time_to_value
from uptake_metrics.userdays import I32, Masks
from uptake_metrics.zones import last_closed_day, to_day, to_number

_EVER = date(1970, 1, 1)


def router(asking: Asking) -> APIRouter:
    """`/api/v1/time-to-value` and `/api/v1/accounts/{account}/time-to-value`."""
    router = APIRouter()

    @router.get("/api/v1/time-to-value", response_model=list[TimeToValue])
    async def all_accounts(format: Format = "json") -> Response:
        """Every account's days to production, to its first user, and to 25, 50 and 75 % of its seats."""
        newest = to_day(newest_day(asking.clock()))
        found = [
            await _told(asking, name, masks)
            async for name, masks in asking.tally.every_mask(list(asking.board.lines), newest)
        ]
        return table(sorted(found, key=attrgetter("account")), format, TimeToValue)

    @router.get("/api/v1/accounts/{account:path}/time-to-value")
    async def one(account: str) -> TimeToValue:
        """The same of one account."""
        today = asking.day(account, None)
        return await _told(asking, account, await asking.tally.masks(account, _EVER, today))

    return router


async def _told(asking: Asking, name: str, masks: Masks) -> TimeToValue:
    account, today = asking.register.account(name), asking.board.today(name)
    first_user = to_day(archive.oldest_day(masks)) if len(masks) else None
    mau = await _mau(asking, account, masks)
    return await asyncio.to_thread(time_to_value, account, first_user, mau, today)


async def _mau(asking: Asking, account: Account, masks: Masks) -> I32:
    """Of every closed day in production. Only where pings tell some of them, each has to be looked at by itself."""
    first, closed = in_production(account), last_closed_day(asking.clock(), account.time_zone)
    if first is None or first > closed:
        return np.empty(0, np.int32)
    if asking.register.told(account.account, closed).pinged is not None:
        return await _mau_told(asking, account.account, first, closed)
    if asking.counting.shard_of(account.account).contact(account.account) is None:
        return np.full((closed - first).days + 1, UNKNOWN, np.int32)
    return (await asyncio.to_thread(archive.daily, masks, to_number(first), to_number(closed))).mau


async def _mau_told(asking: Asking, name: str, first: date, closed: date) -> I32:
    told = []
    for number, tallied in enumerate(await asking.tally.days(name, first, closed)):
        adoption = asking.evaluation.kpis(name, tallied).adoption
        told.append(UNKNOWN if adoption.value is None or adoption.num is None else adoption.num)
        if number % ACCOUNTS_A_TURN == 0:
            await asyncio.sleep(0)
    return np.array(told, np.int32)
