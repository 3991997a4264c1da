"""The peers of `pipeline`, each in a process of its own: what people would use instead, written as its users write it.

`python -m ... NAME BEFORE BACKLOG [ADDRESS ...]`: takes in the messages of file BEFORE, then those of file BACKLOG, and
prints how many seconds the latter took, and the people of `WATCHED` whom it knows then, day by day.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from uptake import subjects
from uptake_metrics.batches import decode_all
from uptake_metrics.columns import Columns
from uptake_metrics.shard import Change, Shard

from .traffic import WATCHED, Messages, read, rows

AT_A_TIME = 400  # messages to a commit, as in our own reader when it is behind
_STREAM = "USAGE"

#: Seconds, and the user-days of the watched account; null where it is our own engine that counts.
Figure = tuple[float, int | None]


class Counted:
    """Our own decoding and counting, in memory."""

    def __init__(self) -> None:
        today = int(time.time()) // 86_400 + 1
        self.shards = {number: Shard(number, today) for number in range(subjects.SHARDS)}

    def take(self, messages: Messages, store: Callable[[Sequence[Change]], object] = lambda _: None) -> None:
        """`store` is handed the changes between counting and settling, as in a commit."""
        of_shard = defaultdict(list)
        for (subject, _), batch in zip(messages, decoded([data for _, data in messages]), strict=True):
            of_shard[int(subject.rpartition(".")[2])].append(batch)
        changes = [
            self.shards[number].absorb(Columns.of(batches), lambda _: "UTC") for number, batches in of_shard.items()
        ]
        store(changes)
        for change in changes:
            self.shards[change.shard].settle(change)


def decoded(data: Sequence[bytes]) -> list[Any]:
    now = datetime.now(UTC)
    found = decode_all([(one, now) for one in data])
    for one in found:
        if isinstance(one, ValueError):
            raise one
    return found


def in_chunks(messages: Messages) -> Iterator[Messages]:
    for start in range(0, len(messages), AT_A_TIME):
        yield messages[start : start + AT_A_TIME]


def limit(before: Messages, backlog: Messages) -> Figure:
    """What no pipeline around this decoding and this counting can beat."""
    counted = Counted()
    for chunk in in_chunks(before):
        counted.take(chunk)
    began = time.perf_counter()
    for chunk in in_chunks(backlog):
        counted.take(chunk)
    return time.perf_counter() - began, None


class Redis:
    """A Redis Stream with the same messages; the position in it is stored with the state, in one MULTI."""

    def __init__(self, port: str) -> None:
        import redis

        self.client: Any = redis.Redis(port=int(port))  # its types fit every protocol version, and none
        self.position = b"0"

    def fill(self, messages: Messages) -> None:
        for chunk in in_chunks(messages):
            pipe = self.client.pipeline(transaction=False)
            for subject, data in chunk:
                pipe.xadd(_STREAM, {"subject": subject, "data": data})
            pipe.execute()

    def read(self) -> Iterator[Messages]:
        """Until there is no more."""
        while found := self.client.xread({_STREAM: self.position}, count=AT_A_TIME):
            entries = found[0][1] if isinstance(found, list) else found[_STREAM.encode()][0]
            self.position = entries[-1][0]
            yield [(entry[b"subject"].decode(), entry[b"data"]) for _, entry in entries]

    def commit(self, fill: Callable[[Any], object]) -> None:
        pipe = self.client.pipeline(transaction=True)
        fill(pipe)
        pipe.set("position", self.position)
        pipe.execute()


def redis_engine(before: Messages, backlog: Messages, port: str) -> Figure:
    """Our decoding and our engine; Redis carries the stream and keeps what a change adds."""
    redis, counted = Redis(port), Counted()

    def take_all() -> None:
        for messages in redis.read():
            counted.take(messages, lambda changes: redis.commit(lambda pipe: _put_changes(pipe, changes)))

    return _timed(redis, before, backlog, take_all), None


def _put_changes(pipe: Any, changes: Sequence[Change]) -> None:
    for change in changes:
        key, fresh = change.shard, change.fresh
        if len(fresh):
            pipe.rpush(f"delta:{key}", fresh.series.tobytes() + fresh.user.tobytes() + fresh.day.tobytes())
        if change.new_series:
            pipe.hset(f"series:{key}", mapping={number: "\0".join(name) for number, name in change.new_series.items()})
        if change.new_zones:
            pipe.hset(f"zones:{key}", mapping=change.new_zones)
        if change.people:
            pipe.hset(f"people:{key}", mapping={f"{account}\0{user}": name for account, user, name in change.people})


def redis_postgres(before: Messages, backlog: Messages, port: str, url: str) -> Figure:
    """Our decoding, our engine and our commit; only the stream is another one."""
    from pydantic import SecretStr

    from uptake.settings import DatabaseSettings

    return asyncio.run(_redis_postgres(before, backlog, port, DatabaseSettings(database_url=SecretStr(url)))), None


async def _redis_postgres(before: Messages, backlog: Messages, port: str, settings: Any) -> float:
    from redis.asyncio import Redis as Client

    from uptake import database
    from uptake.clock import utc_now
    from uptake.reader import Cursor, Entry
    from uptake_metrics.counting import Counting

    async def reject(entry: Entry, error: Exception) -> None:
        raise error

    engine, client, filler = database.engine(settings), Client(port=int(port)), Redis(port)
    counting = Counting(engine, lambda _: "UTC", utc_now, reject)
    position, cursor = b"0", await counting.load()

    async def take_all() -> None:
        nonlocal position, cursor
        while found := await client.xread({_STREAM: position}, count=AT_A_TIME):
            stored = found[0][1] if isinstance(found, list) else found[_STREAM.encode()][0]
            position, first = stored[-1][0], cursor.sequence + 1
            entries = [
                Entry(number, entry[b"subject"].decode(), entry[b"data"], utc_now())
                for number, (_, entry) in enumerate(stored, first)
            ]
            new = Cursor("redis", entries[-1].sequence)
            await counting.apply(counting.prepare(entries), cursor, new)
            cursor = new

    filler.fill(before)
    await take_all()
    filler.fill(backlog)
    began = time.perf_counter()
    await take_all()
    took_s = time.perf_counter() - began
    await client.aclose()
    await engine.dispose()
    return took_s


def redis_sets(before: Messages, backlog: Messages, port: str) -> Figure:
    """The state as a Redis user keeps it: a set of users per account, environment, feature and day."""
    redis = Redis(port)

    def take_all() -> None:
        for messages in redis.read():
            users: dict[str, set[str]] = defaultdict(set)
            for account, environment, feature, user, day in rows(messages):
                users[f"{account}:{environment}::{day}"].add(user)
                users[f"{account}:{environment}:{feature}:{day}"].add(user)
            redis.commit(partial(_put_sets, users))

    took_s = _timed(redis, before, backlog, take_all)
    return took_s, sum(redis.client.scard(key) for key in redis.client.keys(f"{WATCHED}:production::*"))


def _put_sets(users: Mapping[str, set[str]], pipe: Any) -> None:
    for key, who in users.items():
        pipe.sadd(key, *who)


def _timed(redis: Redis, before: Messages, backlog: Messages, take_all: Callable[[], None]) -> float:
    redis.fill(before)
    take_all()
    redis.fill(backlog)
    began = time.perf_counter()
    take_all()
    return time.perf_counter() - began


def bytewax(before: Messages, backlog: Messages) -> Figure:
    """A dataflow in memory, one worker, without recovery: flat_map, key_on, stateful_map, sets per day."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    state_of: dict[str, dict[tuple[str, str, int], set[str]]] = {}

    def count(state: Any, row: tuple[str, str, str, str, int]) -> tuple[Any, int]:
        account, environment, feature, user, day = row
        if state is None:
            state = state_of.setdefault(account, {})
        total = state.setdefault((environment, "", day), set())
        total.add(user)
        state.setdefault((environment, feature, day), set()).add(user)
        return state, len(total)

    def run(messages: Messages) -> None:
        flow = Dataflow("usage")
        stream = op.input("in", flow, TestingSource(messages, batch_size=AT_A_TIME))
        each = op.flat_map("events", stream, lambda message: rows([message]))
        keyed = op.key_on("account", each, lambda row: row[0])
        counted = op.stateful_map("count", keyed, count)
        rare = op.filter("none", counted, lambda _: False)
        op.output("out", rare, TestingSink([]))
        run_main(flow)  # type: ignore[no-untyped-call]  # it has no types

    run(before)
    began = time.perf_counter()
    run(backlog)
    took_s = time.perf_counter() - began
    return took_s, sum(len(who) for key, who in state_of[WATCHED].items() if key[:2] == ("production", ""))


