"""Describes every message on the broker as an AsyncAPI 3.0 document, from the classes themselves. Connects to nothing.

`python -m uptake.asyncapi` prints it; `./dev asyncapi` keeps it as `docs/asyncapi.json`.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from uptake.messages.alerts import AlertEvent
from uptake.messages.events import EVENT_CLASSES
from uptake.messages.facts import Fact
from uptake.messages.fields import Message
from uptake.messages.kpi import AccountSnapshot, InstanceSnapshot, TeamSnapshot, TrialSnapshot
from uptake.messages.refusals import Refusal
from uptake.messages.usage import UsageBatch
from uptake.subjects import ALERT, FACTS, KPI, RAW, REFUSED, SHARDS, USAGE

Document = dict[str, Any]
_ID = {"Nats-Msg-Id": "the broker drops a second message with the same id within its duplicate window"}
_KEPT = {"Nats-TTL": "heartbeats only: how long this one is kept"}


@dataclass(frozen=True, slots=True)
class Channel:
    """The subjects of one kind of message. `parameters`: what each `{name}` of `address` stands for."""

    name: str
    stream: str
    address: str
    writer: str
    says: str
    messages: tuple[type[Message], ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=lambda: _ID)


CHANNELS = (
    Channel(
        "raw",
        RAW,
        "raw.v1.{producer}.{type}",
        "producers",
        "What a producer sends over NATS; ingestion accepts or refuses it.",
        tuple(EVENT_CLASSES.values()),
        {"producer": "the producer's name", "type": "what it is about; the type of the event itself is what counts"},
        {},
    ),
    Channel(
        "usage",
        USAGE,
        "usage.v1.{shard}",
        "ingestion",
        "Accepted usage of one shard, in batches.",
        (UsageBatch,),
        {"shard": f"0 to {SHARDS - 1}, from a hash of the account"},
    ),
    Channel(
        "fact",
        FACTS,
        "fact.v1.{type}.{key}",
        "ingestion",
        "An accepted business event, kept for ever.",
        (Fact,),
        {"type": "the type of the event, two tokens where it has a dot", "key": "a hash of source and id"},
        _ID | _KEPT,
    ),
    Channel(
        "kpi-account",
        KPI,
        "kpi.account.v1.{account}",
        "metrics",
        "One closed day of one account; a later revision replaces an earlier one.",
        (AccountSnapshot,),
        {"account": "a hash of the account's id"},
    ),
    Channel(
        "kpi-trial",
        KPI,
        "kpi.trial.v1.{opportunity}",
        "metrics",
        "One trial on its clock.",
        (TrialSnapshot,),
        {"opportunity": "a hash of the opportunity's id"},
    ),
    Channel("kpi-team", KPI, "kpi.team.v1", "metrics", "The running quarter to date.", (TeamSnapshot,)),
    Channel(
        "kpi-instance",
        KPI,
        "kpi.instance.v1.{instance}",
        "metrics",
        "An installation whose account nobody knows, or no longer.",
        (InstanceSnapshot,),
        {"instance": "a hash of the installation's id"},
    ),
    Channel(
        "alert",
        ALERT,
        "alert.v1.{event}.{region}.{severity}.{rule}.{subject}",
        "alerting",
        "A change of an alert, as a CloudEvent 1.0 in structured mode.",
        (AlertEvent,),
        {
            "event": "what happened: pending, firing, updated, resolved, closed, acknowledged ...",
            "region": "of the account, in lower case; none when there is none",
            "severity": "info, warning or critical",
            "rule": "the name of the rule",
            "subject": "a hash of the account, trial, quarter or installation",
        },
    ),
    Channel(
        "refused",
        REFUSED,
        "refused.v1.{source}.{reason}",
        "ingestion, metrics, alerting",
        "What was not accepted, and why.",
        (Refusal,),
        {"source": "the producer, or the service that wrote it", "reason": "why, in one word"},
    ),
)


def document() -> Document:
    """The same for the same code: nothing of a machine or of the day is in it."""
    schemas = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Uptake",
            "version": version("uptake"),
            "description": "Every message on the broker. In a field that is not required, null is what it says there.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": {"host": "127.0.0.1:8404", "protocol": "nats", "description": "JetStream"}},
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {f"{verb}-{c.name}": _operation(verb, c) for c in CHANNELS for verb in ("send", "receive")},
        "components": {"messages": _messages(), "schemas": schemas},
    }


def _channel(channel: Channel) -> Document:
    described: Document = {
        "address": channel.address,
        "title": f"{channel.stream}: {channel.address}",
        "description": f"{channel.says} Stream {channel.stream}, written by {channel.writer}.",
        "messages": {one.__name__: {"$ref": f"#/components/messages/{_key(channel, one)}"} for one in channel.messages},
        "x-stream": channel.stream,
    }
    if channel.parameters:
        described["parameters"] = {name: {"description": text} for name, text in channel.parameters.items()}
    return described


def _operation(verb: str, channel: Channel) -> Document:
    summary = f"{channel.writer} publish" if verb == "send" else "anybody with the right subscribes"
    return {"action": verb, "channel": {"$ref": f"#/channels/{channel.name}"}, "summary": summary}


def _messages() -> Document:
    return {_key(channel, one): _message(channel, one) for channel in CHANNELS for one in channel.messages}


def _message(channel: Channel, kind: type[Message]) -> Document:
    cloud_event = kind is AlertEvent
    described: Document = {
        "name": kind.__name__,
        "contentType": "application/cloudevents+json" if cloud_event else "application/json",
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }
    if channel.headers:
        headers = {name: {"type": "string", "description": text} for name, text in channel.headers.items()}
        described["headers"] = {"type": "object", "properties": headers}
    return described


def _key(channel: Channel, kind: type[Message]) -> str:
    return f"{channel.name}-{kind.__name__}"


def _schemas() -> Document:
    """As they are on the wire; JSON Schema draft 7, which AsyncAPI takes, reads them alike."""
    kinds = [(kind, "validation") for channel in CHANNELS for kind in channel.messages]
    _, found = models_json_schema(
        kinds,  # type: ignore[arg-type]  # a list of pairs, whose mode mypy takes for any text
        ref_template="#/components/schemas/{model}",
    )
    return dict(sorted(found["$defs"].items()))


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
