"""Provisioning against a real broker: once, again, twice at once; and what exists otherwise is never touched."""

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
from nats.js.api import ConsumerConfig

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


async def test_a_stream_with_another_setting_is_refused_by_name(client: Client) -> None:
    js = client.jetstream()
    await provision(js)
    usage = (await js.stream_info("USAGE")).config
    await js.update_stream(usage.evolve(max_age=86_400))
    with pytest.raises(ProvisioningError, match=r"stream USAGE differs.*: max_age: wanted 3888000, found 86400"):
        await provision(js)


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
    await client.jetstream().update_stream((await client.jetstream().stream_info("KPI")).config.evolve(max_age=86_400))
    done = await asyncio.to_thread(provisioner, nats_server.url)
    assert done.returncode == 1
    assert "stream KPI differs from what Uptake needs: max_age: wanted 0, found 86400" in done.stdout


async def test_the_program_refuses_a_wrong_setting(nats_server: Any) -> None:
    done = await asyncio.to_thread(provisioner, "http://nowhere")
    assert done.returncode == 1
    assert "UPTAKE_NATS_URL" in done.stdout