_TABLES = """
CREATE TABLE active (account text, environment text, feature text, day int, person text,
                     PRIMARY KEY (account, environment, feature, day, person));
CREATE TABLE position (sequence bigint);
INSERT INTO position VALUES (0);
"""
_STAGE = """
CREATE TEMP TABLE staged (account text, environment text, feature text, person text, day int) ON COMMIT DELETE ROWS
"""
_COUNT = """
INSERT INTO active
SELECT DISTINCT account, environment, feature, day, person FROM staged
UNION SELECT DISTINCT account, environment, '', day, person FROM staged
ON CONFLICT DO NOTHING
"""
_COUNTED = "SELECT count(*) FROM active WHERE account = $1 AND environment = 'production' AND feature = ''"


def sql(before: Messages, backlog: Messages, nats_url: str, dsn: str) -> Figure:
    """COPY into a staging table, the rest in SQL, the position in the same transaction; read from USAGE."""
    return asyncio.run(_sql(before, backlog, nats_url, dsn))


async def _sql(before: Messages, backlog: Messages, nats_url: str, dsn: str) -> Figure:
    import asyncpg
    import nats

    from .services import lay_out

    client, database = await nats.connect(nats_url), await asyncpg.connect(dsn)
    await database.execute(_TABLES)
    await database.execute(_STAGE)
    reading = await client.jetstream().pull_subscribe("usage.v1.*", durable="peer", stream=_STREAM)

    async def take(number: int) -> None:
        while number:
            messages = await reading.fetch(min(AT_A_TIME, number))
            number -= len(messages)
            async with database.transaction():
                happened = list(rows([(message.subject, message.data) for message in messages]))
                await database.copy_records_to_table("staged", records=happened)
                await database.execute(_COUNT)
                await database.execute("UPDATE position SET sequence = $1", messages[-1].metadata.sequence.stream)
            await asyncio.gather(*(message.ack() for message in messages))

    await lay_out(client, before)
    await take(len(before))
    await lay_out(client, backlog)
    began = time.perf_counter()
    await take(len(backlog))
    took_s = time.perf_counter() - began
    counted = await database.fetchval(_COUNTED, WATCHED)
    await client.close()
    await database.close()
    return took_s, counted


PEERS: dict[str, Callable[..., Figure]] = {
    "limit": limit,
    "redis-engine": redis_engine,
    "redis-postgres": redis_postgres,
    "redis-sets": redis_sets,
    "bytewax": bytewax,
    "sql": sql,
}

if __name__ == "__main__":
    peer, before_file, backlog_file, *addresses = sys.argv[1:]
    seconds, found = PEERS[peer](read(Path(before_file)), read(Path(backlog_file)), *addresses)
    sys.stdout.write(f"{seconds} {found}\n")
