"""docs/alerting.md: the tests that it names exist, its files are good ones, its example runs."""

import asyncio
import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from uptake import broker, config
from uptake.messages.alerts import AlertData, AlertEvent
from uptake.provision import provision
from uptake.settings import BrokerSettings
from uptake.subjects import alert
from uptake_alerting.roster import Roster
from uptake_alerting.routes import parse

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "alerting.md").read_text(encoding="utf-8")
TESTS = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def test_each_of_the_nine_promises_names_a_test():
    rows = re.findall(r"^\| (\d) \|.*\| `(test_\w+)` \|$", TEXT, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 10))


@pytest.mark.parametrize("name", dict.fromkeys(re.findall(r"`(test_\w+)`", TEXT)))
def test_a_test_that_is_named_exists(name):
    assert re.search(rf"^ *(async )?def {name}\(", TESTS, re.MULTILINE)


def test_the_routes_are_good_and_everything_in_them_is_a_channel():
    routes = parse(block("yaml routes"))
    assert set(routes.channels) == {"team", "pager"}
    assert (routes.operators, routes.default) == (("pager",), ("team",))


def test_the_roster_is_good_and_leaves_nobody_out():
    roster = config.parse(block("yaml roster"), Roster)
    assert roster.by_name.keys() == {"ce-1", "ce-2", "ce-lead"}
    assert roster.rotations.keys() == {"us-east"}


async def test_the_example_prints_what_fires(nats_server):
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision(client.jetstream())
    for kind in ("resolved", "firing"):
        data = AlertData(
            episode="e1",
            number=1,
            rule="trial-breached",
            subject_kind="trial",
            subject="o1",
            account="acme",
            region=None,
            severity="warning",
            state="firing",
            reason=kind,
            since=date(2026, 5, 1),
            fired_at=NOW,
            detected_at=NOW,
            owner="ce-1",
            summary="Trial o1 runs past its 21 days",
            next_step="Ask.",
            values={},
        )
        event = AlertEvent(id=f"e1-{kind}", type=f"alert.v1.{kind}", subject="trial/o1", time=NOW, data=data)
        await client.jetstream().publish(
            alert(kind, None, "warning", "trial-breached", "o1"), event.model_dump_json().encode()
        )
    example = block("python").replace("nats://127.0.0.1:8404", nats_server.url)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", example, stdout=asyncio.subprocess.PIPE)
    said = await process.stdout.readline()
    process.kill()
    await process.wait()
    assert said == b"e1-firing warning Trial o1 runs past its 21 days\n"
    await client.close()
