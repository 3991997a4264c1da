"""The HTTP door, against a real broker."""

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from starlette.applications import Starlette

from uptake.messages.usage import UsageBatch
from uptake.subjects import FACTS, REFUSED, USAGE, shard_of, usage
from uptake_ingestion.body import Budget
from uptake_ingestion.http import EXCEPTION_HANDLERS, HttpDoor
from uptake_ingestion.keys import KeyRing
from uptake_ingestion.publishing import Publisher
from uptake_ingestion.reception import Reception

LIMIT = 1024 * 1024


def event(number=1, **fields):
    return {
        "id": f"e{number}",
        "type": "usage",
        "occurred_at": datetime.now(UTC).isoformat(),
        "account": "acme",
        "user": f"u{number}",
        "feature": "merge",
        **fields,
    }


def stage(number=1, **fields):
    fact = {"type": "opportunity.stage_changed", "occurred_at": "2026-01-05T10:00:00+01:00", "opportunity": "o1"}
    return {"id": f"s{number}", **fact, "account": "acme", "stage": 4, **fields}


def statuses(response):
    return [(result["id"], result["status"], result["reason"]) for result in response.json()["results"]]


async def test_an_array_is_answered_item_by_item_and_stored_in_three_streams(ingestion):
    response = await ingestion.send([event(1), event(2, user=None), stage(1), 5, event(3, type="use")])
    assert response.status_code == 202
    assert (response.json()["accepted"], response.json()["refused"]) == (2, 3)
    assert statuses(response) == [
        ("e1", "accepted", None),
        ("e2", "refused", "invalid_field"),
        ("s1", "accepted", None),
        (None, "refused", "not_an_object"),
        ("e3", "refused", "unknown_type"),
    ]
    [batch] = await ingestion.stored(USAGE)
    assert (batch["accounts"], batch["users"], batch["source"]) == (["acme"], ["u1"], "local")
    [fact] = await ingestion.stored(FACTS)
    assert fact["source"] == "local"
    assert fact["event"] == stage(1) | {"occurred_at": "2026-01-05T09:00:00Z"}
    refusals = {refusal["reason"]: refusal for refusal in await ingestion.stored(REFUSED)}
    assert set(refusals) == {"invalid_field", "not_an_object", "unknown_type"}
    assert json.loads(refusals["invalid_field"]["body"])["id"] == refusals["invalid_field"]["event_id"] == "e2"
    assert "detail" in response.json()["results"][1]
    assert "detail" not in response.json()["results"][0]


