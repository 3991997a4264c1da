"""Hostile headers, bodies, sizes and subjects, by every door and straight into streams. What is good in it counts."""

import asyncio
import gzip
import json
import random
from datetime import UTC, datetime
from typing import Any

import httpx2
import nats.errors

from tests.faults.model import Act
from tests.faults.producers import HTTP_PRODUCERS, NATS_PRODUCERS, Envelope, connect
from tests.faults.scenario import Uptake
from tests.faults.wire import Wire

HEADERS = (
    b"NATS/1.0\r\nStatus: 404\r\n\r\n",
    b"NATS/1.0 404 No Messages\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0\r\nStatus: 503\r\nDescription: no\r\n\r\n",
    b"NATS/1.0\r\nreply_to: $JS.API.STREAM.PURGE.RAW\r\n\r\n",
    b"NATS/1.0\r\nNats-Rollup: all\r\ncontent-type: \xff\xfe\r\n\r\n",
    b"\0\0\0\0",
    b"\r\n\r\n\r\n",
    b"NATS/1.0\r\n: \r\n\r\n",
    b"NATS/1.0\r\n" + b"x: y\r\n" * 3000 + b"\r\n",
)
SUBJECTS = ("x", "usage.more.tokens", "\xff\xfe", "us\x01age", "a\x0bb", "ü€", "x" * 200)
BODIES = (
    b"",
    b"\0",
    b"{",
    b"[[]]",
    b"null",
    b'"text"',
    b"\xff\xfe\xfd",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" + b"1," * 1500 + b"1]",
    b'{"id": 1e400}',
    b" " * 200_000,
    b"[" + b'"' + b"\\" * 20_001,
    b"x" * 1_000_000,
)
_NAMES: dict[str, Any] = {"type": "usage", "feature": "search", "account": "poison", "user": "u"}
ITEMS: tuple[Any, ...] = (
    None,
    [],
    _NAMES | {"user": "a\0b"},
    _NAMES | {"account": "po\0ison"},
    _NAMES | {"feature": "\ud800"},
    _NAMES | {"occurred_at": 10**30},
    _NAMES | {"properties": {"n": 10**400}},
    _NAMES | {"user": "u" * 201},
    _NAMES | {"user": ""},
    _NAMES | {"account": {"$ne": ""}},
    _NAMES | {"note": "n" * 20_000},
    _NAMES | {"type": "nothing"},
    _NAMES | {"type": ["usage"]},
    _NAMES | {"occurred_at": "0001-01-01T00:00:00Z"},
    _NAMES | {"occurred_at": "9999-12-31T23:59:59+14:00"},
    _NAMES | {"occurred_at": "2016-12-31T23:59:60Z"},
)
_COLUMNS: dict[str, Any] = {"id": "p", "source": "p", "received_at": 1_700_000_000_000_000}
_ONE: dict[str, Any] = {"accounts": ["poison"], "users": ["u"], "features": ["f"], "instants": [10**15]}
JUNK: tuple[bytes, ...] = (
    *BODIES,
    *(
        json.dumps(_COLUMNS | _ONE | wrong).encode()
        for wrong in (
            {"accounts": []},
            {"instants": [10**30]},
            {"instants": [-(2**63)]},
            {"instants": [2**63 - 1]},
            {"instants": [1.5]},
            {"received_at": 10**40},
            {"accounts": ["poi\0son"]},
            {"users": ["\ud800"]},
            {"users": [None]},
            {"environments": []},
            {"accounts": [""]},
        )
    ),
    json.dumps({"source": "p", "received_at": "2026-01-01T00:00:00Z", "event": {"type": "account.updated"}}).encode(),
)


async def poison(uptake: Uptake, rng: random.Random) -> None:
    """All of it, in an order of the seed."""
    await _through_nats(uptake, rng)
    await _through_http(uptake, rng)
    await _straight_into_streams(uptake, rng)


def _good(producer: str, number: int) -> tuple[Envelope, Act]:
    now = datetime.now(UTC)
    act = Act(f"{producer}-0", "search", f"good{number}", now.date())
    names = {"account": act.account, "user": act.user, "feature": act.feature}
    return {"id": f"good-{producer}-{number}", "type": "usage", "occurred_at": now.isoformat(), **names}, act


