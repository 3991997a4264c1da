"""Every kind of alert event is a CloudEvent 1.0 on the subject that its content says."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import select

from uptake import broker, subjects
from uptake.messages.alerts import AlertData, AlertEvent
from uptake.provision import provision
from uptake.settings import BrokerSettings
from uptake_alerting import handling, outbox
from uptake_alerting.outbox import NewEvent
from uptake_alerting.relay import relay_once
from uptake_alerting.tables import episode

NOW = datetime(2026, 5, 8, 3, 0, 0, 250_000, tzinfo=UTC)
KINDS = ("pending", "firing", "updated", "resolved", "closed", "suppressed", "escalated", *get_args(handling.Kind))
README = Path(__file__).parents[2] / "services" / "alerting" / "README.md"
#: RFC 3339, as the specification asks for.
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@pytest.fixture
async def js(nats_server):
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision(client.jetstream())
    yield client.jetstream()
    await client.close()


@pytest.fixture
def published(engine, fire, js):
    """The message of a last event of one kind, as the broker has it."""

    async def run(kind, subject="acme", **about):
        await fire(subject, **about)
        async with engine.begin() as connection:
            data = AlertData.model_validate(await connection.scalar(select(episode.c.data)))
            await outbox.add_events(connection, [NewEvent(kind, data, at=NOW, by="ce-1", note="seen")])
        await relay_once(engine, js, NOW)
        return await js.get_msg(subjects.ALERT, 2)

    return run


@pytest.mark.parametrize("kind", dict.fromkeys(KINDS))
async def test_it_has_the_attributes_of_the_specification(published, kind):
    message = await published(kind, "acme/eu €")
    event = json.loads(message.data)
    assert event["specversion"] == "1.0"
    for name in ("id", "source", "type", "subject"):
        assert isinstance(event[name], str)
        assert event[name]
    assert TIMESTAMP.fullmatch(event["time"])
    assert datetime.fromisoformat(event["time"]) == NOW
    assert event["datacontenttype"] == "application/json"
    assert isinstance(event["data"], dict)
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event)  # what an attribute may be called
    assert event["type"] == f"alert.v1.{kind}"
    assert AlertEvent.model_validate(event).data.note == "seen"


@pytest.mark.parametrize("kind", dict.fromkeys(KINDS))
async def test_the_broker_knows_it_by_its_id_and_its_subject_says_what_it_is(published, kind):
    message = await published(kind, "acme/eu €", region="US West", severity="critical")
    assert message.headers["Nats-Msg-Id"] == json.loads(message.data)["id"]
    token = subjects.token("acme/eu €")
    assert message.subject == f"alert.v1.{kind}.us-west.critical.adoption-below-target.{token}"


async def test_without_a_region_its_place_says_none(published):
    assert (await published("resolved", region=None)).subject.split(".")[3] == "none"


def test_the_kinds_are_those_that_the_readme_names():
    text = README.read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


def test_no_other_kind_is_ever_written():
    """Each `NewEvent("kind"` of the code, and each change of an episode."""
    code = "\n".join(file.read_text(encoding="utf-8") for file in (README.parent / "uptake_alerting").rglob("*.py"))
    written = set(re.findall(r'NewEvent\(\s*"(\w+)"', code)) | set(re.findall(r'(?<!\w)Change\(\s*"(\w+)"', code))
    assert written
    assert written <= set(KINDS)
