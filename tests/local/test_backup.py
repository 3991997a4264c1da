"""A backup of a running instance, restored elsewhere, is what it was: numbers, people, trials, alerts, positions."""

import asyncio
import itertools
import json
import random
import signal
import stat
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx2
import nats
import pytest

from uptake.provision import provision
from uptake.streams import STREAMS, stream_uuid
from uptake_local import backup_file
from uptake_local.backup import moment

UPTAKE = Path(sysconfig.get_path("scripts")) / "uptake"
TODAY = datetime.now(UTC).date()
ACCOUNT, BUSY = "acme/eu €", "busy"
PEOPLE = {f"user-{n}" for n in range(12)}  # of ACCOUNT

Event = dict[str, Any]


def until(holds: Callable[[], bool], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([UPTAKE, *words], capture_output=True, text=True, timeout=120)


class Running:
    def __init__(self, data: Path, port: int) -> None:
        self.data, self.port = data, port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.data.with_suffix(".log")
        with log.open("w") as out:
            words = [UPTAKE, "up", "--data", self.data, "--port", str(self.port)]
            self.process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
        process = self.process
        until(lambda: (self.data / "instance.json").exists() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0
            self.process = None

    def get(self, offset: int, path: str) -> Any:
        answer = httpx2.get(f"http://127.0.0.1:{self.port + offset}{path}", timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, events: list[Event]) -> None:
        key = (self.data / "producer.key").read_text().strip()
        url, headers = f"http://127.0.0.1:{self.port + 1}/v1/events", {"Authorization": f"Bearer {key}"}
        answer = httpx2.post(url, json=events, headers=headers, timeout=30)
        assert answer.json()["accepted"] == len(events), answer.text

    def status_of(self, event: Event) -> str:
        key = (self.data / "producer.key").read_text().strip()
        url, headers = f"http://127.0.0.1:{self.port + 1}/v1/events", {"Authorization": f"Bearer {key}"}
        return str(httpx2.post(url, json=[event], headers=headers, timeout=30).json()["results"][0]["status"])

    def import_file(self, folder: Path, event: Event) -> str:
        (folder / "history.ndjson").write_text(json.dumps(event))
        done = run("--data", self.data, "import", folder / "history.ndjson", "--reason", "history", "--json")
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["import_id"])

    def people(self, account: str, feature: str = "") -> set[str]:
        """Whom it counts by now; nobody while it has not heard of the account."""
        query = f"?as_of={TODAY}&window=mau" + (f"&feature={feature}" if feature else "")
        path = f"/api/v1/accounts/{quote(account, safe='')}/users{query}"
        answer = httpx2.get(f"http://127.0.0.1:{self.port + 2}{path}", timeout=30)
        assert answer.status_code in (200, 404), answer.text
        return set(answer.json().get("users", ()))

    def answers(self, import_id: str) -> dict[str, Any]:
        """All that it says of what does not change any more."""
        name, yesterday = quote(ACCOUNT, safe=""), TODAY - timedelta(1)
        paths = [f"/api/v1/accounts/{name}/history?from={TODAY - timedelta(60)}&to={yesterday}"]
        paths += [
            f"/api/v1/accounts/{name}/users?as_of={yesterday}&window={window}" for window in ("dau", "wau", "mau")
        ]
        paths += ["/api/v1/trials", f"/api/v1/accounts/{name}/kpis", f"/api/v1/imports/{import_id}"]
        said = {path: self.get(2, path) for path in paths}
        return said | {
            alert["id"]: self.get(3, f"/api/v1/alerts/{alert['id']}") for alert in self.get(3, "/api/v1/alerts")
        }

    async def streams(self) -> dict[str, tuple[str | None, int, int]]:
        client = await nats.connect(f"nats://127.0.0.1:{self.port + 4}")
        infos = [await client.jetstream().stream_info(str(stream.name)) for stream in STREAMS]
        await client.close()
        return {str(i.config.name): (stream_uuid(i), i.state.first_seq, i.state.last_seq) for i in infos}


def usage(account: str, user: str, day: date, name: str) -> Event:
    at = f"{day}T00:00:{len(name) % 60:02}Z"
    return {"id": name, "type": "usage", "occurred_at": at, "account": account, "user": user, "feature": "edit"}


def history() -> list[Event]:
    """Over its limits in three ways: 12 people for 40 seats, who come too seldom, and a trial of 25 days."""
    since, trial = TODAY - timedelta(200), TODAY - timedelta(25)
    facts = [
        {"type": "account.updated", "account": ACCOUNT, "owner": "ce-1", "production_date": str(since)},
        {"type": "license.issued", "account": ACCOUNT, "license": "l1", "seats": 40},
        {"type": "opportunity.stage_changed", "opportunity": "o1", "account": ACCOUNT, "stage": 4, "engineer": "ce-1"},
    ]
    days = [since, since, trial]
    told = [{"id": f"f{n}", "occurred_at": f"{days[n]}T09:00:00Z", **fact} for n, fact in enumerate(facts)]
    people = [(n, TODAY - timedelta(back)) for n in range(12) for back in range(0, 34, n + 1)]
    return told + [usage(ACCOUNT, f"user-{n}", day, f"u-{n}-{day}") for n, day in people]


class Stream(threading.Thread):
    """Sends events of one new user each, and remembers when each was acknowledged."""

    def __init__(self, to: Running) -> None:
        super().__init__(daemon=True)
        self._to, self._stop_it, self.acknowledged = to, threading.Event(), dict[str, float]()

    def run(self) -> None:
        number = 0
        while not self._stop_it.is_set():
            names = [f"s-{number + n:06}" for n in range(7)]
            self._to.send([usage(BUSY, name, TODAY, name) for name in names])
            self.acknowledged |= dict.fromkeys(names, time.monotonic())
            number += 7

    def stop(self) -> None:
        self._stop_it.set()
        self.join()

    def before(self, moment: float) -> set[str]:
        return {name for name, at in self.acknowledged.items() if at < moment}


@pytest.fixture
def running(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Running]:
    instance = Running(tmp_path / "with a blank é", free_port())
    instance.start()
    yield instance
    if instance.process is not None:
        instance.process.kill()
        instance.process.wait()


async def test_a_restored_instance_is_what_it_was(running: Running, tmp_path: Path) -> None:
    running.send(history())
    until(lambda: running.people(ACCOUNT) == PEOPLE)
    until(lambda: told(running.get(3, "/api/v1/alerts")) == 3, 120)
    import_id = running.import_file(tmp_path, usage(ACCOUNT, "old-hand", TODAY - timedelta(50), "i1"))
    until(lambda: ACCOUNT in [line["account"] for line in running.get(2, "/api/v1/accounts")])
    stream, kept = Stream(running), tmp_path / "kept"
    stream.start()
    until(lambda: len(stream.acknowledged) > 200)
    before, began, was = running.answers(import_id), time.monotonic(), await running.streams()
    done = run("--data", running.data, "backup", kept, "--json")
    ended = time.monotonic()
    assert done.returncode == 0, done.stderr
    until(lambda: len(stream.before(ended)) + 50 < len(stream.acknowledged))  # it went on meanwhile
    stream.stop()
    assert running.answers(import_id) == before
    check_the_file(kept, json.loads(done.stdout), was)
    running.stop()

    other = Running(tmp_path / "elsewhere", running.port)
    done = run("restore", kept, "--data", other.data, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == str(other.data)
    other.start()
    try:
        found = await until_counted(other)
        assert stream.before(began) <= found <= set(stream.acknowledged)
        assert found == {f"s-{n:06}" for n in range(len(found))}  # each of them wholly, and none out of turn
        assert other.answers(import_id) == before
        streams = await other.streams()
        assert {name: uuid for name, (uuid, _, _) in streams.items()} == {
            name: uuid for name, (uuid, _, _) in was.items()
        }
        assert all(streams[name][2] >= last for name, (_, _, last) in was.items())
        check = run("--data", other.data, "rebuild", "--check", "--json")
        assert (check.returncode, json.loads(check.stdout)["differing"]) == (0, 0), check.stdout + check.stderr
        other.send([usage(BUSY, "after", TODAY, "after"), usage(ACCOUNT, "new-hand", TODAY, "new-hand")])
        assert other.status_of(history()[0]) == "duplicate"
        until(lambda: "after" in other.people(BUSY))
        assert other.people(BUSY, "edit") == other.people(BUSY) == found | {"after"}
        assert other.people(ACCOUNT) == PEOPLE | {"new-hand"}
    finally:
        other.stop()


def told(alerts: list[dict[str, Any]]) -> int:
    """Of how many somebody heard; others wait for the digest."""
    return sum(notice["status"] == "delivered" for alert in alerts for notice in alert["deliveries"])


async def until_counted(other: Running) -> set[str]:
    """Whom BUSY has once all that USAGE holds is counted: the same people in total and by feature."""
    last = (await other.streams())["USAGE"][2]
    metrics = f"http://127.0.0.1:{other.port + 2}/metrics"
    until(lambda: 'uptake_metrics_lag_messages{stream="USAGE"} 0.0' in httpx2.get(metrics, timeout=30).text)
    assert (await other.streams())["USAGE"][2] >= last
    found = other.people(BUSY)
    assert other.people(BUSY, "edit") == found
    assert other.get(2, f"/api/v1/accounts/{BUSY}/kpis")["mau"] == len(found)
    return found


def check_the_file(kept: Path, said: dict[str, Any], was: dict[str, tuple[str | None, int, int]]) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not kept.with_name("kept.part").exists()
    assert said["bytes"] == kept.stat().st_size
    manifest = backup_file.verify(kept)
    for name, (uuid, _, last) in was.items():
        assert said["streams"][name]["uuid"] == uuid
        assert said["streams"][name]["last_sequence"] >= last
        assert (manifest.streams[name]["cut_at"] is None) == (name not in ("KPI", "ALERT"))
    names = {name for name, _ in backup_file.members(kept, "files")}
    assert {"producer.key", "config/routes.yml", "secrets/postgres", "secrets/producers.jsonl"} <= names
    assert not any("database-url" in name for name in names)


async def test_the_moment_is_one_at_which_database_and_published_streams_agree(
    nats_server: Any, database_url: str
) -> None:
    """Rows are written, then published, then marked as sent, as metrics and alerting do it, without a pause."""
    url = database_url.replace("+asyncpg", "")
    client, writer, looker = await nats.connect(nats_server.url), *[await asyncpg.connect(url) for _ in range(2)]
    js = client.jetstream()
    await provision(js)
    await writer.execute("CREATE TABLE snapshot (n int PRIMARY KEY, sent bool NOT NULL)")
    rng, stop = random.Random(11), asyncio.Event()

    async def publish() -> None:
        for n in itertools.count(1):
            await writer.execute("INSERT INTO snapshot VALUES ($1, false)", n)
            assert (await js.publish("kpi.account.v1.a", b"x")).seq == n
            await writer.execute("UPDATE snapshot SET sent = true WHERE n = $1", n)
            if stop.is_set():
                return
            await asyncio.sleep(rng.choice([0, 0, 0, 0.004]))

    publishing, met = asyncio.create_task(publish()), set()
    for _ in range(20):
        taker = await asyncpg.connect(url)
        snapshot, ends = await moment(taker, js)
        async with looker.transaction(isolation="repeatable_read", readonly=True):
            await looker.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            known, sent = await looker.fetchrow("SELECT count(*), count(*) FILTER (WHERE sent) FROM snapshot")
        assert sent <= ends["KPI"] <= known  # all that is called sent is there, and all that is there is known
        met.add(ends["KPI"])
        await taker.close()
    stop.set()
    await publishing
    assert len(met) > 5
    for connection in (writer, looker):
        await connection.close()
    await client.close()


def test_it_is_refused_where_nothing_runs(tmp_path: Path) -> None:
    done = run("--data", tmp_path, "backup", tmp_path / "file")
    assert (done.returncode, list(tmp_path.iterdir())) == (3, [])
    assert "Nothing runs" in done.stderr


def test_what_went_away_leaves_no_half_a_file(tmp_path: Path, free_port: Callable[[], int]) -> None:
    (tmp_path / "secrets").mkdir()
    for name in ("postgres", "nats-provisioner"):
        (tmp_path / "secrets" / name).write_text("secret\n")
    (tmp_path / "instance.json").write_text(json.dumps({"ports": {"console": free_port()}}))
    done = run("--data", tmp_path, "backup", tmp_path / "file")
    assert done.returncode == 3, done.stderr
    assert "Nothing was written" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["instance.json", "secrets"]


def test_a_file_is_replaced_only_on_demand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    done = run("--data", tmp_path, "backup", tmp_path / "file")
    assert (done.returncode, (tmp_path / "file").read_text()) == (1, "precious")
    assert "--force" in done.stderr