@pytest.mark.parametrize("content_type", ["application/x-ndjson; charset=utf-8", "application/json", "text/plain"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
async def test_lines_are_taken_with_or_without_being_announced(ingestion, content_type, pack):
    body = b"\n".join([json.dumps(event(1)).encode(), b"{broken", json.dumps(event(2)).encode(), b""])
    headers = {"content-type": content_type} | ({"content-encoding": "gzip"} if pack is gzip.compress else {})
    response = await ingestion.send(pack(body), headers=headers)
    assert response.status_code == 202
    assert statuses(response) == [("e1", "accepted", None), (None, "refused", "not_json"), ("e2", "accepted", None)]
    assert response.json()["results"][1]["detail"].startswith("line 2: ")


async def test_one_object_and_an_empty_array_are_fine(ingestion):
    assert statuses(await ingestion.send(event())) == [("e1", "accepted", None)]
    assert (await ingestion.send([])).json() == {"accepted": 0, "refused": 0, "results": []}


async def test_a_hostile_item_spoils_no_other(ingestion):
    good = json.dumps(event()).encode()
    hostile = [
        b'{"id":NaN}',
        b'{"id":"\\ud800"}',
        b'{"id":"\xff"}',
        b'{"id":1e400}',
        b'{"id":"\x00"}',
        b'{"id" "x"}',
        b"[" * 5000 + b"]" * 5000,
        json.dumps(event(7, user="\x00")).encode(),
        json.dumps(event(8, note="x" * 17_000)).encode(),
    ]
    response = await ingestion.send(b"[" + b",".join([good, *hostile, good]) + b"]")
    assert response.status_code == 202
    told = [status for _, status, _ in statuses(response)]
    assert told == ["accepted", *["refused"] * len(hostile), "accepted"]
    assert len(await ingestion.stored(REFUSED)) == len(hostile)


async def test_an_installation_is_heard_of_once_in_a_quarter_of_an_hour_and_that_is_forgotten_in_time(ingestion):
    """Or FACTS would fill with them, and refuse everything else."""

    def beat(event_id, at):
        about = {"id": event_id, "type": "instance.heartbeat", "instance": "prod-1"}
        return {**about, "occurred_at": f"2026-05-10T{at}Z"}

    beats = [("b1", "09:45:00"), ("b2", "09:59:59"), ("b2", "09:59:59"), ("b3", "10:00:00"), ("b1", "09:45:00")]
    told = [(await ingestion.send(beat(*one))).json()["results"][0]["status"] for one in beats]
    assert told == ["accepted", "accepted", "accepted", "accepted", "duplicate"]
    stored = [await ingestion.jetstream.get_msg(FACTS, number) for number in (1, 2)]
    assert [json.loads(one.data)["event"]["id"] for one in stored] == ["b1", "b3"]
    assert {(one.headers or {})["Nats-TTL"] for one in stored} == {"1080h"}  # as long as USAGE keeps its log


async def test_a_fact_is_a_duplicate_or_a_conflict_for_ever(running):
    async with running() as ingestion:
        assert statuses(await ingestion.send([stage(1)])) == [("s1", "accepted", None)]
    async with running() as ingestion:
        same_instant = stage(1, occurred_at="2026-01-05T09:00:00Z")
        response = await ingestion.send([same_instant, stage(1, stage=5), stage(1) | {"unknown": 1}])
        expected = [("s1", "duplicate", None), ("s1", "conflict", "conflict"), ("s1", "duplicate", None)]
        assert statuses(response) == expected
        assert (response.json()["accepted"], response.json()["refused"]) == (2, 1)
        assert [fact["event"]["stage"] for fact in await ingestion.stored(FACTS)] == [4]
        [refusal] = await ingestion.stored(REFUSED)
        assert (refusal["reason"], json.loads(refusal["body"])["stage"]) == ("conflict", 5)


async def test_of_one_id_in_one_request_the_first_wins(ingestion):
    response = await ingestion.send([stage(1, stage=number % 8) for number in range(200)])
    told = [status for _, status, _ in statuses(response)]
    assert told == ["accepted"] + ["duplicate" if number % 8 == 0 else "conflict" for number in range(1, 200)]
    assert [fact["event"]["stage"] for fact in await ingestion.stored(FACTS)] == [0]


async def test_an_explicit_null_is_kept_apart_from_a_field_left_out(ingestion):
    updated = {"id": "a1", "type": "account.updated", "occurred_at": "2026-01-05T10:00:00Z", "account": "acme"}
    await ingestion.send([updated | {"owner": None}])
    [fact] = await ingestion.stored(FACTS)
    assert fact["event"] == updated | {"owner": None}


async def test_usage_leaves_in_whole_batches_by_shard(ingestion):
    accounts = [f"account {number}" for number in range(50)]
    bodies = [
        [event(number, account=accounts[number % 50]) for number in range(k, k + 100)] for k in range(0, 800, 100)
    ]
    responses = await asyncio.gather(*(ingestion.send(body) for body in bodies))
    assert [response.json()["accepted"] for response in responses] == [100] * 8
    batches = [UsageBatch.model_validate(batch) for batch in await ingestion.stored(USAGE)]
    assert sum(len(batch.accounts) for batch in batches) == 800
    assert len(batches) <= 2 * 16  # 800 events of eight requests: about one batch a shard
    for number, batch in enumerate(batches, 1):
        assert len({shard_of(account) for account in batch.accounts}) == 1
        message = await ingestion.jetstream.get_msg(USAGE, number)
        assert message.subject == usage(shard_of(batch.accounts[0]))
        assert message.headers["Nats-Msg-Id"] == batch.id


async def test_a_request_of_the_largest_size_is_taken_and_one_byte_more_is_not(ingestion):
    parts = [event(number, note="x" * 800) for number in range(999)]
    body = json.dumps([*parts, event(999)]).encode()
    largest = body[:-1] + b" " * (LIMIT - len(body)) + b"]"
    assert (await ingestion.send(largest)).json()["accepted"] == 1000
    for too_large in (largest + b" ", gzip.compress(largest + b" "), gzip.compress(b" " * 100_000_000)):
        response = await ingestion.send(too_large)
        assert (response.status_code, response.json()["error"]) == (413, "too_large")
    response = await ingestion.send([1] * 1001)
    assert (response.status_code, response.json()["error"]) == (413, "too_many")


async def test_a_batch_stays_under_the_limit_of_the_broker(ingestion):
    fat = [event(n, account="acme", properties={f"{k}" * 60: 1e15 for k in range(40)}) for n in range(150)]
    assert (await ingestion.send(fat)).json()["accepted"] == 150
    assert sum(len(batch["users"]) for batch in await ingestion.stored(USAGE)) == 150


@pytest.mark.parametrize(
    ("body", "headers", "status", "error"),
    [
        (b"", {}, 400, "not_json"),
        (b"hello", {}, 400, "not_json"),
        (b'{"id":', {}, 400, "not_json"),
        (b"a\nb", {"content-type": "application/x-ndjson"}, 400, "not_json"),
        (gzip.compress(b"[]", mtime=0)[:-4], {"content-encoding": "gzip"}, 400, "bad_gzip"),
        (b"[]", {"content-encoding": "gzip"}, 400, "bad_gzip"),
        (b"[]", {"content-encoding": "br"}, 415, "unsupported_encoding"),
        (b"[]", {"authorization": ""}, 401, "no_key"),
        (b"[]", {"authorization": "Basic bG9jYWw="}, 401, "no_key"),
        (b"[]", {"authorization": "Bearer wrong"}, 403, "unknown_key"),
        (b"[]", {"authorization": "Bearer schl\xfcssel".encode("latin-1")}, 403, "unknown_key"),
    ],
)
async def test_a_request_is_turned_away_with_a_reason(ingestion, body, headers, status, error):
    response = await ingestion.send(body, headers=headers)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert response.json()["detail"]


async def test_too_much_at_once_is_429_with_a_time_to_come_back(keys_file):
    door = HttpDoor(Reception(Publisher()), KeyRing(keys_file), Budget(limit_bytes=100))
    app = Starlette(routes=door.routes(), exception_handlers=EXCEPTION_HANDLERS)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as http:
        response = await http.post("/v1/events", content=b" " * 101, headers={"authorization": "Bearer local-key"})
    assert (response.status_code, response.json()["error"]) == (429, "overloaded")
    assert response.headers["retry-after"] == "1"


async def test_only_the_ways_that_are_there_are_there(ingestion):
    assert (await ingestion.http.get("/v1/events")).status_code == 405
    assert (await ingestion.http.get("/elsewhere")).json()["error"] == "not_here"
    document = (await ingestion.http.get("/openapi.json")).json()
    assert set(document["paths"]) == {"/v1/events", "/v1/imports", "/v1/imports/{import_id}/finish"}


async def test_no_broker_is_503_and_never_a_false_202(ingestion, nats_server):
    await ingestion.send([event(1)])
    nats_server.kill()
    for body in ([event(2)], [stage(2)], [event(3, type="use")], [event(4), stage(4), 5]):
        response = await ingestion.send(body)
        assert (response.status_code, response.json()["error"]) == (503, "not_stored")
        assert int(response.headers["retry-after"]) > 0
    assert (await ingestion.http.get("/readyz")).status_code == 503
    assert (await ingestion.http.get("/healthz")).status_code == 200
    nats_server.start()
    await ingestion.ready()
    assert statuses(await ingestion.send([event(2), stage(2)])) == [
        ("e2", "accepted", None),
        ("s2", "accepted", None),
    ]
    assert [user for batch in await ingestion.stored(USAGE) for user in batch["users"]] == ["u1", "u2"]


@pytest.mark.parametrize(("stream", "body"), [(USAGE, event()), (FACTS, stage())])
async def test_a_full_stream_is_503_until_there_is_room(ingestion, full, stream, body):
    async with full(stream):
        response = await ingestion.send([body])
        assert (response.status_code, response.json()["error"]) == (503, "not_stored")
        assert int(response.headers["retry-after"]) > 0
    assert [status for _, status, _ in statuses(await ingestion.send([body]))] == ["accepted"]


async def test_a_broker_killed_in_mid_stream_loses_nothing_that_was_accepted(ingestion, nats_server):
    accepted = []

    async def send(number):
        response = await ingestion.send([event(number), stage(number)])
        if response.status_code == 202:
            accepted.append(number)
        else:
            assert response.status_code == 503

    for wave in range(40):
        if wave == 15:
            nats_server.kill()
            nats_server.start()
        await asyncio.gather(*(send(wave * 10 + number) for number in range(10)))
    await ingestion.ready()
    await send(1000)
    users = {user for batch in await ingestion.stored(USAGE) for user in batch["users"]}
    facts = {fact["event"]["id"] for fact in await ingestion.stored(FACTS)}
    assert len(accepted) > 100
    assert {f"u{number}" for number in accepted} <= users
    assert {f"s{number}" for number in accepted} <= facts


async def test_an_import_takes_usage_of_any_age_between_its_two_ends(ingestion):
    old = event(1, occurred_at="2024-02-29T12:00:00Z")
    assert statuses(await ingestion.send([old])) == [("e1", "refused", "too_old")]
    assert (await ingestion.send([old], "/v1/events?import_id=none")).json()["error"] == "unknown_import"

    started = await ingestion.send({"reason": "history"}, "/v1/imports")
    assert started.status_code == 201
    import_id = started.json()["import_id"]
    again = await ingestion.send({"reason": "history", "import_id": import_id}, "/v1/imports")
    assert (again.status_code, again.json()) == (201, {"import_id": import_id})
    other = await ingestion.send({"reason": "another", "import_id": import_id}, "/v1/imports")
    assert (other.status_code, other.json()["error"]) == (409, "import_exists")

    response = await ingestion.send([old, stage(1), 5], f"/v1/events?import_id={import_id}")
    assert [status for _, status, _ in statuses(response)] == ["accepted", "accepted", "refused"]
    assert response.json()["usage_sequence"] == 1
    assert (await ingestion.send([5], f"/v1/events?import_id={import_id}")).json()["usage_sequence"] == 0
    assert [batch["import_id"] for batch in await ingestion.stored(USAGE)] == [import_id]

    sums = {"usage_sequence": 1, "accepted": 2, "refused": 2}
    finish = f"/v1/imports/{import_id}/finish"
    for _ in range(2):
        finished = await ingestion.send(sums, finish)
        assert (finished.status_code, finished.json()) == (200, {"import_id": import_id, **sums})
    assert (await ingestion.send(sums | {"accepted": 3}, finish)).status_code == 409
    late = await ingestion.send([old], f"/v1/events?import_id={import_id}")
    assert (late.status_code, late.json()["error"]) == (409, "import_finished")
    facts = [fact["event"] for fact in await ingestion.stored(FACTS)]
    assert [fact["type"] for fact in facts] == ["import.started", "opportunity.stage_changed", "import.finished"]
    assert facts[2] | sums == facts[2]


@pytest.mark.parametrize("body", [b"", b"[]", {"reason": ""}, {"reason": 5}, {"reason": "x", "import_id": "a\nb"}])
async def test_an_import_needs_a_reason(ingestion, body):
    response = await ingestion.send(body, "/v1/imports")
    assert (response.status_code, response.json()["error"]) == (400, "invalid")


async def test_the_35_days_are_open_at_their_edge(ingestion):
    edge = datetime.now(UTC) - timedelta(days=35)
    inside, outside = (event(n, occurred_at=(edge + timedelta(minutes=n)).isoformat()) for n in (1, -1))
    assert [status for _, status, _ in statuses(await ingestion.send([inside, outside]))] == ["accepted", "refused"]


async def test_the_numbers_of_the_process_are_counted(ingestion):
    await ingestion.send([event(1), stage(1), 5])
    text = (await ingestion.http.get("/metrics")).text
    for name in (
        'uptake_ingestion_events_total{door="http",outcome="accepted"}',
        'uptake_ingestion_refused_total{reason="not_an_object"}',
        "uptake_ingestion_batch_events_count",
        'uptake_ingestion_publish_seconds_count{stream="USAGE"}',
        "uptake_ingestion_in_flight_bytes 0.0",
        "uptake_ingestion_raw_pending 0.0",
    ):
        assert name in text
