"""Events on their way to ALERT, with a real broker: each once, in order, whatever crashes."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta

import nats
import nats.errors
import nats.js.errors
import pytest
from sqlalchemy import func, select, text, update

from tests.alerting.two_rules import RULES
from uptake import broker, subjects
from uptake.messages.alerts import AlertEvent
from uptake.provision import provision
from uptake.settings import BrokerSettings
from uptake_alerting import evaluation, outbox, relay
from uptake_alerting.relay import relay_once
from uptake_alerting.tables import alert_event

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


@pytest.fixture
async def js(nats_server):
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision(client.jetstream())
    yield client.jetstream()
    await client.close()


@pytest.fixture
async def two_events(engine, account_day):
    days = [account_day(date(2026, 4, 1 + i), mau) for i, mau in enumerate([24, 24, 24, 60, 60, 60])]
    async with engine.begin() as connection:
        await evaluation.take(connection, days, RULES, NOW)


async def stored(js):
    state = (await js.stream_info(subjects.ALERT)).state
    return [await js.get_msg(subjects.ALERT, i) for i in range(1, state.last_seq + 1)]


async def test_each_event_is_a_cloudevent_on_its_own_subject(js, engine, two_events):
    assert await relay_once(engine, js, NOW) == 2
    assert await relay_once(engine, js, NOW) == 0
    first, last = await stored(js)
    token = subjects.token("acme")
    assert first.subject == f"alert.v1.firing.emea.warning.adoption-below-target.{token}"
    assert last.subject == f"alert.v1.resolved.emea.warning.adoption-below-target.{token}"
    event = AlertEvent.model_validate_json(first.data)
    assert (event.type, event.subject, event.data.state) == ("alert.v1.firing", "account/acme", "firing")
    assert event.data.values["adoption"] == {"value": 0.24, "num": 24, "den": 100, "basis": "purchased"}
    assert json.loads(first.data)["time"] == "2026-05-08T03:00:00Z"


async def test_an_event_that_no_message_has_room_for_goes_without_its_numbers_and_holds_up_no_other(
    js, engine, two_events
):
    huge = text("jsonb_set(body, '{data,values,features}', to_jsonb(repeat('x', 64500)))")
    async with engine.begin() as connection:
        first = select(func.min(alert_event.c.position)).scalar_subquery()
        await connection.execute(update(alert_event).where(alert_event.c.position == first).values(body=huge))
    assert await relay_once(engine, js, NOW) == 2
    found = [AlertEvent.model_validate_json(message.data).data for message in await stored(js)]
    assert [one.values.get("left_out") for one in found] == ["too large", None]
    assert [one.state for one in found] == ["firing", "resolved"]
    assert found[0].summary.startswith("Acme Corp is below its adoption target")


async def test_a_crash_after_publishing_stores_no_event_twice(js, engine, two_events, monkeypatch):
    async def crash(*_args):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "mark_published", crash)
        with pytest.raises(RuntimeError):
            await relay_once(engine, js, NOW)
    assert await relay_once(engine, js, NOW + timedelta(seconds=5)) == 2
    assert len(await stored(js)) == 2


async def test_without_a_broker_the_events_wait(js, engine, two_events, nats_server):
    nats_server.kill()
    with pytest.raises((nats.errors.Error, nats.js.errors.Error)):
        await relay_once(engine, js, NOW)
    nats_server.start()
    reader = await nats.connect(nats_server.url)
    heard = await reader.subscribe("alert.v1.>")
    await reader.flush()
    running = asyncio.create_task(relay.run(engine, js))
    assert [(await heard.next_msg(20)).subject.split(".")[2] for _ in range(2)] == ["firing", "resolved"]
    running.cancel()
    await asyncio.wait([running])
    assert len(await stored(reader.jetstream())) == 2
    await reader.close()
