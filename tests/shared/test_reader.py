"""Exact consumption, against a real broker and a real database: every message takes effect once, come what may."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from structlog.testing import capture_logs

from uptake import broker, cursor, database
from uptake.clock import utc_now
from uptake.reader import Cursor, Entry, Fenced, Reader
from uptake.settings import BrokerSettings, DatabaseSettings
from uptake.streams import UUID_KEY

STREAM, SUBJECTS = "TEST", ["test.>"]


class Ledger:
    """A service's state: one row per message that took effect. Nothing in it is unique, so a repeat would show."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.refused: list[tuple[int, str]] = []
        self.batches: list[int] = []
        self.before_commit: Callable[[], Awaitable[None]] | None = None

    async def create(self) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text("CREATE SCHEMA s"))
            await connection.execute(
                text(
                    "CREATE TABLE s.cursor (name text PRIMARY KEY, stream_uuid text, sequence bigint NOT NULL,"
                    " stored_at timestamptz)"
                )
            )
            await connection.execute(text("CREATE TABLE s.seen (sequence bigint, body text)"))

    async def position(self) -> Cursor:
        async with self.engine.connect() as connection:
            return await cursor.load(connection, "s", "r")

    async def apply(self, entries: Sequence[Entry], expected: Cursor, new: Cursor) -> None:
        async with self.engine.begin() as connection:
            await cursor.advance(connection, "s", "r", expected, new)
            await self._insert(connection, entries)
            if self.before_commit:
                await self.before_commit()
        self.batches.append(len(entries))

    async def _insert(self, connection: AsyncConnection, entries: Sequence[Entry]) -> None:
        rows = [{"sequence": entry.sequence, "body": entry.data.decode()} for entry in entries]
        if rows:
            await connection.execute(text("INSERT INTO s.seen VALUES (:sequence, :body)"), rows)

    async def refuse(self, entry: Entry, error: Exception) -> None:
        self.refused.append((entry.sequence, type(error).__name__))

    async def seen(self) -> list[str]:
        async with self.engine.connect() as connection:
            return list((await connection.execute(text("SELECT body FROM s.seen ORDER BY sequence"))).scalars())


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    engine = database.engine(DatabaseSettings(database_url=SecretStr(database_url)))
    ledger = Ledger(engine)
    await ledger.create()
    yield ledger
    await engine.dispose()


@pytest.fixture
async def client(nats_server: Any) -> AsyncIterator[Client]:
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    await create_stream(client, "one")
    yield client
    await client.close()


async def create_stream(client: Client, uuid: str, **settings: Any) -> None:
    config = StreamConfig(name=STREAM, subjects=SUBJECTS, metadata={UUID_KEY: uuid}, **settings)
    await client.jetstream().add_stream(config)


async def publish(client: Client, bodies: Sequence[str], subject: str = "test.a") -> None:
    for body in bodies:
        await client.jetstream().publish(subject, body.encode())


def numbers(start: int, end: int) -> list[str]:
    return [str(number) for number in range(start, end)]


@asynccontextmanager
async def reading(client: Client, ledger: Ledger, **options: Any) -> AsyncIterator[Reader]:
    reader = Reader(
        client,
        STREAM,
        options.pop("subjects", SUBJECTS),
        position=ledger.position,
        apply=ledger.apply,
        refuse=ledger.refuse,
        **options,
    )
    task = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # what is waited for happens in a server
            await asyncio.sleep(0.02)


async def until_seen(ledger: Ledger, count: int) -> None:
    async def enough() -> bool:
        return len(await ledger.seen()) >= count

    await until(enough)


async def until_ready(reader: Reader, ready: bool = True) -> None:
    async def as_wanted() -> bool:
        return reader.ready is ready

    await until(as_wanted)


async def test_a_fresh_reader_takes_everything_once_and_in_order(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 30))
    async with reading(client, ledger, max_messages=8) as reader:
        await publish(client, numbers(30, 50))
        await until_seen(ledger, 50)
        assert await ledger.seen() == numbers(0, 50)
        assert await ledger.position() == Cursor("one", 50)
        assert (reader.ready, reader.reason, reader.lag, reader.caught_up) == (True, None, 0, True)
    assert max(ledger.batches) == 8


async def test_it_says_up_to_which_instant_everything_has_taken_effect(client: Client, ledger: Ledger) -> None:
    async with reading(client, ledger, max_messages=1) as reader:
        assert reader.current_to is None
        for number in numbers(0, 5):
            before = utc_now()
            await publish(client, [number])

            async def is_current(since: datetime = before) -> bool:
                return reader.current_to is not None and reader.current_to > since

            await until(is_current)
            assert (await ledger.seen())[-1] == number


