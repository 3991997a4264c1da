"""The NATS door, against a real broker: durable, exact about what it acknowledges, deaf to hostile messages."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from nats.errors import Error

from uptake.provision import provision
from uptake.streams import RAW_CONSUMER
from uptake.subjects import FACTS, RAW, REFUSED, USAGE
from uptake.telemetry import REGISTRY
from uptake_ingestion.intake import Refused
from uptake_ingestion.raw_door import items_of, source_of


def event(number=1, **fields):
    now = datetime.now(UTC).isoformat()
    usage = {"type": "usage", "occurred_at": now, "account": "acme", "user": f"u{number}", "feature": "merge"}
    return {"id": f"e{number}", **usage, **fields}


def beat(number=1, **fields):
    return {
        "id": f"h{number}",
        "type": "instance.heartbeat",
        "occurred_at": "2026-01-05T10:00:00Z",
        "instance": "i1",
    } | fields


async def publish(ingestion, body, subject="raw.v1.crm.usage", **headers):
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    await ingestion.jetstream.publish(subject, payload, headers=headers or None)


async def all_taken(ingestion):
    async def taken():
        last = (await ingestion.jetstream.stream_info(RAW)).state.last_seq
        info = await ingestion.jetstream.consumer_info(RAW, RAW_CONSUMER)
        return info.ack_floor.stream_seq == last  # what is pending is counted a moment after the message is stored

    await ingestion.until(taken)


async def users(ingestion):
    return sorted(user for batch in await ingestion.stored(USAGE) for user in batch["users"])


async def test_one_event_or_an_array_good_and_bad_mixed(ingestion):
    await publish(ingestion, event(1))
    await publish(ingestion, [event(2), event(3, user=5), beat(1), "text", event(4), event(5, type="new")])
    await publish(ingestion, b'[{"id": 1e400}, {broken}, ' + json.dumps(event(6)).encode() + b"]")
    await all_taken(ingestion)
    assert await users(ingestion) == ["u1", "u2", "u4", "u6"]
    assert {batch["source"] for batch in await ingestion.stored(USAGE)} == {"crm"}
    assert [fact["event"] for fact in await ingestion.stored(FACTS)] == [beat(1)]
    reasons = sorted(refusal["reason"] for refusal in await ingestion.stored(REFUSED))
    assert reasons == ["invalid_field", "invalid_field", "not_an_object", "not_json", "unknown_type"]


async def test_many_single_events_of_several_producers_with_poison_among_them(running):
    async with running() as ingestion:
        pass
    poison = [
        b"\xff",
        json.dumps(event(1, user="a\x00")).encode(),
        b"[" * 5000,
        json.dumps(event(2, type="x")).encode(),
    ]
    for number in range(300):
        await publish(ingestion, event(number), f"raw.v1.{('crm', 'shop', 'app')[number % 3]}.usage")
        if number % 75 == 0:
            await publish(ingestion, poison[number // 75], "raw.v1.crm.usage")
    await publish(ingestion, event(301), "raw.v1.CRM.usage")
    async with running() as ingestion:
        await all_taken(ingestion)
        sources = Counter(batch["source"] for batch in await ingestion.stored(USAGE) for _ in batch["users"])
        assert sources == {"crm": 100, "shop": 100, "app": 100}
        assert await users(ingestion) == sorted(f"u{number}" for number in range(300))
        reasons = sorted(refusal["reason"] for refusal in await ingestion.stored(REFUSED))
        assert reasons == ["invalid_field", "not_json", "too_deep", "unknown_producer", "unknown_type"]
        info = await ingestion.jetstream.consumer_info(RAW, RAW_CONSUMER)
        assert info.num_redelivered == 0


async def test_an_event_at_the_edge_of_its_time_is_judged_as_of_its_own_arrival(running):
    """Its neighbours in one batch arrived at other times."""
    async with running() as ingestion:
        pass
    oldest = datetime.now(UTC) - timedelta(days=35) + timedelta(seconds=1)
    await publish(ingestion, event(1, occurred_at=oldest.isoformat()))
    await asyncio.sleep(1.2)
    await publish(ingestion, event(2, occurred_at=oldest.isoformat()))
    async with running() as ingestion:
        await all_taken(ingestion)
        assert await users(ingestion) == ["u1"]
        assert [refusal["event_id"] for refusal in await ingestion.stored(REFUSED)] == ["e2"]


async def test_the_envelope_decides_what_the_subject_only_hints_at(ingestion):
    await publish(ingestion, beat(1), "raw.v1.crm.opportunity.closed")
    await all_taken(ingestion)
    assert [fact["event"]["type"] for fact in await ingestion.stored(FACTS)] == ["instance.heartbeat"]


async def test_what_comes_twice_counts_once_and_what_contradicts_is_kept_aside(ingestion):
    named = beat(1, type="instance.mapped", account="acme")
    for body in (named, named, named | {"account": "another"}):
        await publish(ingestion, body)
        await all_taken(ingestion)
    assert [fact["event"]["account"] for fact in await ingestion.stored(FACTS)] == ["acme"]
    assert [refusal["reason"] for refusal in await ingestion.stored(REFUSED)] == ["conflict"]


async def test_a_message_without_a_producer_or_without_json_is_refused_as_it_came(ingestion):
    await publish(ingestion, event(1), "raw.v1.CRM.usage")
    await publish(ingestion, event(1), "raw.v1.crm")
    await publish(ingestion, b"\xff\x00")
    await publish(ingestion, [1] * 1001)
    await all_taken(ingestion)
    found = [(r["source"], r["reason"], r["body_is_base64"]) for r in await ingestion.stored(REFUSED)]
    assert sorted(found) == [
        ("crm", "not_json", True),
        ("crm", "too_large", False),
        ("unknown", "unknown_producer", False),
        ("unknown", "unknown_producer", False),
    ]


async def test_hostile_headers_are_just_data(ingestion):
    inbox = await ingestion.jetstream._nc.subscribe("usage.stolen")
    for number, headers in enumerate(
        [{"Status": "404"}, {"Status": "503", "Description": "x"}, {"reply_to": "usage.stolen"}, {"content-type": "?"}]
    ):
        await publish(ingestion, event(number), **headers)
    await publish(ingestion, event(9))
    await all_taken(ingestion)
    assert await users(ingestion) == ["u0", "u1", "u2", "u3", "u9"]
    assert inbox.pending_msgs == 0


async def test_an_event_grows_no_older_while_it_waits_in_raw(running):
    """Whatever becomes of it, it is judged as of when RAW took it."""
    async with running() as ingestion:
        pass
    await publish(ingestion, [beat(1), "text"])
    async with running() as ingestion:
        await all_taken(ingestion)
        [fact], [refusal] = await ingestion.stored(FACTS), await ingestion.stored(REFUSED)
        arrived = (await ingestion.jetstream.get_msg(RAW, 1)).time
    for judged_at in (fact["received_at"], refusal["refused_at"]):  # the broker has more digits
        assert abs(datetime.fromisoformat(judged_at) - arrived) < timedelta(microseconds=2)


async def test_nothing_is_acknowledged_that_is_not_stored(ingestion, broker_client):
    await ingestion.jetstream.delete_stream(USAGE)
    await publish(ingestion, [event(1), beat(1)])

    async def tried_again():
        info = await ingestion.jetstream.consumer_info(RAW, RAW_CONSUMER)
        return info.num_redelivered > 0

    await ingestion.until(tried_again)
    assert (await ingestion.http.get("/readyz")).json()["not_ready"].keys() == {"streams"}
    await provision(broker_client.jetstream())
    await all_taken(ingestion)
    assert await users(ingestion) == ["u1"]
    assert len(await ingestion.stored(FACTS)) == 1


async def test_a_full_stream_is_tried_again_until_there_is_room(ingestion, full):
    async def said_not_stored():
        return not_stored() > before

    before = not_stored()
    async with full(USAGE):
        await publish(ingestion, event(1))
        await ingestion.until(said_not_stored)
    await all_taken(ingestion)
    assert await users(ingestion) == ["u1"]


def not_stored():
    return REGISTRY.get_sample_value("uptake_ingestion_not_stored_total", {"door": "raw"}) or 0


async def test_a_killed_broker_loses_no_message(ingestion, nats_server):
    for number in range(300):
        if number == 150:
            nats_server.kill()
            nats_server.start()
        await ingestion.until(
            lambda number=number: _published(ingestion, [event(number), beat(number, instance=f"i{number}")])
        )

    async def everything_is_stored():
        return set(await users(ingestion)) == sent and len(await ingestion.stored(FACTS)) == len(sent)

    sent = {f"u{number}" for number in range(300)}
    await ingestion.until(everything_is_stored)  # an ack that was lost with the broker may be repeated later


async def _published(ingestion, body):
    try:
        await publish(ingestion, body)
    except (Error, TimeoutError):
        return False
    return True


@pytest.mark.parametrize(
    ("subject", "source"),
    [
        ("raw.v1.crm.usage", "crm"),
        ("raw.v1.crm_2-b.usage.ping", "crm_2-b"),
        ("raw.v1.crm", None),
        ("raw.v1.Crm.usage", None),
        ("raw.v1.\\xff.usage", None),
        ("raw.v1." + "x" * 64 + ".usage", None),
    ],
)
def test_the_producer_is_the_third_token_of_the_subject(subject, source):
    assert source_of(subject) == source


def test_a_message_has_the_limits_of_a_request():
    assert len(items_of(b"[" + b",".join([b"1"] * 1000) + b"]")) == 1000
    for body in (b"[" + b",".join([b"1"] * 1001) + b"]", b" " * (1024 * 1024 + 1)):
        verdict = items_of(body)
        assert isinstance(verdict, Refused)
        assert verdict.reason == "too_large"
