"""The answer of `GET /api/v1/books`: the ledger by account name and hour. Books nothing itself."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime, BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.subjects import shard_of
from uptake_metrics import ledger
from uptake_metrics.counting import Counting
from uptake_metrics.series import NO_SERIES

MAX_ROWS = 100_000
_LAST_HOUR = 2**31 - 1
_AT_A_TIME = 1_000  # rows between two turns of the event loop


class BookRow(BaseModel):
    """Usage events of one account (null: of none) in the hour in which ingestion received them."""

    account: str | None
    hour: datetime
    accepted: int
    stored: int
    processed: int
    refused: int
    balanced: bool


class BookTotals(BaseModel):
    """Over the hours asked for, of all accounts."""

    accepted: int
    stored: int
    processed: int
    refused: int


class BookAnswer(BaseModel):
    """What became of every usage event. `accepted = stored = processed + refused`, or something is wrong: `missing` are
    events that ingestion knew to be stored and that were never read."""

    balanced: bool
    totals: BookTotals
    missing: int
    rows: list[BookRow]
    truncated: bool


class Books:
    """The handler, over the ledger and the names that the shards know."""

    def __init__(self, engine: AsyncEngine, counting: Counting) -> None:
        self._engine = engine
        self._counting = counting

    async def answer(
        self,
        account: str | None = None,
        first: Annotated[AwareDatetime | None, Query(alias="from")] = None,
        last: Annotated[AwareDatetime | None, Query(alias="to")] = None,
        limit: Annotated[int, Query(ge=0, le=MAX_ROWS)] = 10_000,
    ) -> BookAnswer:
        """What became of every usage event, by account and hour: the last 45 days, or from one hour to another.

        An hour at a time, and no further than `limit`: of many accounts and weeks there are millions of rows.
        """
        start, end = ledger.hour_of(first) if first else 0, ledger.hour_of(last) if last else _LAST_HOUR
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")  # rows and totals of one moment
            totals = await ledger.totals(connection, start, end)
            await self._counting.load()  # another replica may have stored a series that we do not know yet
            refused = {} if account is not None else await ledger.refusals(connection, start, end)
            rows = [_row(None, hour, refused=events) for hour, events in sorted(refused.items())]
            for hour in await ledger.hours(connection, start, end):
                if len(rows) > limit:
                    break
                rows += await self._of_hour(connection, hour, account)
        return BookAnswer(
            balanced=totals.balanced,
            totals=BookTotals(
                accepted=totals.accepted, stored=totals.stored, processed=totals.processed, refused=totals.refused
            ),
            missing=totals.missing,
            rows=rows[:limit],
            truncated=len(rows) > limit,
        )

    async def _of_hour(self, connection: AsyncConnection, hour: int, account: str | None) -> list[BookRow]:
        lines = await ledger.lines(connection, hour, None if account is None else shard_of(account))
        rows = []
        for number, line in enumerate(lines, 1):
            name = self._name(line)
            if account in (None, name):
                rows.append(_row(name, hour, processed=line.events))
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return rows

    def _name(self, line: ledger.Line) -> str | None:
        if line.series == NO_SERIES:
            return None
        return self._counting.shards[line.shard].keys[line.series].account


def _row(account: str | None, hour: int, *, processed: int = 0, refused: int = 0) -> BookRow:
    """A checkpoint in which they would differ is not committed, so a row always balances."""
    events = processed + refused
    return BookRow(
        account=account,
        hour=ledger.start_of(hour),
        accepted=events,
        stored=events,
        processed=processed,
        refused=refused,
        balanced=True,
    )
