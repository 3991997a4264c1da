"""Services of ours as processes under measurement: how they start, get their work and are waited for."""

import asyncio
import hashlib
import json
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # it has no types
from nats.aio.client import Client

from uptake import subjects

from .servers import Process, free_port, python, running

KEY = "bench-key"
_CALM_PERCENT = 15.0  # of one core: what a service does while nothing comes
_CALM_S = 0.5
_POLL_S = 0.002
_PATIENCE_S = 120.0


def without_proxy() -> urllib.request.OpenerDirector:
    """The environment may name one, and loopback is none of its business."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    try:
        with without_proxy().open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def metrics(
    nats_url: str, database_url: str, folder: Path, replicas: int = 1, module: str = "uptake_metrics.app"
) -> Iterator[list[Process]]:
    """Ready replicas over one database; `module` is what starts one."""
    with ExitStack() as stack:
        yield [stack.enter_context(_metrics(nats_url, database_url, folder, n, module)) for n in range(replicas)]


@contextmanager
def _metrics(nats_url: str, database_url: str, folder: Path, number: int, module: str) -> Iterator[Process]:
    port = free_port()
    environment = {"UPTAKE_NATS_URL": nats_url, "UPTAKE_DATABASE_URL": database_url, "UPTAKE_HTTP_PORT": str(port)}
    program = python(f"metrics-{number}", module, env=environment)
    with running(program, folder / f"metrics-{number}.log", lambda: answers(f"http://127.0.0.1:{port}/readyz")) as one:
        one.port = port
        yield one


@contextmanager
def ingestion(
    nats_url: str, folder: Path, module: str = "uptake_ingestion.app", *, until_ready: bool = True
) -> Iterator[Process]:
    """One process; the key of its one producer is `KEY`."""
    keys = folder / "keys"
    keys.write_text(json.dumps({"producer": "bench", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}) + "\n")
    port = free_port()
    environment = {
        "UPTAKE_NATS_URL": nats_url,
        "UPTAKE_HTTP_PORT": str(port),
        "UPTAKE_PRODUCER_KEYS_FILE": str(keys),
    }

    def is_ready() -> bool:
        return not until_ready or answers(f"http://127.0.0.1:{port}/readyz")

    with running(python("ingestion", module, env=environment), folder / "ingestion.log", is_ready) as process:
        process.port = port
        yield process


def until_calm(processes: Sequence[Process]) -> None:
    """Until they do no more than services do while nothing comes: what was counted is published, shards are divided."""
    watched = [psutil.Process(process.pid) for process in processes]
    deadline = time.monotonic() + _PATIENCE_S
    for one in watched:
        one.cpu_percent()
    calm = 0
    while calm < 2 and time.monotonic() < deadline:
        time.sleep(_CALM_S)
        calm = calm + 1 if max(one.cpu_percent() for one in watched) < _CALM_PERCENT else 0


async def lay_out(client: Client, messages: Sequence[tuple[str, bytes]], stream: str = subjects.USAGE) -> None:
    """Put messages on a stream, without waiting for each."""
    js = client.jetstream()
    before = (await js.stream_info(stream)).state.last_seq
    for number, (subject, data) in enumerate(messages, 1):
        await client.publish(subject, data)
        if number % 500 == 0:
            await client.flush(30)
    await client.flush(60)
    deadline = time.monotonic() + 60
    while (found := (await js.stream_info(stream)).state.last_seq) < before + len(messages):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{stream} holds {found} messages, not {before + len(messages)}")
        await asyncio.sleep(0.01)


async def ends(client: Client) -> dict[int, int]:
    """The last sequence of each shard that has messages."""
    js = client.jetstream()
    info = await js.stream_info(subjects.USAGE, subjects_filter="usage.v1.*")
    shards = [int(subject.rpartition(".")[2]) for subject in info.state.subjects or {}]
    return {shard: (await js.get_last_msg(subjects.USAGE, subjects.usage(shard))).seq or 0 for shard in shards}


async def committed(dsn: str, wanted: Mapping[int, int]) -> float:
    """Waits until every shard stands at least there; when that was seen, on the clock of `time.perf_counter`."""
    connection = await asyncpg.connect(dsn)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            rows = await connection.fetch("SELECT shard, sequence FROM metrics.shard")
            seen = time.perf_counter()
            stands = {row["shard"]: row["sequence"] for row in rows}
            if all(stands[shard] >= sequence for shard, sequence in wanted.items()):
                return seen
            if time.monotonic() > deadline:
                raise RuntimeError(f"not committed after {_PATIENCE_S:.0f} s: {stands}, wanted {dict(wanted)}")
            await asyncio.sleep(_POLL_S)
    finally:
        await connection.close()
