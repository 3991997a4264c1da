"""Batches of 100 on USAGE -> decoded -> counted -> committed by one metrics process, beside its limit and its peers.

The process runs, has counted the day before and is calm; it is frozen while the backlog is put on USAGE, and the clock
runs from its release to its last commit in PostgreSQL. A peer has its imports, connections and the day before behind
it, too, when its clock starts.
"""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, run

from .frame import Contestant, Measure, Size
from .servers import Postgres, folder, nats, postgres, provisioned, python, redis, sibling, with_client
from .services import committed, ends, lay_out, metrics, until_calm, without_proxy
from .traffic import WATCHED, Messages, batches, history, usage, watched_user_days, write

NAMES = ("batches",)

_EVENTS = {Size.SMALL: 120_000, Size.FULL: 400_000}
_PREPARED = "prepared"  # the database in which the day before is counted


def measures(size: Size) -> Iterator[Measure]:
    events = _EVENTS[size]
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        database = stack.enter_context(postgres(place / "postgres"))
        race = Race(place, database, events)
        yield Measure(
            "batches",
            f"batches of 100 on USAGE to the last commit, one metrics process ({events:,} events)",
            "events/s",
            higher_is_better=True,
            ours=Contestant("uptake-metrics", race.ours),
            peers=(
                Contestant("the limit: decode and apply in process", lambda: race.peer("limit"), 0.65),
                Contestant("Redis Streams, our engine and our commit", race.redis_postgres, 1.3),
                Contestant("Redis Streams, sets in Redis, position in one MULTI", race.redis_sets, 1.3),
                # No bound: it differs from the limit by its reading alone, so 1.3 of it lies above the limit itself.
                Contestant("Redis Streams, our engine, synced once a second in one MULTI", race.redis_engine),
                Contestant("bytewax in memory", lambda: race.peer("bytewax"), 2),
                Contestant("PostgreSQL COPY and SQL", race.sql, 2),
            ),
        )


class Race:
    """One set of data for everybody, and new stores for each run."""

    def __init__(self, place: Path, database: Postgres, events: int) -> None:
        now = datetime.now(UTC)
        self._place, self._database, self._events = place, database, events
        before, self._backlog = batches(history(events, now), now), batches(usage(events, now), now)
        self._files = place / "before", place / "backlog"
        for file, messages in zip(self._files, (before, self._backlog), strict=True):
            write(file, messages)
        self._user_days = watched_user_days([*before, *self._backlog])
        self._store = place / "prepared"
        self._last_before = before[-2:]
        self._count_before(before[:-2])

    def _count_before(self, before: Messages) -> None:
        """Once: broker and database as they are when the day before is counted and published."""
        self._database.sql(f"CREATE DATABASE {_PREPARED} TEMPLATE migrated")
        with nats(self._store, always=False) as url:
            provisioned(url)
            with metrics(url, self._database.url(_PREPARED), self._place) as processes:
                self._count(url, before, _PREPARED)
                until_calm(processes)

    def _count(self, url: str, messages: Messages, name: str) -> None:
        with_client(url, lambda client: lay_out(client, messages))
        asyncio.run(committed(self._database.dsn(name), with_client(url, ends)))

    def ours(self, replicas: int = 1) -> float:
        with ExitStack() as stack:
            place = stack.enter_context(folder())
            shutil.copytree(self._store, place / "nats")
            url = stack.enter_context(nats(place / "nats", always=False))
            name = stack.enter_context(self._database.database(_PREPARED))
            processes = stack.enter_context(metrics(url, self._database.url(name), place, replicas))
            self._count(url, self._last_before, name)  # every statement has been prepared once
            until_calm(processes)
            for process in processes:
                process.signal(signal.SIGSTOP)
            with_client(url, lambda client: lay_out(client, self._backlog))
            wanted = with_client(url, ends)
            began = time.perf_counter()
            for process in processes:
                process.signal(signal.SIGCONT)
            took_s = asyncio.run(committed(self._database.dsn(name), wanted)) - began
            self._check(user_days(processes[0].port))
            return self._events / took_s

    def peer(self, name: str, *arguments: str) -> float:
        """A contestant of `pipeline_peers`; it says how many seconds it took, and what it counted."""
        files = [str(file) for file in self._files]
        program = python(name, sibling("pipeline_peers"), name, *files, *arguments)
        with (self._place / f"{name}.log").open("ab") as log:
            done = run(program.argv, **program.options(), stdout=PIPE, stderr=log, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError((self._place / f"{name}.log").read_text()[-500:])
        took_s, found = done.stdout.split()
        if found != "None":
            self._check(int(found))
        return self._events / float(took_s)

    def _check(self, found: int) -> None:
        """A fast wrong answer is none."""
        if found != self._user_days:
            raise RuntimeError(f"{found} user-days of {WATCHED} were counted, not {self._user_days}")

    def redis_engine(self) -> float:
        with folder() as store, redis(store / "redis") as port:
            return self.peer("redis-engine", str(port))

    def redis_postgres(self) -> float:
        with folder() as store, redis(store / "redis") as port, self._database.database() as name:
            return self.peer("redis-postgres", str(port), self._database.url(name))

    def redis_sets(self) -> float:
        with folder() as store, redis(store / "redis") as port:
            return self.peer("redis-sets", str(port))

    def sql(self) -> float:
        with folder() as store, nats(store, always=False) as url, self._database.database("postgres") as name:
            provisioned(url)
            return self.peer("sql", url, self._database.dsn(name))


def user_days(port: int) -> int:
    """Of the watched account, as a user reads them: the DAU of 40 days."""
    today = datetime.now(UTC).date()
    query = f"from={today - timedelta(days=40)}&to={today}"
    with without_proxy().open(f"http://127.0.0.1:{port}/api/v1/accounts/{WATCHED}/history?{query}", timeout=30) as said:
        return sum(day["dau"] or 0 for day in json.load(said))