async def test_a_second_life_goes_on_where_the_row_stands(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 10))
    async with reading(client, ledger):
        await until_seen(ledger, 10)
    await publish(client, numbers(10, 20))
    async with reading(client, ledger):
        await until_seen(ledger, 20)
    assert await ledger.seen() == numbers(0, 20)


async def test_only_its_own_subjects_are_read(client: Client, ledger: Ledger) -> None:
    await publish(client, ["a1"], "test.a")
    await publish(client, ["b1"], "test.b")
    await publish(client, ["c1"], "test.c")
    async with reading(client, ledger, subjects=["test.a", "test.c"]):
        await until_seen(ledger, 2)
    assert await ledger.seen() == ["a1", "c1"]


async def test_the_cursor_steps_over_what_the_filter_leaves_out(client: Client, ledger: Ledger) -> None:
    """Else a stream that is trimmed would one day be trimmed past a reader that had nothing to read."""

    async def stepped() -> bool:
        return (await ledger.position()).sequence == 6

    await publish(client, ["a1"], "test.a")
    await publish(client, numbers(0, 5), "test.b")
    async with reading(client, ledger, subjects=["test.a"]) as reader:
        await until(stepped)
        assert reader.current_to is not None
        last = await client.jetstream().get_msg(STREAM, 6)
        assert (await ledger.position()).stored_at == last.time
    await client.jetstream().purge_stream(STREAM)
    await publish(client, ["a2"], "test.a")
    async with reading(client, ledger, subjects=["test.a"]) as reader:
        await until_seen(ledger, 2)
    assert await ledger.seen() == ["a1", "a2"]


async def test_it_steps_over_nothing_of_its_own_while_others_write_as_fast_as_they_can(
    client: Client, ledger: Ledger
) -> None:
    async def flood() -> None:
        while True:
            await publish(client, ["b"], "test.b")

    flooding = asyncio.create_task(flood())
    async with reading(client, ledger, subjects=["test.a"]):
        for number in range(2):
            await publish(client, [str(number)], "test.a")
            await until_seen(ledger, number + 1)
            at = await ledger.position()

            async def stepped(since: Cursor = at) -> bool:
                return await ledger.position() != since

            await until(stepped)
    flooding.cancel()
    assert await ledger.seen() == numbers(0, 2)


async def test_while_one_batch_is_written_one_is_prepared_and_one_arrives_and_no_more(
    client: Client, ledger: Ledger
) -> None:
    may_go_on = asyncio.Event()

    async def hold() -> None:
        await may_go_on.wait()

    async def sent() -> int:
        [consumer] = await client.jetstream().consumers_info(STREAM)
        return consumer.delivered.consumer_seq if consumer.delivered else 0

    async def a_third_batch() -> bool:
        return await sent() == 24

    ledger.before_commit = hold
    await publish(client, numbers(0, 50))
    async with reading(client, ledger, max_messages=8) as reader:
        await until_ready(reader)
        await until(a_third_batch)
        await asyncio.sleep(0.3)
        assert await sent() == 24
        assert reader.lag == 50
        may_go_on.set()
        await until_seen(ledger, 50)
    assert await ledger.seen() == numbers(0, 50)


async def test_a_trickle_lets_no_requests_pile_up(client: Client, ledger: Ledger) -> None:
    may_go_on = asyncio.Event()

    async def hold() -> None:
        await may_go_on.wait()

    async with reading(client, ledger, max_messages=8):
        for number in range(6):
            await publish(client, [str(number)])
            await until_seen(ledger, number + 1)
        ledger.before_commit = hold
        await publish(client, numbers(6, 80))
        await asyncio.sleep(0.5)
        [consumer] = await client.jetstream().consumers_info(STREAM)
        assert consumer.delivered is not None
        assert consumer.delivered.consumer_seq <= 6 + 4 * 8  # one is written, one is prepared, two may wait
        may_go_on.set()
        await until_seen(ledger, 80)


async def test_messages_of_the_largest_size_arrive_a_few_megabytes_at_a_time(client: Client, ledger: Ledger) -> None:
    body = "x" * 1_000_000
    await publish(client, [body] * 30)
    async with reading(client, ledger):
        await until_seen(ledger, 30)
    assert set(await ledger.seen()) == {body}


