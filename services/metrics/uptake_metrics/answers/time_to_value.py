"""Answers about how long accounts took to be worth something to their users. Computes no number."""

import asyncio
from collections.abc import Sequence
from datetime import date
from operator import attrgetter

import numpy as np
from fastapi import APIRouter, Response

from uptake.lists import Format, table
from uptake.messages.kpi import AdoptionKpi
from uptake_metrics import archive, userdays
from uptake_metrics.answers.asking import Asking
from uptake_metrics.counting import newest_day
from uptake_metrics.kpis import Counts
from uptake_metrics.ordering import in_turns
from uptake_metrics.tally import History, Tallied
from uptake_metrics.time_to_value import UNKNOWN, TimeToValue, at_most, in_production, time_to_value
from uptake_metrics.userdays import I64, WINDOWS
from uptake_metrics.zones import last_closed_day, to_day, to_number

_BEFORE = WINDOWS[-1] - 1  # days whose DAU belong to the counts of the first day
_NO_DAYS = np.empty(0, np.int32)


def router(asking: Asking) -> APIRouter:
    """`/api/v1/time-to-value` and `/api/v1/accounts/{account}/time-to-value`."""
    router = APIRouter()

    @router.get("/api/v1/time-to-value", response_model=list[TimeToValue])
    async def all_accounts(format: Format = "json") -> Response:
        """Every account's days to production, to its first user, and to 25, 50 and 75 % of its seats."""
        found = await _told(asking, list(asking.board.lines))
        return await asyncio.to_thread(table, sorted(found, key=attrgetter("account")), format, TimeToValue)

    @router.get("/api/v1/accounts/{account:path}/time-to-value", response_model=TimeToValue)
    async def one(account: str, format: Format = "json") -> Response:
        """The same of one account."""
        asking.day(account, None)
        found = await _told(asking, [account])
        if format == "csv":
            return table(found, format, TimeToValue)
        return Response(found[0].model_dump_json(), media_type="application/json")

    return router


async def _told(asking: Asking, names: Sequence[str]) -> list[TimeToValue]:
    found: list[TimeToValue] = []
    async for histories in asking.tally.histories(names, to_day(newest_day(asking.clock()))):
        spans = [_in_production(asking, history.account) for history in histories]
        counted = await asyncio.to_thread(_counted, histories, spans)
        rows = zip(histories, spans, counted, strict=True)
        found += [_of_one(asking, *row) async for row in in_turns(rows)]
    return found


def _in_production(asking: Asking, name: str) -> range:
    """The closed days of production, since 1970."""
    account = asking.register.account(name)
    first, closed = in_production(account), last_closed_day(asking.clock(), account.time_zone)
    return range(to_number(first), to_number(closed) + 1) if first and first <= closed else range(0)


def _counted(histories: Sequence[History], spans: Sequence[range]) -> list[userdays.Counts]:
    """DAU, WAU and MAU of each day of the span and of the 29 before."""
    return [
        archive.daily(history.masks, span.start - _BEFORE, span.stop - 1)
        if span and history.heard is not None
        else userdays.Counts(_NO_DAYS, _NO_DAYS, _NO_DAYS)
        for history, span in zip(histories, spans, strict=True)
    ]


def _of_one(asking: Asking, history: History, span: range, counts: userdays.Counts) -> TimeToValue:
    name, masks = history.account, history.masks
    first_user = to_day(archive.oldest_day(masks)) if len(masks) else None

    def adoption(day: date) -> AdoptionKpi:
        tallied = Tallied(day, _counts_of(counts, to_number(day) - span.start), history.last_contact(day))
        return asking.evaluation.adoption(name, tallied)

    account, today = asking.register.account(name), asking.board.today(name)
    return time_to_value(account, first_user, _at_most(asking, history, span, counts), adoption, today)


def _counts_of(counts: userdays.Counts, at: int) -> Counts | None:
    if not len(counts.mau):
        return None
    days = slice(at, at + _BEFORE + 1)
    return Counts(tuple(counts.dau[days].tolist()), int(counts.wau[at + _BEFORE]), int(counts.mau[at + _BEFORE]))


def _at_most(asking: Asking, history: History, span: range, counts: userdays.Counts) -> I64:
    """`UNKNOWN` of all days where nothing was ever heard: such an account is soon told."""
    if not span:
        return np.empty(0, np.int64)
    first, last = to_day(span.start), to_day(span.stop - 1)
    told = asking.register.told(history.account, last)
    if not (history.last_contact(last) or told.heartbeat or told.pinged):
        return np.full(len(span), UNKNOWN, np.int64)
    counted = counts.mau[_BEFORE:] if len(counts.mau) else np.zeros(len(span), np.int32)
    return at_most(first, counted, asking.register.instances.told_at_most(history.account))
