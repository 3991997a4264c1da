"""The books: every event that came out of USAGE is in exactly one place, and what should have come is known."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from uptake import subjects
from uptake.reader import Cursor, Entry
from uptake_metrics import ledger
from uptake_metrics.batches import HOUR_US
from uptake_metrics.ledger import Taken, Totals, Unbalanced
from uptake_metrics.shard import HourCounts

NOON = datetime(2026, 8, 25, 12, tzinfo=UTC)


@pytest.fixture
def batch_of(batches):
    """One batch, as ingestion writes it: when it was received, who wrote it, what that writer knew to be stored."""

    def make(*events, received_at=NOON, writer=None, acknowledged=None):
        ((subject, data),) = batches(events)
        envelope = {"received_at": int(received_at.timestamp() * 1e6), "writer": writer, "acknowledged": acknowledged}
        return subject, json.dumps(json.loads(data) | envelope).encode()

    return make


async def totals(metrics):
    async with metrics.engine.connect() as connection:
        return await ledger.totals(connection)


async def lines(metrics, first=0, last=10**6):
    async with metrics.engine.connect() as connection:
        hours = await ledger.hours(connection, first, last)
        found = [line for hour in hours for line in await ledger.lines(connection, hour)]
    keys = {number: shard.keys for number, shard in metrics.counting.shards.items()}
    return {
        (keys[line.shard][line.series].account if line.series >= 0 else None, line.hour): line.events for line in found
    }


async def test_events_are_booked_by_account_and_by_the_hour_they_were_received_in(metrics, event, batch_of):
    later = NOON + timedelta(hours=1)
    await metrics.take(
        [
            batch_of(event("acme", "ann", "2026-08-25"), event("acme", "ann", "2026-08-20")),
            batch_of(
                event("acme", "ann", "2026-08-25", actor="system"), received_at=later
            ),  # a sign of life counts too
            batch_of(event("bolt", "bob", "2026-08-25")),
            batch_of(event("", "eve", "2026-08-25", instance="i-1")),
        ]
    )
    await metrics.take([batch_of(event("acme", "ann", "2026-08-25"))])  # known already: booked all the same
    hour = ledger.hour_of(NOON)
    expected = {("acme", hour): 3, ("acme", hour + 1): 1, ("bolt", hour): 1, (None, hour): 1}
    assert await lines(metrics) == expected
    assert await totals(metrics) == Totals(stored=6, processed=6, refused=0, missing=0)
    await metrics.counting.compact(everything=True)
    assert await metrics.rows("SELECT count(*) FROM metrics.ledger_delta") == [(0,)]
    assert await lines(metrics) == expected
    assert await lines(metrics, hour + 1) == {("acme", hour + 1): 1}
    await metrics.take([batch_of(event("acme", "ann", "2026-08-25"))])
    await metrics.counting.compact(everything=True)
    assert (await lines(metrics))["acme", hour] == 4


async def test_what_nobody_can_count_is_refused_in_the_books_with_all_its_events(metrics, event, batch_of):
    subject, good = batch_of(event("acme", "ann", "2026-08-25"), event("acme", "bob", "2026-08-25"), writer="aa")
    future = json.dumps(json.loads(good) | {"instants": [2**53, 2**53]}).encode()
    await metrics.take([(subject, good), (subject, future), (subject, b"{"), ("usage.v1.99", good)])
    told = await totals(metrics)
    assert told == Totals(stored=7, processed=2, refused=5, missing=0)
    assert told.balanced
    assert {source for (source,) in await metrics.rows("SELECT source FROM metrics.ledger_refused")} == {
        "demo",
        "unknown",
    }


async def test_a_failed_checkpoint_leaves_no_trace_in_the_books(metrics, event, batch_of, monkeypatch):
    async def fail(*_):
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_save_writers", fail)
        with pytest.raises(ConnectionResetError):
            await metrics.take([batch_of(event("acme", "ann", "2026-08-25"))])
    assert await totals(metrics) == Totals(0, 0, 0, 0)


async def test_events_that_a_writer_knew_to_be_stored_and_that_never_came_are_missing(metrics, event, batch_of):
    def batch(acknowledged, events=1):
        one = [event("acme", f"u{n}", "2026-08-25") for n in range(events)]
        return batch_of(*one, writer="aa", acknowledged=acknowledged)

    await metrics.take([batch(0, 3), batch(3, 2)])
    await metrics.take([batch(3), batch(5)])  # the second left before the first was confirmed
    assert (await totals(metrics)).balanced
    await metrics.take([batch(11)])  # 7 have come, 11 were confirmed
    told = await totals(metrics)
    assert (told.missing, told.accepted, told.stored, told.balanced) == (4, 12, 8, False)
    await metrics.take([batch(12)])
    assert (await totals(metrics)).missing == 4


async def test_each_shard_of_each_writer_has_its_own_account(metrics, event, batch_of):
    assert subjects.shard_of("acme") != subjects.shard_of("bolt")
    for name in ("acme", "bolt"):
        for writer in ("a1", "a2"):
            await metrics.take([batch_of(event(name, "ann", "2026-08-25"), writer=writer, acknowledged=0)])
    assert (await totals(metrics)).balanced
    assert await metrics.rows("SELECT DISTINCT stored, missing FROM metrics.writer") == [(1, 0)]
    assert await metrics.rows("SELECT count(*) FROM metrics.writer") == [(4,)]


def test_a_shard_that_drops_an_event_is_caught_before_the_commit():
    series, events = np.array([0, 1], np.int32), np.array([2, 1], np.int32)
    change = SimpleNamespace(shard=3, hours={7: HourCounts(series, events)})
    right, wrong = Taken(), Taken()
    right.stored[3, 7], wrong.stored[3, 7] = 3, 4
    ledger.check([change], right)
    with pytest.raises(Unbalanced):
        ledger.check([change], wrong)
    with pytest.raises(Unbalanced):
        ledger.check([], right)


async def test_hours_of_which_the_stream_holds_nothing_are_forgotten(metrics, event, batch_of):
    await metrics.take([batch_of(event("acme", "ann", "2026-08-25"), writer="aa", acknowledged=0)])
    await metrics.counting.compact(everything=True)
    async with metrics.engine.begin() as connection:
        await ledger.prune(connection, NOON + timedelta(days=44))
    assert (await totals(metrics)).stored == 1
    async with metrics.engine.begin() as connection:
        await ledger.prune(connection, NOON + timedelta(days=46))
    assert await totals(metrics) == Totals(0, 0, 0, 0)


def test_an_hour_is_counted_from_1970():
    assert ledger.start_of(ledger.hour_of(NOON)) == NOON
    assert ledger.hour_of(NOON) == int(NOON.timestamp() * 1e6) // HOUR_US


async def test_what_a_mad_writer_claims_to_be_holds_nobody_up(metrics, event, batch_of):
    subject, good = batch_of(event("acme", "ann", "2026-08-25"))
    claims = {"source": "s" * 20_000, "writer": "w" * 20_000, "acknowledged": 2**70, "accounts": []}
    await metrics.take([(subject, json.dumps(json.loads(good) | claims).encode()), (subject, good)])
    assert await totals(metrics) == Totals(stored=2, processed=1, refused=1, missing=0)
    assert await metrics.rows("SELECT source FROM metrics.ledger_refused") == [("unknown",)]


async def test_what_the_database_refuses_is_booked_as_refused(metrics, event, batch_of):
    subject, data = batch_of(event("acme", "ann", "2026-08-25"), event("acme", "bob", "2026-08-25"))
    at = await metrics.counting.load()
    entry = Entry(at.sequence + 1, subject, data, NOON)
    for _ in range(2):  # the first step over it fails on its way, and the entry comes again
        await metrics.counting.refuse(entry, ValueError("no such text"))
    await metrics.counting.apply([], at, Cursor("stream", entry.sequence))
    await metrics.counting.apply([], await metrics.counting.load(), Cursor("stream", entry.sequence + 1))
    assert await totals(metrics) == Totals(stored=2, processed=0, refused=2, missing=0)