def _mixed(producer: str, number: int, item: Any) -> tuple[bytes, Act]:
    """One bad item between two good ones: it spoils neither."""
    good, act = _good(producer, number)
    if isinstance(item, dict):
        item = {"id": f"bad-{number}", "occurred_at": good["occurred_at"]} | item
    return json.dumps([good, item, good]).encode(), act


async def _through_nats(uptake: Uptake, rng: random.Random) -> None:
    name, number = rng.choice(NATS_PRODUCERS), 0
    wire = await Wire.open(uptake.cluster.ports["nats"], name, uptake.cluster.keys[name])
    for headers in rng.sample(HEADERS, len(HEADERS)):
        envelope, act = _good(name, number := number + 1)
        await _publish(uptake, wire, f"raw.v1.{name}.usage".encode(), headers, json.dumps(envelope).encode(), [act])
    for subject in rng.sample(SUBJECTS, len(SUBJECTS)):
        envelope, act = _good(name, number := number + 1)
        text = f"raw.v1.{name}.".encode() + subject.encode("latin-1", "replace")
        await _publish(uptake, wire, text, b"", json.dumps(envelope).encode(), [act])
    for item in rng.sample(ITEMS, len(ITEMS)):
        body, act = _mixed(name, number := number + 1, item)
        await _publish(uptake, wire, f"raw.v1.{name}.usage".encode(), b"", body, [act, act])
    for body in rng.sample(BODIES, len(BODIES)):
        await _publish(uptake, wire, f"raw.v1.{name}.usage".encode(), b"", body, [])
    await wire.close()


async def _publish(uptake: Uptake, wire: Wire, subject: bytes, headers: bytes, body: bytes, acts: list[Act]) -> None:
    uptake.model.send(acts)
    if await wire.publish(subject, headers, body):
        uptake.model.acknowledge(acts)


async def _through_http(uptake: Uptake, rng: random.Random) -> None:
    """Whatever comes, the answer is a status of the sender's fault or one by one, never a failure of ours."""
    name = HTTP_PRODUCERS[0]
    key = {"Authorization": f"Bearer {uptake.cluster.keys[name]}"}
    bodies = [*BODIES, b"x" * 1_100_000, b"[" + b"{}," * 1000 + b"{}]", gzip.compress(b" " * 50_000_000), b"\x1f\x8b\0"]
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
        for body in rng.sample(bodies, len(bodies)):
            url = uptake.cluster.url(rng.choice(uptake.cluster.replicas("ingestion")).name)
            answer = await http.post(f"{url}/v1/events", content=body, headers=key)
            assert answer.status_code in (202, 400, 413), (body[:50], answer.status_code, answer.text)
        for number, item in enumerate(rng.sample(ITEMS, len(ITEMS))):
            body, act = _mixed(name, 1000 + number, item)
            uptake.model.send([act])
            answer = await http.post(f"{url}/v1/events", content=body, headers=key)
            assert answer.status_code == 202, answer.text
            statuses = [result["status"] for result in answer.json()["results"]]
            assert statuses == ["accepted", "refused", "accepted"], (item, answer.text)
            uptake.model.acknowledge([act, act])
        for headers in ({}, {"Authorization": "Bearer \x01"}, {"Authorization": "Bearer no"}):
            answer = await http.post(f"{url}/v1/events", content=b"[]", headers=headers)
            assert answer.status_code in (400, 401, 403), answer.text


async def _straight_into_streams(uptake: Uptake, rng: random.Random) -> None:
    """As if a service had gone mad: its own rights, its own subjects."""
    subjects = {
        "ingestion": ["usage.v1.3", "usage.v1.99", "usage.v1.x", "fact.v1.account.updated.k{}", "fact.v1.q.k{}"],
        "metrics": ["kpi.account.v1.k{}", "kpi.trial.v1.k{}", "kpi.team.v1"],
    }
    for role, own in subjects.items():
        client = await connect(uptake.cluster.nats_url, role, uptake.cluster.passwords[role])
        for number, junk in enumerate(rng.sample(JUNK, len(JUNK))):
            subject = rng.choice(own).format(f"{role}{number}")
            try:
                await client.jetstream().publish(subject, junk, timeout=3)
            except nats.errors.Error:
                pass  # too large for its stream: refused at the door
        await client.close()
    await asyncio.sleep(0.5)
