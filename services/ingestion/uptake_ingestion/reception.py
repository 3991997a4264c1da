"""What both doors do with the items of one delivery: judge each, store each, answer for each. Knows no door."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import msgspec

from uptake.messages.events import Event
from uptake_ingestion import plain
from uptake_ingestion.batches import Row, by_lane
from uptake_ingestion.facts import FactBook
from uptake_ingestion.intake import Reason, Refused
from uptake_ingestion.items import Item
from uptake_ingestion.meters import EVENTS, REFUSED
from uptake_ingestion.publishing import Publisher
from uptake_ingestion.refusals import RefusalLog
from uptake_ingestion.usage import UsageWriter, until_stored

Door = Literal["http", "import", "raw"]
_IN_A_TURN = 8  # deliveries that are read before whatever else the process has to do, such as to say that it lives
_CONFLICT = "another event has this id already and stands; send a correction under a new id"


class Result(msgspec.Struct, frozen=True, gc=False):
    """The answer for one item; `reason` and `detail` for what was refused, a conflict among it."""

    id: str | None
    status: Literal["accepted", "duplicate", "conflict", "refused"] = "accepted"
    reason: Reason | None = None
    detail: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Receipt:
    """Results in the order of the items; a sequence of USAGE by which all of them are stored, 0 when none is usage."""

    results: list[Result]
    usage_sequence: int = 0

    @property
    def refused(self) -> int:
        return sum(result.reason is not None for result in self.results)

    @property
    def accepted(self) -> int:
        return len(self.results) - self.refused


@dataclass(slots=True)
class _Delivery:
    source: str
    now: datetime
    results: dict[int, Result] = field(default_factory=dict)


class Reception:
    def __init__(self, publisher: Publisher, linger_s: float = 0.025) -> None:
        self.facts = FactBook(publisher)
        self._usage = UsageWriter(publisher, linger_s)
        self._refusals = RefusalLog(publisher)
        self._turns = asyncio.Semaphore(_IN_A_TURN)

    async def turn(self) -> None:
        """Wait for it before reading a delivery: that takes a millisecond, and a thousand may have come at once."""
        await self._turns.acquire()
        asyncio.get_running_loop().call_soon(self._turns.release)  # once the loop has been round

    async def take_array(
        self, door: Door, source: str, body: bytes, now: datetime, import_id: str | None = None
    ) -> Receipt | None:
        """As `take` for a JSON array of good plain usage; null for any other body, of which nothing was taken."""
        rows = plain.array(body, now, live=import_id is None)
        if not rows:
            return None
        results = [Result(row.id) for row in rows]
        return Receipt(results, await self.put(door, source, rows, import_id))

    async def put(self, door: Door, source: str, rows: Sequence[Row], import_id: str | None = None) -> int:
        """Usage that was judged before. Returns a sequence by which it is stored; raises NotStored."""
        sequence = await until_stored(self._usage.add(by_lane(rows, source, import_id)))
        EVENTS.labels(door, "accepted").inc(len(rows))
        return sequence

    async def take(
        self, door: Door, source: str, items: Sequence[Item], now: datetime, import_id: str | None = None
    ) -> Receipt:
        """Returns when everything is stored. Raises NotStored when something may not be: then send all of it again."""
        delivery = _Delivery(source, now)
        rows: list[Row] = []
        facts: dict[tuple[type[Event], str], list[tuple[int, Item, Event]]] = defaultdict(list)
        refusals: list[tuple[int, Item, Refused]] = []
        verdicts = plain.judge_all([item.raw for item in items], now, live=import_id is None)
        for index, (item, verdict) in enumerate(zip(items, verdicts, strict=True)):
            if isinstance(verdict, Row):
                rows.append(verdict)
                delivery.results[index] = Result(verdict.id)
            elif isinstance(verdict, Refused):
                refusals.append((index, item, _at_line(verdict, item)))
            else:
                facts[type(verdict), verdict.id].append((index, item, verdict))
        stored = self._usage.add(by_lane(rows, source, import_id)) if rows else None
        tasks = [
            asyncio.create_task(until_stored(stored)),
            *(asyncio.create_task(self._record(delivery, of_one_id)) for of_one_id in facts.values()),
            *(asyncio.create_task(self._refuse(delivery, *refusal)) for refusal in refusals),
        ]
        await _all_or_nothing(tasks)
        receipt = Receipt([delivery.results[index] for index in range(len(items))], await until_stored(stored))
        _count(door, receipt)
        return receipt

    async def refuse_whole(self, door: Door, source: str, verdict: Refused, raw: bytes, now: datetime) -> None:
        """For a delivery that has no items to judge. Raises NotStored."""
        await self._refusals.put(source, verdict, raw, now)
        _count(door, Receipt([Result(None, "refused", verdict.reason)]))

    async def _record(self, delivery: _Delivery, of_one_id: Iterable[tuple[int, Item, Event]]) -> None:
        for index, item, event in of_one_id:  # one after the other: the first wins
            put = await self.facts.put(delivery.source, event, delivery.now)
            if put.status == "conflict":
                await self._refuse(delivery, index, item, Refused("conflict", _CONFLICT, event.id))
            else:
                delivery.results[index] = Result(event.id, put.status)

    async def _refuse(self, delivery: _Delivery, index: int, item: Item, verdict: Refused) -> None:
        await self._refusals.put(delivery.source, verdict, item.raw, delivery.now)
        status: Literal["conflict", "refused"] = "conflict" if verdict.reason == "conflict" else "refused"
        delivery.results[index] = Result(verdict.event_id, status, verdict.reason, verdict.detail)


async def _all_or_nothing(tasks: Sequence[asyncio.Task[Any]]) -> None:
    try:
        await asyncio.gather(*tasks)
    except Exception:
        for task in tasks:  # the sender repeats all of it anyway
            task.cancel()
        raise


def _at_line(verdict: Refused, item: Item) -> Refused:
    return verdict if item.line is None else replace(verdict, detail=f"line {item.line}: {verdict.detail}")


def _count(door: Door, receipt: Receipt) -> None:
    for status, number in Counter(result.status for result in receipt.results).items():
        EVENTS.labels(door, status).inc(number)
    for reason, number in Counter(result.reason for result in receipt.results if result.reason).items():
        REFUSED.labels(reason).inc(number)
