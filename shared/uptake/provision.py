"""Creates the streams once, before any service starts. Of one that exists it only ever widens what it takes.

A later version may need more than the one that made the stream: more bytes, a longer age, larger messages, another
subject, messages that expire. Nothing that is stored can be lost by that. Every other difference fails loudly.
"""

import asyncio
import dataclasses
import math
import uuid
from typing import Any

import structlog
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, ConsumerInfo, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError

from uptake import broker, streams
from uptake.settings import BrokerSettings, SettingsError
from uptake.subjects import RAW
from uptake.telemetry import configure_logging

_BROKER_WAIT_S = 30
_NAME_IN_USE = (10058, 10148)  # the stream, the consumer: another provisioner was a moment faster
_NO_SPACE = 10047
_WIDENED = ("max_bytes", "max_age", "max_msg_size")

_log = structlog.get_logger()


class ProvisioningError(Exception):
    """The broker holds something else than what `streams` describes, or has no room for it."""


async def provision(js: JetStreamContext) -> None:
    """Bring the broker to what `streams` says; two provisioners at once, or again and again, do no harm."""
    for wanted in streams.STREAMS:
        await _provision_stream(js, wanted)
    await _provision_consumer(js, RAW, streams.INGESTION_CONSUMER)


async def _provision_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    name = str(wanted.name)
    info = await _stream_info(js, name)
    if info is None:
        await _create_stream(js, wanted)
        info = await js.stream_info(name)
    if streams.stream_uuid(info) is None:
        raise ProvisioningError(f"stream {name}: metadata.{streams.UUID_KEY} is missing: not created by Uptake")
    if wider := _wider(wanted, info.config):
        info = await _widen(js, info.config, wider)
    _compare(f"stream {name}", wanted, info.config)


def _wider(wanted: StreamConfig, found: StreamConfig) -> dict[str, Any]:
    """What is to be widened: what holds today still fits."""
    limits = {name: (getattr(wanted, name), getattr(found, name)) for name in _WIDENED}
    wider: dict[str, Any] = {name: ours for name, (ours, theirs) in limits.items() if _size(ours) > _size(theirs)}
    if set(wanted.subjects or ()) > set(found.subjects or ()):
        wider["subjects"] = wanted.subjects
    if wanted.allow_msg_ttl and not found.allow_msg_ttl:
        wider["allow_msg_ttl"] = True
    return wider


def _size(limit: float | None) -> float:
    """Of bytes, seconds or messages: 0 and -1 stand for no limit."""
    return limit if limit and limit > 0 else math.inf


async def _widen(js: JetStreamContext, found: StreamConfig, wider: dict[str, Any]) -> StreamInfo:
    try:
        info = await js.update_stream(found.evolve(**wider))
    except APIError as error:
        if error.err_code != _NO_SPACE:
            raise
        raise _no_room(found.name, wider.get("max_bytes")) from error
    _log.info("stream widened", stream=found.name, **wider)
    return info


async def _stream_info(js: JetStreamContext, name: str) -> StreamInfo | None:
    try:
        return await js.stream_info(name)
    except NotFoundError:
        return None


async def _create_stream(js: JetStreamContext, wanted: StreamConfig) -> None:
    identity = str(uuid.uuid4())
    try:
        await js.add_stream(wanted.evolve(metadata={streams.UUID_KEY: identity}))
        _log.info("stream created", stream=wanted.name, uuid=identity)
    except APIError as error:
        if error.err_code == _NO_SPACE:
            raise _no_room(wanted.name, wanted.max_bytes) from error
        if error.err_code not in _NAME_IN_USE:
            raise


def _no_room(stream: str | None, max_bytes: float | None) -> ProvisioningError:
    return ProvisioningError(
        f"stream {stream}: no room for its max_bytes of {max_bytes}:"
        " raise jetstream.max_file_store in the broker's configuration"
    )


async def _provision_consumer(js: JetStreamContext, stream: str, wanted: ConsumerConfig) -> None:
    name = str(wanted.durable_name)
    info = await _consumer_info(js, stream, name)
    if info is None:
        try:
            await js.add_consumer(stream, wanted.evolve(name=name))
        except APIError as error:
            if error.err_code not in _NAME_IN_USE:
                raise
        info = await js.consumer_info(stream, name)
    if _size(wanted.max_ack_pending) > _size(info.config.max_ack_pending):
        info = await js.add_consumer(stream, info.config.evolve(max_ack_pending=wanted.max_ack_pending))
        _log.info("consumer widened", consumer=name, max_ack_pending=wanted.max_ack_pending)
    _compare(f"consumer {name} of stream {stream}", wanted, info.config)


async def _consumer_info(js: JetStreamContext, stream: str, name: str) -> ConsumerInfo | None:
    try:
        info: ConsumerInfo = await js.consumer_info(stream, name)
        return info
    except NotFoundError:
        return None


def _compare(what: str, wanted: StreamConfig | ConsumerConfig, found: StreamConfig | ConsumerConfig) -> None:
    """Whatever we set explicitly must be so; settings that we leave to the broker may be anything."""
    differences = [
        f"{field.name}: wanted {_plain(ours)}, found {_plain(theirs)}"
        for field in dataclasses.fields(wanted)
        if (ours := getattr(wanted, field.name)) is not None
        and _plain(ours) != _plain(theirs := getattr(found, field.name))
    ]
    if differences:
        raise ProvisioningError(f"{what} differs from what Uptake needs: {'; '.join(differences)}")


def _plain(value: object) -> object:
    return getattr(value, "value", value)  # the broker answers in words where the client has enumerations


async def _run(settings: BrokerSettings) -> None:
    async with asyncio.timeout(_BROKER_WAIT_S):
        client = await broker.connect(settings, "provision")
    try:
        await provision(client.jetstream())
    finally:
        await client.close()


def main() -> int:
    """The console script `uptake-provision`: 0 when every stream stands as described."""
    configure_logging("provision", "console")
    try:
        asyncio.run(_run(BrokerSettings()))
    except TimeoutError:
        _log.error("the broker does not answer", waited_s=_BROKER_WAIT_S)
    except (ProvisioningError, SettingsError, Error) as error:
        _log.error("not provisioned", reason=str(error))
    else:
        _log.info("all streams stand")
        return 0
    return 1