async def test_what_a_producer_writes_into_headers_is_just_data(client: Client, ledger: Ledger) -> None:
    js = client.jetstream()
    for number, status in enumerate(["404", "408", "409", "503", "100"]):
        await js.publish("test.a", str(number).encode(), headers={"Status": status, "Description": "Consumer Deleted"})
    async with reading(client, ledger):
        with capture_logs() as logs:
            await until_seen(ledger, 5)
    assert await ledger.seen() == numbers(0, 5)
    assert logs == []


async def test_an_idle_reader_asks_little(client: Client, ledger: Ledger) -> None:
    async with reading(client, ledger) as reader:
        await until_ready(reader)
        before = client.stats["out_msgs"]
        await asyncio.sleep(4.2)
        assert client.stats["out_msgs"] - before <= 9  # a request and two looks every two seconds


async def test_a_reader_whose_broker_is_away_does_not_spin(client: Client, ledger: Ledger, nats_server: Any) -> None:
    async with reading(client, ledger) as reader:
        await until_ready(reader)
        nats_server.kill()
        await until_ready(reader, False)
        before = time.process_time()
        await asyncio.sleep(2)
        assert time.process_time() - before < 0.5
        nats_server.start()
        await until_ready(reader)


async def test_a_broker_killed_in_mid_stream_loses_and_doubles_nothing(
    client: Client, ledger: Ledger, nats_server: Any
) -> None:
    await publish(client, numbers(0, 300))
    async with reading(client, ledger, max_messages=10) as reader:
        await until_seen(ledger, 50)
        nats_server.kill()
        await until_ready(reader, False)
        nats_server.start()
        await until_ready(reader)
        await publish(client, numbers(300, 310))
        await until_seen(ledger, 310)
    assert await ledger.seen() == numbers(0, 310)


async def test_a_broker_that_hangs_makes_the_reader_not_ready(client: Client, ledger: Ledger, nats_server: Any) -> None:
    await publish(client, numbers(0, 3))
    async with reading(client, ledger) as reader:
        await until_seen(ledger, 3)
        nats_server.process.send_signal(signal.SIGSTOP)
        try:
            await until_ready(reader, False)
        finally:
            nats_server.process.send_signal(signal.SIGCONT)
        await until_ready(reader)
    assert await ledger.seen() == numbers(0, 3)


async def test_two_replicas_on_one_row_apply_each_message_once(
    client: Client, ledger: Ledger, nats_server: Any
) -> None:
    await publish(client, numbers(0, 400))
    other = await broker.connect(BrokerSettings(nats_url=nats_server.url), "other")
    rival = Ledger(ledger.engine)
    with capture_logs() as logs:
        async with reading(client, ledger, max_messages=10), reading(other, rival, max_messages=7):
            await until_seen(ledger, 400)
    assert [line for line in logs if line["event"] == "reader starts again"] == []  # being fenced off is no failure
    assert await ledger.seen() == numbers(0, 400)
    assert ledger.refused == rival.refused == []
    await other.close()


async def test_a_unique_key_that_a_rival_took_is_not_taken_for_poison(
    client: Client, ledger: Ledger, nats_server: Any
) -> None:
    """A service that writes before it moves the cursor meets the rival's rows first, as a data error."""
    async with ledger.engine.begin() as connection:
        await connection.execute(text("CREATE UNIQUE INDEX ON s.seen (sequence)"))

    def state_first(of: Ledger) -> Callable[[Sequence[Entry], Cursor, Cursor], Awaitable[None]]:
        async def apply(entries: Sequence[Entry], expected: Cursor, new: Cursor) -> None:
            async with of.engine.begin() as connection:
                await of._insert(connection, entries)
                await cursor.advance(connection, "s", "r", expected, new)

        return apply

    rival = Ledger(ledger.engine)
    ledger.apply, rival.apply = state_first(ledger), state_first(rival)  # type: ignore[method-assign, assignment]  # other order
    await publish(client, numbers(0, 300))
    other = await broker.connect(BrokerSettings(nats_url=nats_server.url), "other")
    async with reading(client, ledger, max_messages=3), reading(other, rival, max_messages=3):
        await until_seen(ledger, 300)
    assert await ledger.seen() == numbers(0, 300)
    assert ledger.refused == rival.refused == []
    await other.close()


