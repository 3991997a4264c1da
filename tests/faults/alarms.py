"""Accounts that are below their target whatever is counted: one alert and one notice of it each. Knows no fault."""

import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from tests.faults.cluster import Cluster
from tests.faults.producers import Envelope, HttpProducer, Unacknowledged
from tests.receiver import Receiver
from uptake_alerting.rule_file import SHIPPED

WATCHED = ("web-0", "north-0", "east-0")
SECRET = "only these tests know"
SEATS = 1_000_000
RULE = "adoption-below-target"


class Channel(Receiver):
    """The one channel of these tests: counts notices by alert; the same notice again is the same."""

    def __init__(self) -> None:
        super().__init__(SECRET)

    def write_config(self, config: Path) -> None:
        """With the shipped rules but for those that explain others away: silence would leave a notice out, rightly."""
        rules = yaml.safe_load(SHIPPED)
        for group in rules["groups"]:
            group["rules"] = [rule for rule in group["rules"] if "inhibits" not in rule]
        (config / "rules.yml").write_text(json.dumps(rules))
        channel = {"type": "webhook", "url": self.url, "secret": SECRET, "allow_private": True, "serves": ["ce-1"]}
        (config / "routes.yml").write_text(json.dumps({"channels": {"ce-1": channel}, "default": []}))

    def told(self) -> Counter[str]:
        once = {notice["key"]: notice["alert"] for notice in self.notices if notice["kind"] != "digest"}
        return Counter(alert["subject"] for alert in once.values() if alert["rule"] == RULE)


def facts() -> list[Envelope]:
    long_ago = datetime.now(UTC) - timedelta(129)
    at = {"occurred_at": long_ago.isoformat(), "type": "account.updated", "owner": "ce-1"}
    accounts = [{"id": f"a-{name}", "account": name, "production_date": str(long_ago.date())} | at for name in WATCHED]
    seats = {"occurred_at": long_ago.isoformat(), "type": "license.issued", "seats": SEATS, "license": "l1"}
    return [*accounts, *({"id": f"l-{name}", "account": name} | seats for name in WATCHED)]


async def send_facts(producer: HttpProducer) -> None:
    """Until they are acknowledged, and then once more: the same fact again is a duplicate, never a conflict."""
    body = json.dumps(facts()).encode()
    for allowed in ({"accepted", "duplicate"}, {"duplicate"}):
        while True:
            try:
                answer = await producer.post(body)
                break
            except Unacknowledged:
                await asyncio.sleep(0.5)
        assert {result["status"] for result in answer["results"]} <= allowed, answer


async def each_told_once(cluster: Cluster, receiver: Channel, within_s: float) -> None:
    """One episode an account, the same on both replicas, and one notice."""
    deadline = time.monotonic() + within_s
    for kept in cluster.replicas("alerting"):
        while (found := Counter(await _open(cluster, kept.name))) != Counter(WATCHED):
            assert time.monotonic() < deadline, f"{kept.name}: open alerts by account: {found}"
            await asyncio.sleep(0.5)
    while receiver.told() != Counter(WATCHED):
        assert time.monotonic() < deadline, f"notices by account: {receiver.told()}"
        await asyncio.sleep(0.5)


async def _open(cluster: Cluster, replica: str) -> list[str]:
    alerts = await cluster.get(replica, "/api/v1/alerts", limit="1000")
    return [alert["subject"] for alert in alerts if alert["rule"] == RULE]
