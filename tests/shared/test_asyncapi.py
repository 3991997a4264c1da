"""docs/asyncapi.json: an AsyncAPI 3.0 document that is current, whole, and true of what is on the broker."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from uptake import asyncapi, subjects
from uptake.messages.events import EVENT_CLASSES
from uptake.streams import STREAMS

ROOT = Path(__file__).parents[2]
STORED = json.loads((ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8"))
EXAMPLES = sorted((ROOT / "tests" / "messages").glob("*.json"))
PUBLISHED = {one.__name__ for channel in asyncapi.CHANNELS for one in channel.messages}

REFERENCE = {
    "type": "object",
    "required": ["$ref"],
    "additionalProperties": False,
    "properties": {"$ref": {"type": "string", "pattern": "^#/"}},
}
EXTENSION = {"^x-": {}}


def thing(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object of AsyncAPI: it has no field that the specification does not name."""
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "patternProperties": EXTENSION,
        "additionalProperties": False,
    }


def each(of: Any) -> dict[str, Any]:
    """By name; every reader takes names of these letters."""
    names = {"pattern": "^[A-Za-z0-9_-]+$"}
    return {"type": "object", "minProperties": 1, "propertyNames": names, "additionalProperties": of}


TEXT = {"type": "string", "minLength": 1}
#: The parts of the specification (3.0.0) that the document uses, by its own tables of fields.
SPECIFICATION = thing(
    ["asyncapi", "info", "channels", "operations", "components"],
    asyncapi={"const": "3.0.0"},
    info=thing(["title", "version"], title=TEXT, version=TEXT, description=TEXT, license=thing(["name"], name=TEXT)),
    defaultContentType=TEXT,
    servers=each(thing(["host", "protocol"], host=TEXT, protocol=TEXT, description=TEXT)),
    channels=each(
        thing(
            ["address", "messages"],
            address=TEXT,
            title=TEXT,
            description=TEXT,
            messages=each(REFERENCE),
            parameters=each(thing([], description=TEXT)),
        )
    ),
    operations=each(
        thing(["action", "channel"], action={"enum": ["send", "receive"]}, channel=REFERENCE, summary=TEXT)
    ),
    components=thing(
        [],
        messages=each(thing(["payload"], name=TEXT, contentType=TEXT, payload=REFERENCE, headers={"type": "object"})),
        schemas=each({"type": "object"}),
    ),
)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for child in part.values():
            yield from references(child)
    elif isinstance(part, list):
        for child in part:
            yield from references(child)


def found(reference: str) -> Any:
    place: Any = STORED
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def address_of(subject: str) -> str | None:
    """The channel whose address a subject has. The types of events alone may be of two tokens."""
    for name, channel in STORED["channels"].items():
        pattern = re.sub(r"\\\{(\w+)\\\}", lambda m: ".+" if m[1] == "type" else "[^.]+", re.escape(channel["address"]))
        if re.fullmatch(pattern, subject):
            return str(name)
    return None


def test_the_stored_document_is_current_else_run_dev_asyncapi():
    assert (ROOT / "docs" / "asyncapi.json").read_text(encoding="utf-8") == asyncapi.text()


def test_it_has_the_shape_of_the_specification():
    assert [error.message for error in Draft7Validator(SPECIFICATION).iter_errors(STORED)] == []


def test_every_reference_leads_somewhere():
    wanted = set(references(STORED))
    assert len(wanted) > 50
    assert all(isinstance(found(reference), dict) for reference in wanted)


def test_every_schema_is_one():
    for schema in STORED["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_the_parameters_of_an_address_are_those_that_are_described():
    for channel in STORED["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))


def test_every_stream_is_there_and_every_channel_fits_the_subjects_of_its_stream():
    of_stream = {stream.name: stream.subjects for stream in STREAMS}
    assert {channel["x-stream"] for channel in STORED["channels"].values()} == of_stream.keys()
    for channel in STORED["channels"].values():
        subject = re.sub(r"{\w+}", "x", channel["address"])
        wildcards = [pattern.replace("*", "[^.]+").replace(">", ".+") for pattern in of_stream[channel["x-stream"]]]
        assert any(re.fullmatch(wildcard, subject) for wildcard in wildcards), channel["address"]


@pytest.mark.parametrize(
    ("subject", "channel"),
    [
        (subjects.usage(7), "usage"),
        (subjects.fact("license.issued", "crm", "f1"), "fact"),
        (subjects.kpi_account("acme"), "kpi-account"),
        (subjects.kpi_trial("o1"), "kpi-trial"),
        (subjects.kpi_team(), "kpi-team"),
        (subjects.kpi_instance("i1"), "kpi-instance"),
        (subjects.alert("firing", "US West", "warning", "trial-breached", "o.1"), "alert"),
        (subjects.refused("crm", "too_old"), "refused"),
        ("raw.v1.crm.license.issued", "raw"),
    ],
)
def test_a_subject_that_the_code_makes_has_the_address_of_its_channel(subject, channel):
    assert address_of(subject) == channel


def test_every_type_of_event_is_a_message_of_the_door():
    assert set(STORED["channels"]["raw"]["messages"]) == {one.__name__ for one in EVENT_CLASSES.values()}


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.stem.split("-")[0] in PUBLISHED], ids=lambda e: e.stem)
def test_the_golden_messages_fit_the_schemas(example):
    schema = {"$ref": f"#/components/schemas/{example.stem.split('-')[0]}", "components": STORED["components"]}
    message = json.loads(example.read_text(encoding="utf-8"))
    assert [error.message for error in Draft7Validator(schema).iter_errors(message)] == []
    assert not Draft7Validator(schema).is_valid({name: object() for name in message})


def test_every_published_class_has_a_golden_message():
    assert {example.stem.split("-")[0] for example in EXAMPLES} >= PUBLISHED