async def test_a_deleted_consumer_is_noticed(client: Client, ledger: Ledger) -> None:
    js = client.jetstream()
    await publish(client, ["0"])
    async with reading(client, ledger):
        await until_seen(ledger, 1)
        for consumer in await js.consumers_info(STREAM):
            await js.delete_consumer(STREAM, consumer.name)
        await publish(client, ["1"])
        await until_seen(ledger, 2)
    assert await ledger.seen() == ["0", "1"]


async def wipe(client: Client) -> None:
    await client.jetstream().delete_stream(STREAM)
    await create_stream(client, "two")
    await publish(client, numbers(0, 9))


async def roll_back(client: Client) -> None:
    await client.jetstream().delete_stream(STREAM)
    await create_stream(client, "one")
    await publish(client, ["0"])


async def roll_back_and_grow(client: Client) -> None:
    await roll_back(client)
    await publish(client, numbers(1, 6))


async def trim(client: Client) -> None:
    await publish(client, numbers(4, 9))
    await client.jetstream().purge_stream(STREAM, seq=8)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (wipe, "TEST: the stream was wiped and made again (cursor at 3 of one, stream two holds 1 to 9)"),
        (roll_back, "TEST: the stream was rolled back (cursor at 3 of one, stream one holds 1 to 1)"),
        (trim, "TEST: the stream was trimmed past the cursor (cursor at 3 of one, stream one holds 8 to 8)"),
    ],
)
async def test_a_stream_that_lost_messages_stops_the_reader_and_names_the_positions(
    client: Client, ledger: Ledger, change: Callable[[Client], Awaitable[None]], reason: str
) -> None:
    await publish(client, numbers(0, 3))
    async with reading(client, ledger):
        await until_seen(ledger, 3)
    await change(client)
    async with reading(client, ledger) as reader:

        async def named() -> bool:
            return reader.reason == reason

        await until(named)
        assert not reader.ready
        assert not reader.caught_up
    assert await ledger.seen() == numbers(0, 3)


async def test_a_stream_that_was_rolled_back_and_grew_again_is_told_by_the_time_of_the_cursors_message(
    client: Client, ledger: Ledger
) -> None:
    await publish(client, numbers(0, 3))
    async with reading(client, ledger):
        await until_seen(ledger, 3)
    await roll_back_and_grow(client)
    async with reading(client, ledger) as reader:

        async def named() -> bool:
            return "TEST: the stream was rolled back and grew again (cursor at 3 of one" in (reader.reason or "")

        await until(named)
        assert not reader.ready
    assert await ledger.seen() == numbers(0, 3)


async def test_a_cursor_whose_message_is_gone_is_believed(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 3))
    async with reading(client, ledger):
        await until_seen(ledger, 3)
    await client.jetstream().purge_stream(STREAM)
    async with reading(client, ledger):
        await publish(client, ["3"])
        await until_seen(ledger, 4)


async def trim_between(client: Client) -> None:
    """The oldest message is older than the cursor: this is what a stream of the newest of each subject looks like."""
    await publish(client, numbers(4, 8), subject="test.b")
    await publish(client, ["8"], subject="test.a")
    await client.jetstream().purge_stream(STREAM, subject="test.b")


@pytest.mark.parametrize(("change", "first"), [(trim, 8), (trim_between, 1)])
async def test_what_left_a_stream_of_newest_messages_unread_is_told_and_not_waited_for(
    client: Client, ledger: Ledger, change: Callable[[Client], Awaitable[None]], first: int
) -> None:
    await publish(client, numbers(0, 3))
    async with reading(client, ledger, may_be_trimmed=True):
        await until_seen(ledger, 3)
    await change(client)
    with capture_logs() as logs:
        for _ in range(2):
            async with reading(client, ledger, may_be_trimmed=True) as reader:
                await until_seen(ledger, 4)
                await until_ready(reader)
    assert await ledger.position() == Cursor("one", 8)
    assert [line for line in logs if line["event"] == "messages left the stream unread"] == [
        {
            "event": "messages left the stream unread",
            "log_level": "warning",
            "stream": STREAM,
            "gone": 4,
            "positions": f"cursor at 3 of one, stream one holds {first} to 8",
        }
    ]


async def test_a_stream_wiped_under_a_running_reader_is_noticed(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 3))
    async with reading(client, ledger) as reader:
        await until_seen(ledger, 3)
        await wipe(client)
        await until_ready(reader, False)
        assert await ledger.seen() == numbers(0, 3)


async def test_a_new_reader_of_an_aged_stream_starts_at_what_is_left(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 10))
    await client.jetstream().purge_stream(STREAM, seq=6)
    async with reading(client, ledger):
        await until_seen(ledger, 5)
    assert await ledger.seen() == numbers(5, 10)


