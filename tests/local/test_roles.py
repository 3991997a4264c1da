"""What each role of the local broker may do, asked of a real nats-server: tables of rights and of refusals."""

import asyncio
import re
from collections.abc import Iterable

import nats
import pytest
from nats.js.api import StreamConfig

from uptake_local.roles import SERVICE_ROLES, authorization

STREAMS = {
    "RAW": "raw.v1.>",
    "USAGE": "usage.v1.>",
    "FACTS": "fact.v1.>",
    "KPI": "kpi.>",
    "ALERT": "alert.v1.>",
    "REFUSED": "refused.v1.>",
}
BUT_RAW = set(STREAMS) - {"RAW"}
# role -> (subjects it may publish, streams it may consume, streams it may get single messages of)
RIGHTS = {
    "ingestion": (
        {"usage.v1.3", "fact.v1.a.b", "fact.v1.user.linked.k", "fact.v1.user.unlinked.k", "refused.v1.p.r"},
        {"RAW"},
        {"FACTS"},
    ),
    "metrics": (
        {"kpi.account.v1.t", "refused.v1.p.r", "usage.v1.3", "fact.v1.user.linked.k", "fact.v1.user.unlinked.k"},
        set(STREAMS) - {"KPI", "ALERT"},
        set(STREAMS) - {"ALERT"},
    ),
    "alerting": ({"alert.v1.a", "refused.v1.p.r"}, {"KPI"}, {"KPI"}),
    "producer": ({"raw.v1.local.usage"}, set(), set()),
    None: ({"raw.v1.local.usage", "raw.v1.crm.usage"}, BUT_RAW, BUT_RAW),
}
ERASES = {"USAGE", "FACTS", "RAW", "REFUSED"}  # metrics deletes what names an erased person, message by message
SEARCHES = {"RAW", "REFUSED"}  # reads them for that alone
MANAGE = ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
every_role = pytest.mark.parametrize("role", RIGHTS, ids=lambda role: role or "anonymous")


NOBODY_MAY = "nobody.may.publish.this"


class Visitor:
    def __init__(self) -> None:
        self.client = nats.NATS()
        self._refused = asyncio.Queue()

    async def connect(self, url: str, role: str | None) -> "Visitor":
        credentials = {"user": role, "password": f"{role}-password"} if role else {}
        await self.client.connect(url, **credentials, error_cb=self._note)
        return self

    async def _note(self, error: Exception) -> None:
        await self._refused.put(re.search(r'for publish to "(\S+)"', str(error))[1])

    async def may_publish(self, subjects: Iterable[str]) -> set[str]:
        """Refusals come in order, so the one that is sure to come says that none is outstanding."""
        may = {subject.lower(): subject for subject in subjects}  # the client lowers what the server says
        for subject in (*may.values(), NOBODY_MAY):
            await self.client.publish(subject, b"{}")
        while (refused := await self._refused.get()) != NOBODY_MAY:
            del may[refused]
        return set(may.values())


@pytest.fixture
async def visit(nats_server_with):
    passwords = {role: f"{role}-password" for role in SERVICE_ROLES}
    server = nats_server_with(authorization(passwords, "local", "producer-password"))
    visitors = []

    async def visit(role: str | None) -> Visitor:
        visitors.append(await Visitor().connect(server.url, role))
        return visitors[-1]

    provisioner = (await visit("provisioner")).client.jetstream()
    for name, subjects in STREAMS.items():
        await provisioner.add_stream(StreamConfig(name=name, subjects=[subjects], allow_direct=True))
    yield visit
    for visitor in visitors:
        await visitor.client.close()


@every_role
async def test_a_role_publishes_its_own_subjects_only(visit, role):
    subjects = set().union(*(subjects for subjects, _, _ in RIGHTS.values()))
    assert await (await visit(role)).may_publish(subjects) == RIGHTS[role][0]


@every_role
@pytest.mark.parametrize("verb", ["CREATE", "DURABLE.CREATE", "INFO", "DELETE", "MSG.NEXT"])
async def test_a_role_consumes_the_streams_it_needs_only(visit, role, verb):
    requests = {f"$JS.API.CONSUMER.{verb}.{stream}.name": stream for stream in STREAMS}
    streams = RIGHTS[role][1]
    if role == "metrics" and verb == "DURABLE.CREATE":
        streams = streams - SEARCHES
    assert {requests[may] for may in await (await visit(role)).may_publish(requests)} == streams


@every_role
@pytest.mark.parametrize("verb", ["STREAM.MSG.GET", "DIRECT.GET"])
async def test_a_role_gets_single_messages_of_the_streams_it_needs_only(visit, role, verb):
    requests = {f"$JS.API.{verb}.{stream}": stream for stream in STREAMS}
    assert {requests[may] for may in await (await visit(role)).may_publish(requests)} == RIGHTS[role][2]


@every_role
async def test_nobody_but_the_provisioner_manages_or_copies_streams(visit, role):
    requests = [f"$JS.API.STREAM.{request}.{stream}" for request in MANAGE for stream in STREAMS]
    requests += [f"$JS.SNAPSHOT.{chunks}.RAW.x" for chunks in ("ACK", "RESTORE")]
    erases = {f"$JS.API.STREAM.MSG.DELETE.{stream}" for stream in ERASES} if role == "metrics" else set()
    assert await (await visit(role)).may_publish(requests) == erases


async def test_metrics_takes_nothing_away_from_ingestion(visit):
    acks = {f"$JS.ACK.{stream}.x": stream for stream in STREAMS}
    assert {acks[may] for may in await (await visit("metrics")).may_publish(acks)} == {"USAGE", "FACTS"}


async def test_ingestion_consumes_and_acknowledges(visit):
    await (await visit("producer")).client.jetstream().publish("raw.v1.local.usage", b"event")
    jetstream = (await visit("ingestion")).client.jetstream()
    subscription = await jetstream.pull_subscribe("raw.v1.>", durable="intake", stream="RAW")
    (message,) = await subscription.fetch(1, timeout=5)
    await message.ack_sync(timeout=5)
    assert (await subscription.consumer_info()).num_ack_pending == 0


async def test_an_anonymous_reader_reads_a_snapshot_and_follows_alerts(visit):
    anonymous = (await visit(None)).client
    following = await anonymous.subscribe("alert.>")
    await anonymous.flush()
    await (await visit("metrics")).client.jetstream().publish("kpi.account.v1.t", b"snapshot")
    await (await visit("alerting")).client.jetstream().publish("alert.v1.opened", b"alert")
    assert (await following.next_msg(timeout=5)).data == b"alert"
    assert (await anonymous.jetstream().get_last_msg("KPI", "kpi.account.v1.t", direct=True)).data == b"snapshot"
    ordered = await anonymous.jetstream().subscribe("kpi.>", ordered_consumer=True)
    assert (await ordered.next_msg(timeout=5)).data == b"snapshot"
