"""One event's whole way, as a user goes it: `uptake up`, events by HTTP and NATS, numbers, an alert at a person's door.

Everything is real: the supervisor, nats-server, PostgreSQL, the three services, the CLI. Everything is said twice.
"""

import asyncio
import contextlib
import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import nats
import pytest

from tests.receiver import Receiver

UPTAKE = Path(sysconfig.get_path("scripts")) / "uptake"
SECRET = "only this test knows"
TODAY = datetime.now(UTC).date()
ACCOUNT = "acme/eu €"  # a name that every layer has to quote

Event = dict[str, Any]


class Uptake:
    """A running instance and its command line."""

    def __init__(self, data: Path, port: int, *options: str) -> None:
        self.data, self.port = data, port
        with (data / "up.log").open("w") as log:
            command = [str(UPTAKE), "up", "--data", str(data), "--port", str(port), *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        until(lambda: (data / "instance.json").exists() or self.process.poll() is not None, 90)
        assert self.process.poll() is None, (data / "up.log").read_text()

    def url(self, offset: int, path: str) -> str:
        return f"http://127.0.0.1:{self.port + offset}{path}"

    def get(self, offset: int, path: str, **params: str) -> Any:
        answer = httpx2.get(self.url(offset, path), params=params, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, events: list[Event]) -> dict[str, Any]:
        key = (self.data / "producer.key").read_text().strip()
        answer = httpx2.post(
            self.url(1, "/v1/events"), json=events, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(UPTAKE), "--data", str(self.data), *arguments, "--json"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def cli(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def until(holds: Callable[[], bool], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver(SECRET)
    yield receiver
    receiver.close()


@pytest.fixture
def uptake(tmp_path: Path, receiver: Receiver, free_port: Callable[[], int]) -> Iterator[Uptake]:
    data = tmp_path / "with a blank é"
    (data / "config").mkdir(parents=True)
    (data / "config" / "routes.yml").write_text(
        json.dumps(
            {
                "channels": {
                    "ce-1": {
                        "type": "webhook",
                        "url": receiver.url,
                        "secret": SECRET,
                        "allow_private": True,
                        "serves": ["ce-1"],
                    }
                },
                "default": [],
            }
        )
    )
    running = Uptake(data, free_port())
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def at(day: date, hour: int = 9) -> str:
    return f"{day}T{hour:02}:00:00Z"


def ago(days: int) -> date:
    return TODAY - timedelta(days)


def facts() -> list[Event]:
    """An account half a year in production with 40 seats, and a trial of 25 days: both over their limits."""
    return [
        {
            "id": "f1",
            "type": "account.updated",
            "occurred_at": at(ago(140)),
            "account": ACCOUNT,
            "time_zone": "UTC",
            "owner": "ce-1",
            "production_date": str(ago(129)),
        },
        {
            "id": "f2",
            "type": "license.issued",
            "occurred_at": at(ago(140)),
            "account": ACCOUNT,
            "license": "l1",
            "seats": 40,
        },
        {
            "id": "f3",
            "type": "opportunity.stage_changed",
            "occurred_at": at(ago(25)),
            "opportunity": "o1",
            "account": "prospect",
            "stage": 4,
            "engineer": "ce-1",
        },
    ]


def usage() -> list[Event]:
    """Six people for 34 days, of whom two come daily, and three who come today only."""
    daily = [(user, ago(back)) for user in ("ada", "bob") for back in range(34)]
    weekly = [(user, ago(back)) for user in ("cy", "dee", "eve", "fay") for back in range(0, 34, 7)]
    new = [(user, TODAY) for user in ("gil", "hal", "ivy")]
    return [
        {
            "id": f"u-{user}-{day}",
            "type": "usage",
            "occurred_at": at(day, 0),
            "account": ACCOUNT,
            "user": user,
            "feature": "search",
        }
        for user, day in daily + weekly + new
    ]


def expected(events: list[Event], day: date) -> dict[str, int]:
    """The independent recount: plain sets."""
    return windows_of(by_day(events), day)


def windows_of(of_day: dict[date, set[str]], day: date) -> dict[str, int]:
    def window(days: int) -> list[set[str]]:
        return [of_day.get(day - timedelta(back), set()) for back in range(days)]

    counts = {name: len(set().union(*window(days))) for name, days in (("dau", 1), ("wau", 7), ("mau", 30))}
    return counts | {"user_days": sum(map(len, window(28)))}


def by_day(events: list[Event]) -> dict[date, set[str]]:
    of_day: dict[date, set[str]] = {}
    for event in events:
        of_day.setdefault(date.fromisoformat(event["occurred_at"][:10]), set()).add(event["user"])
    return of_day


async def publish(uptake: Uptake, events: list[Event]) -> None:
    """The other door: the same envelopes on NATS."""
    client = await nats.connect(f"nats://127.0.0.1:{uptake.port + 4}")
    for event in events:
        await client.jetstream().publish("raw.v1.story.usage", json.dumps(event).encode())
    await client.close()


def kpis(uptake: Uptake, day: date) -> Any:
    return uptake.cli("kpis", ACCOUNT, "--as-of", str(day))


async def test_one_events_whole_way(uptake: Uptake, receiver: Receiver) -> None:
    events = usage()
    assert uptake.post(facts())["accepted"] == 3
    assert uptake.post(events[:60])["accepted"] == 60
    await publish(uptake, events[60:])
    until(lambda: kpis(uptake, TODAY)["mau"] == expected(events, TODAY)["mau"])

    # Everything again, by the other door: facts are duplicates for ever, usage is a set.
    assert {result["status"] for result in uptake.post(facts())["results"]} == {"duplicate"}
    conflicting = {**facts()[1], "seats": 7}
    assert uptake.post([conflicting])["results"][0]["status"] == "conflict"
    uptake.post(events[60:])
    await publish(uptake, events[:60])

    # The two notices arrive at the owner's door, signed, once.
    until(lambda: len(of_alerts(receiver)) >= 2)
    yesterday = ago(1)
    for day in (TODAY, yesterday, ago(10)):
        answer, counts = kpis(uptake, day), expected(events, day)
        assert [answer[name] for name in ("dau", "wau", "mau")] == [counts[name] for name in ("dau", "wau", "mau")]
        assert (answer["usage"]["num"], answer["usage"]["den"]) == (counts["user_days"], 28 * counts["mau"])
        assert (answer["adoption"]["num"], answer["adoption"]["den"]) == (counts["mau"], 40)
        users = uptake.cli("users", ACCOUNT, "--as-of", str(day), "--window", "mau")["users"]
        assert len(users) == counts["mau"]
    assert kpis(uptake, yesterday)["adoption"]["status"] == "off_target"

    check_one_number_everywhere(uptake)
    check_notices(uptake, receiver)
    await asyncio.sleep(2)  # a second notice of the same thing would come now
    assert len(of_alerts(receiver)) == 2
    assert uptake.stop() == 0
    assert still_running(uptake) == []


def check_one_number_everywhere(uptake: Uptake) -> None:
    """CLI, API and Prometheus say the same of the account's today."""
    path = f"/api/v1/accounts/{ACCOUNT.replace('/', '%2F')}/kpis"
    answer = uptake.get(2, path)
    assert answer == uptake.cli("kpis", ACCOUNT)
    (line,) = [line for line in uptake.get(2, "/api/v1/accounts") if line["account"] == ACCOUNT]
    assert line["kpis"] == answer
    gauges = {
        "dau": answer["dau"],
        "wau": answer["wau"],
        "mau": answer["mau"],
        "seats": 40,
        "adoption_ratio": answer["adoption"]["value"],
        "adoption_target_ratio": answer["adoption"]["target"],
        "usage_ratio": answer["usage"]["value"],
    }

    def exported() -> dict[str, float]:
        text = httpx2.get(uptake.url(2, "/metrics"), timeout=30).text
        found = re.findall(rf'^uptake_account_(\w+)\{{account="{re.escape(ACCOUNT)}"\}} (\S+)$', text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    until(lambda: exported() == gauges, 10)
    # Nothing is known of an account that never sent anything: absent, not 0.
    text = httpx2.get(uptake.url(2, "/metrics"), timeout=30).text
    assert 'uptake_account_mau{account="prospect"}' not in text


def of_alerts(receiver: Receiver) -> list[dict[str, Any]]:
    """Not the digests that come in the morning."""
    return [notice for notice in receiver.notices if notice["kind"] != "digest"]


def check_notices(uptake: Uptake, receiver: Receiver) -> None:
    assert receiver.forged == 0
    assert Counter(notice["alert"]["rule"] for notice in of_alerts(receiver)) == {
        "adoption-below-target": 1,
        "trial-breached": 1,
    }
    assert len({notice["key"] for notice in of_alerts(receiver)}) == 2
    alerts = {alert["rule"]: alert for alert in uptake.cli("alerts", "list", "--state", "firing")}
    assert {rule: alert["subject"] for rule, alert in alerts.items()} == {
        "adoption-below-target": ACCOUNT,
        "trial-approaching": "o1",
        "trial-breached": "o1",
    }
    assert alerts["trial-breached"]["since"] == str(ago(25 - 22))  # 21 days are within the target, the 22nd is not


def published(uptake: Uptake, day: date) -> dict[str, int | None]:
    """MAU of the day, as it was published, by account."""
    text = httpx2.get(uptake.url(2, "/api/v1/snapshots"), params={"from": str(day), "to": str(day)}, timeout=30).text
    told = [json.loads(line) for line in text.splitlines()]
    return {one["snapshot"]["account"]: one["snapshot"]["kpis"]["mau"] for one in told if one["kind"] == "account"}


async def test_a_changed_rule_is_played_over_what_metrics_published(uptake: Uptake, tmp_path: Path) -> None:
    """Events of a month become closed days, and these say what the rule would have told before it is in force."""
    events, candidate = usage(), tmp_path / "new.yml"
    assert uptake.post(facts())["accepted"] == 3
    assert uptake.post(events)["accepted"] == len(events)
    mau = expected(events, ago(1))["mau"]
    until(lambda: published(uptake, ago(1)) == {ACCOUNT: mau, "prospect": None})  # that has a trial, and no past
    shipped = (uptake.data / "config" / "rules.yml").read_text()
    assert "  - alert: adoption-below-target\n" in shipped
    _, _, tail = shipped.partition("  - alert: adoption-below-target\n")
    candidate.write_text(shipped.replace(tail, tail.replace("for: 3", "for: 20 days", 1)))
    words = ("rules", "backtest", "--rules", str(candidate), "--from", str(ago(33)), "--to", str(ago(1)))

    found = uptake.cli(*words)
    by_rule = {one["rule"]: one for one in found["rules"]}
    assert (found["accounts"], found["days"], found["problems"]) == (2, 33 + 1, [])
    assert by_rule["adoption-below-target"]["episodes"] == {"baseline": 1, "candidate": 1}
    notices = by_rule["adoption-below-target"]["notices"]
    assert notices["baseline"] > notices["candidate"] > 0, "it is told later"
    until(lambda: "adoption-below-target" in {alert["rule"] for alert in uptake.cli("alerts", "list")})

    refused = uptake.run(*words, "--max-notices-per-engineer-week", "0")
    assert (refused.returncode, "ce-1 would get " in refused.stderr) == (1, True)
    candidate.write_text(shipped.replace("metric: usage", "metric: mood", 1))
    wrong = uptake.run(*words)
    assert (wrong.returncode, wrong.stdout, "new.yml: line " in wrong.stderr) == (2, "", True)
    assert uptake.stop() == 0


def still_running(uptake: Uptake) -> list[str]:
    """Processes that name the instance's folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(uptake.data) in command and int(process.name) != os.getpid():
                found.append(command)
    return found if sys.platform == "linux" else []


def activity() -> list[Event]:
    with (files("uptake_local") / "demo_data" / "oss-activity.ndjson.gz").open("rb") as packed:
        return [json.loads(line) for line in gzip.open(packed)]


def compare_2025(uptake: Uptake, events: list[Event]) -> None:
    """Every account on every day of 2025, as the API tells it, against plain sets."""
    of_account: dict[str, list[Event]] = {}
    for event in events:
        of_account.setdefault(event["account"], []).append(event)
    assert len(of_account) == 24
    for account, own in of_account.items():
        history = uptake.get(2, f"/api/v1/accounts/{account}/history", **{"from": "2025-01-01", "to": "2025-12-31"})
        assert len(history) == 365
        of_day = by_day(own)
        for answer in history:
            counts = windows_of(of_day, date.fromisoformat(answer["as_of"]))
            told = {name: answer[name] for name in ("dau", "wau", "mau")} | {"user_days": answer["usage"]["num"]}
            assert told == counts, (account, answer["as_of"])


async def test_real_activity_imported_as_a_user_does(uptake: Uptake, tmp_path: Path) -> None:
    """The whole file by `uptake import`, and once more shuffled and with a fifth of the lines twice."""
    events = activity()
    shipped = files("uptake_local") / "demo_data" / "oss-activity.ndjson.gz"
    assert uptake.cli("import", str(shipped), "--reason", "history")["accepted"] == len(events)
    compare_2025(uptake, events)
    rng = random.Random(2025)
    lines = events + rng.sample(events, len(events) // 5)
    rng.shuffle(lines)
    again = tmp_path / "again.ndjson"
    again.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert uptake.cli("import", str(again), "--reason", "once more")["accepted"] == len(lines)
    compare_2025(uptake, events)
    assert uptake.stop() == 0


@pytest.fixture
def demo(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Uptake]:
    running = Uptake(tmp_path, free_port(), "--demo")
    try:
        until(lambda: "The demo is loaded" in (tmp_path / "up.log").read_text(), 180)
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def test_the_demo_shows_alerts_in_several_states_and_who_is_on_call(demo: Uptake) -> None:
    """What README.md promises of `./dev up --demo`."""
    alerts = demo.cli("alerts", "list")
    assert {"firing", "resolved"} <= {alert["state"] for alert in alerts}
    assert {"info", "warning", "critical"} <= {alert["severity"] for alert in alerts}
    assert {"trial-breached", "trial-approaching", "account-dormant", "usage-unhealthy"} <= {a["rule"] for a in alerts}
    handled = {(a["rule"], a["account"]): a["handling"]["state"] for a in alerts if a["resolved_at"] is None}
    assert handled["adoption-below-target", "sourcegraph"] == "acked"
    assert handled["usage-unhealthy", "demo-globex"] == "snoozed"
    assert [silence["matchers"] for silence in demo.cli("silences", "list")] == [["account=caronc"]]
    rotations = {rotation["rotation"]: rotation["on_call"] for rotation in demo.cli("oncall", "who")}
    assert rotations.keys() == {"us-west", "us-east", "international"}
    assert all(rotations.values())
    told = {notice["person"] for alert in alerts for notice in alert["deliveries"] if notice["status"] == "delivered"}
    assert {"ce-dana", "ce-omar", "ce-mara"} <= told
    assert demo.stop() == 0