async def test_a_poisoned_entry_is_refused_alone(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 20))
    await publish(client, ["bad\0"])  # PostgreSQL stores no NUL
    await publish(client, numbers(20, 40))
    async with reading(client, ledger, max_messages=64):
        await until_seen(ledger, 40)
        assert await ledger.position() == Cursor("one", 41)
    assert await ledger.seen() == numbers(0, 40)
    assert ledger.refused == [(21, "DBAPIError")]


async def test_a_refusal_that_fails_is_tried_again_before_the_cursor_moves(client: Client, ledger: Ledger) -> None:
    tries = 0
    put_away = ledger.refuse

    async def refuse(entry: Entry, error: Exception) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionRefusedError
        await put_away(entry, error)

    ledger.refuse = refuse  # type: ignore[method-assign]  # a broker that is away at the wrong moment
    await publish(client, ["bad\0", "good"])
    async with reading(client, ledger):
        await until_seen(ledger, 1)
    assert ledger.refused == [(1, "DBAPIError")]


async def test_an_unavailable_database_is_waited_for(client: Client, ledger: Ledger, postgres_server: Any) -> None:
    await publish(client, numbers(0, 5))
    async with reading(client, ledger) as reader:
        await until_seen(ledger, 5)
        postgres_server.stop()
        try:
            await publish(client, numbers(5, 10))
            await until_ready(reader, False)
            assert reader.reason is not None
            assert "the database is unavailable" in reader.reason
            await asyncio.sleep(1)
        finally:
            postgres_server.start()
        await until_seen(ledger, 10)
        await until_ready(reader)
    assert await ledger.seen() == numbers(0, 10)


@pytest.mark.parametrize("took_effect", [True, False])
async def test_after_an_ambiguous_commit_the_row_decides(client: Client, ledger: Ledger, took_effect: bool) -> None:
    await publish(client, numbers(0, 10))
    commit, failures = ledger.apply, 0

    async def apply(entries: Sequence[Entry], expected: Cursor, new: Cursor) -> None:
        nonlocal failures
        failures += 1
        if failures > 2 or took_effect:
            await commit(entries, expected, new)
        if failures <= 2:
            raise TimeoutError

    ledger.apply = apply  # type: ignore[method-assign]  # a connection that breaks around the commit
    async with reading(client, ledger, max_messages=4):
        await until_seen(ledger, 10)
    assert await ledger.seen() == numbers(0, 10)


async def test_a_bug_in_the_service_loses_nothing(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 3))
    broken = True

    async def bug() -> None:
        if broken:
            raise RuntimeError("a bug")

    ledger.before_commit = bug
    async with reading(client, ledger) as reader:

        async def named() -> bool:
            return reader.reason == "TEST: a bug"

        await until(named)
        broken = False
        await until_seen(ledger, 3)
    assert await ledger.seen() == numbers(0, 3)


@pytest.mark.parametrize("unlucky", [b"3", b"9"])  # one leaves a hole, after the last one comes only silence
async def test_a_message_lost_on_the_way_is_fetched_again(
    client: Client, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, unlucky: bytes
) -> None:
    deliver = Client._process_msg
    lost: list[bytes] = []

    async def lossy(self: Client, sid: int, subject: bytes, *rest: bytes) -> None:
        if subject == b"test.a" and rest[1] == unlucky and not lost:
            lost.append(rest[1])
            return
        await deliver(self, sid, subject, *rest)

    monkeypatch.setattr(Client, "_process_msg", lossy)
    await publish(client, numbers(0, 10))
    async with reading(client, ledger):
        await until_seen(ledger, 10)
    assert lost == [unlucky]
    assert await ledger.seen() == numbers(0, 10)


async def test_a_commit_of_another_writer_between_is_a_fence(client: Client, ledger: Ledger) -> None:
    await publish(client, numbers(0, 2))
    async with reading(client, ledger):
        await until_seen(ledger, 2)
    with pytest.raises(Fenced):
        await ledger.apply([], Cursor("one", 1), Cursor("one", 2))


async def test_a_reader_that_was_cancelled_leaves_no_consumer_behind(client: Client, ledger: Ledger) -> None:
    async with reading(client, ledger) as reader:
        await until_ready(reader)
        assert len(await client.jetstream().consumers_info(STREAM)) == 1
    assert await client.jetstream().consumers_info(STREAM) == []
