"""Provisioning against a real broker: once, again, twice at once; what exists is widened or left as it is."""

import asyncio
import os
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig

from uptake import broker, streams
from uptake.provision import ProvisioningError, provision
from uptake.settings import BrokerSettings


@pytest.fixture
async def client(nats_server: Any) -> AsyncIterator[Client]:
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    yield client
    await client.close()


async def uuids(client: Client) -> list[str | None]:
    infos = [await client.jetstream().stream_info(str(stream.name)) for stream in streams.STREAMS]
    return [streams.stream_uuid(info) for info in infos]


async def test_provisioning_again_changes_nothing(client: Client) -> None:
    js = client.jetstream()
    await provision(js)
    first = await uuids(client)
    await provision(js)
    assert await uuids(client) == first
    assert len({uuid for uuid in first if uuid}) == 6
    assert (await js.consumer_info("RAW", "ingestion")).config.ack_wait == 30


async def test_two_provisioners_at_once_agree(client: Client) -> None:
    await asyncio.gather(*(provision(client.jetstream()) for _ in range(4)))
    assert len(set(await uuids(client))) == 6


@pytest.mark.parametrize(
    ("stream", "narrower"),
    [
        ("USAGE", {"max_age": 86_400}),
        ("USAGE", {"max_bytes": 2**20, "max_msg_size": 1000}),
        ("FACTS", {"max_age": 86_400}),  # wanted: for ever
        ("RAW", {"max_bytes": 2**20, "max_age": 60, "metadata": {"added": "by a later server"}}),
    ],
)
async def test_an_earlier_versions_limit_is_widened_in_place(
    client: Client, stream: str, narrower: dict[str, Any]
) -> None:
    js = client.jetstream()
    await provision(js)
    first = await uuids(client)
    made = (await js.stream_info(stream)).config
    metadata = {**(made.metadata or {}), **narrower.get("metadata", {})}
    await js.update_stream(made.evolve(**{**narrower, "metadata": metadata}))
    subject = str(made.subjects[0]).replace("*", "1").replace(">", "a.b") if made.subjects else ""
    await js.publish(subject, b"kept")
    await provision(js)
    found = (await js.stream_info(stream)).config
    wanted = {name: getattr(made, name) for name in narrower if name != "metadata"}
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert (await js.get_last_msg(stream, subject)).data == b"kept"
    assert await uuids(client) == first
    assert (found.metadata or {}).items() >= metadata.items()


async def test_an_earlier_versions_stream_learns_new_subjects_and_to_forget_single_messages(client: Client) -> None:
    js = client.jetstream()
    for stream, earlier in (("FACTS", {"allow_msg_ttl": None}), ("KPI", {"subjects": ["kpi.account.v1.*"]})):
        made = _wanted(stream).evolve(**earlier, metadata={streams.UUID_KEY: "earlier"})
        await js.add_stream(made)
    await js.publish("kpi.account.v1.a", b"kept")
    await provision(js)
    assert (await js.stream_info("FACTS")).config.allow_msg_ttl
    assert (await js.stream_info("KPI")).config.subjects == _wanted("KPI").subjects
    assert (await js.get_last_msg("KPI", "kpi.account.v1.a")).data == b"kept"


@pytest.mark.parametrize(
    ("stream", "other", "says"),
    [
        ("USAGE", {"max_age": 60 * 86_400}, "max_age: wanted 3888000, found 5184000"),  # what is older would be lost
        ("USAGE", {"max_age": 0}, "max_age: wanted 3888000, found 0"),
        ("KPI", {"max_bytes": 8 * 2**30}, "max_bytes: wanted 4294967296, found 8589934592"),
        ("KPI", {"max_msgs_per_subject": 10}, "max_msgs_per_subject: wanted 40, found 10"),
        ("FACTS", {"allow_direct": False}, "allow_direct: wanted True, found False"),
        ("USAGE", {"max_age": 60 * 86_400, "max_bytes": 2**20}, "max_age: wanted 3888000, found 5184000"),
    ],
)
async def test_a_stream_with_another_setting_is_refused_by_name(
    client: Client, stream: str, other: dict[str, Any], says: str
) -> None:
    js = client.jetstream()
    await provision(js)
    await js.update_stream((await js.stream_info(stream)).config.evolve(**other))
    with pytest.raises(ProvisioningError, match=f"stream {stream} differs.*: {says}"):
        await provision(js)
    assert (await js.stream_info(stream)).config.max_age == other.get("max_age", _wanted(stream).max_age)


def _wanted(stream: str) -> StreamConfig:
    return next(wanted for wanted in streams.STREAMS if wanted.name == stream)


async def test_a_consumer_that_had_less_in_hand_is_widened_in_place(client: Client) -> None:
    js = client.jetstream()
    await provision(js)
    await js.add_consumer("RAW", (await js.consumer_info("RAW", "ingestion")).config.evolve(max_ack_pending=1000))
    await js.publish("raw.v1.a.usage", b"kept")
    await provision(js)
    info = await js.consumer_info("RAW", "ingestion")
    assert (info.config.max_ack_pending, info.num_pending) == (streams.INGESTION_CONSUMER.max_ack_pending, 1)


async def test_a_consumer_with_another_setting_is_refused_by_name(client: Client) -> None:
    js = client.jetstream()
    await provision(js)
    await js.delete_consumer("RAW", "ingestion")
    await js.add_consumer("RAW", ConsumerConfig(durable_name="ingestion", ack_wait=5, max_ack_pending=1000))
    with pytest.raises(
        ProvisioningError, match=r"consumer ingestion of stream RAW differs.*ack_wait: wanted 30, found 5"
    ):
        await provision(js)


async def test_a_stream_of_unknown_origin_is_refused(client: Client) -> None:
    await client.jetstream().add_stream(streams.STREAMS[0])
    with pytest.raises(ProvisioningError, match=r"stream RAW: metadata\.uptake_uuid is missing"):
        await provision(client.jetstream())


async def test_facts_take_one_message_per_subject_for_ever(client: Client) -> None:
    js = client.jetstream()
    await provision(js)
    await js.publish("fact.v1.t.k", b"1")
    with pytest.raises(nats.js.errors.APIError) as caught:
        await js.publish("fact.v1.t.k", b"2")
    assert caught.value.err_code == 10077
    assert (await js.get_last_msg("FACTS", "fact.v1.t.k")).data == b"1"


def provisioner(url: str) -> "subprocess.CompletedProcess[str]":
    program = Path(sysconfig.get_path("scripts")) / "uptake-provision"
    return subprocess.run(
        [str(program)], env=os.environ | {"UPTAKE_NATS_URL": url}, capture_output=True, text=True, timeout=60
    )


async def test_the_program_says_whether_all_stands(client: Client, nats_server: Any) -> None:
    done = await asyncio.to_thread(provisioner, nats_server.url)
    assert done.returncode == 0, done.stdout
    await client.jetstream().update_stream((await client.jetstream().stream_info("KPI")).config.evolve(max_msgs=5))
    done = await asyncio.to_thread(provisioner, nats_server.url)
    assert done.returncode == 1
    assert "stream KPI differs from what Uptake needs: max_msgs: wanted -1, found 5" in done.stdout


async def test_the_program_refuses_a_wrong_setting(nats_server: Any) -> None:
    done = await asyncio.to_thread(provisioner, "http://nowhere")
    assert done.returncode == 1
    assert "UPTAKE_NATS_URL" in done.stdout
