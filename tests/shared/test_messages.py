"""The contract between services. Golden examples in `tests/messages` are only ever added, never changed."""

import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from uptake import messages
from uptake.messages.events import EVENT_CLASSES, AccountUpdated, BusinessEvent, Event, Usage
from uptake.messages.facts import Fact
from uptake.messages.fields import MAX_INTEGER, Message
from uptake.messages.usage import UsageBatch

GOLDEN = Path(__file__).parent.parent / "messages"
EXAMPLES = sorted(path.name for path in GOLDEN.glob("*.json"))
CLASSES = {
    name: found
    for module in pkgutil.iter_modules(messages.__path__, "uptake.messages.")
    for name, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
    if issubclass(found, Message) and found not in (Message, Event) and not name.startswith("_")
}
BUSINESS_EVENT: TypeAdapter[BusinessEvent] = TypeAdapter(BusinessEvent)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_read_and_written_without_loss(example: str) -> None:
    text = (GOLDEN / example).read_text()
    message = CLASSES[example.removesuffix(".json").split("-")[0]].model_validate_json(text)
    written = message.model_dump_json(exclude_unset=True)
    assert json.loads(written) == json.loads(text)
    assert type(message).model_validate_json(written) == message


@pytest.mark.parametrize("name", CLASSES)
def test_every_message_has_an_example(name: str) -> None:
    assert f"{name}.json" in EXAMPLES


@pytest.mark.parametrize("name", CLASSES)
def test_an_older_reader_survives_a_newer_writer(name: str) -> None:
    example = json.loads((GOLDEN / f"{name}.json").read_text())
    newer = CLASSES[name].model_validate_json(json.dumps(example | {"later": {"x": [1]}}))
    assert newer == CLASSES[name].model_validate_json(json.dumps(example))
    assert "later" not in newer.model_dump()


def usage(**fields: Any) -> str:
    event = {
        "id": "e",
        "type": "usage",
        "occurred_at": "2026-05-10T09:30:00Z",
        "account": "a",
        "user": "u",
        "feature": "f",
    }
    return json.dumps(event | fields)


def closed(**fields: Any) -> str:
    event = {
        "id": "e",
        "type": "opportunity.closed",
        "occurred_at": "2026-05-10T09:30:00Z",
        "opportunity": "o",
        "account": "a",
        "outcome": "won",
        "kind": "new",
        "recurring_cents": 1,
    }
    return json.dumps(event | fields)


HOSTILE_TEXT = [
    "",
    " \0",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\x1b[31m",
    "a\u2028b",
    "a\u202eb",
    "\ud800",
    "x" * 201,
    7,
    True,
    None,
    ["a"],
]
HOSTILE_TIMES = [
    "2026-05-10T09:30:00",  # no offset
    "2026-05-10",
    1778405400,
    1778405400.5,
    "1778405400",
    True,
    None,
    "",
    "tomorrow",
    "2026-13-40T09:30:00Z",
    "2026-05-10T25:30:00Z",
    "2026-05-10T09:30:60Z",
    "2026-05-10T09:30:00+99:00",
    "2026-05-10T09:30Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "٢٠٢٦-05-10T09:30:00Z",
    "2026-05-10T09:30:00Z\n",
]
HOSTILE_NUMBERS = [float("nan"), float("inf"), -float("inf"), 2**53 + 2, -(2**54), 1e300, 10**400, "1", True, None, [1]]


@pytest.mark.parametrize("field", ["id", "account", "user", "feature"])
@pytest.mark.parametrize("text", HOSTILE_TEXT)
def test_hostile_text_is_refused(field: str, text: Any) -> None:
    if field == "account" and text is None:
        text = ""  # left out is allowed as long as there is an instance
    with pytest.raises(ValidationError):
        Usage.model_validate_json(usage(**{field: text}))


@pytest.mark.parametrize("time", HOSTILE_TIMES)
def test_a_hostile_time_is_refused(time: Any) -> None:
    with pytest.raises(ValidationError):
        Usage.model_validate_json(usage(occurred_at=time))


@pytest.mark.parametrize("number", HOSTILE_NUMBERS)
def test_a_hostile_property_is_refused(number: Any) -> None:
    with pytest.raises(ValidationError):
        Usage.model_validate_json(usage(properties={"n": number}))


@pytest.mark.parametrize("properties", [{"": 1}, {"a\0": 1}, {"x" * 201: 1}, [], "x", {str(n): 1 for n in range(51)}])
def test_hostile_properties_are_refused(properties: Any) -> None:
    with pytest.raises(ValidationError):
        Usage.model_validate_json(usage(properties=properties))


@pytest.mark.parametrize("cents", [*(n for n in HOSTILE_NUMBERS if n is not None), 1.0, 1.5, "1e3"])
def test_hostile_cents_are_refused(cents: Any) -> None:
    with pytest.raises(ValidationError):
        BUSINESS_EVENT.validate_json(closed(recurring_cents=cents))


@pytest.mark.parametrize(
    ("fields"),
    [
        {"currency": "eur"},
        {"currency": "EUR\n"},
        {"years": 0},
        {"years": True},
        {"years": 21},
        {"products": ["a\0"]},
        {"products": ["a"] * 101},
        {"products": "a"},
        {"kind": "other"},
        {"outcome": None},
        {"type": "opportunity.unknown"},
        {"type": None},
        {"type": "usage"},
    ],
)
def test_a_hostile_business_event_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BUSINESS_EVENT.validate_json(closed(**fields))


@pytest.mark.parametrize("name", ["A\u00a0B GmbH", "Ünïcode 株式会社\u3000東京", "soft\u00adhyphen", "👩\u200d💻"])
def test_a_name_as_a_crm_has_it_is_taken(name: str) -> None:
    event = {"id": "1", "type": "account.updated", "occurred_at": "2026-01-01T00:00:00Z", "account": "a", "name": name}
    assert AccountUpdated.model_validate(event).name == name


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a\0b", "\ud800", "", "x" * 201])
def test_a_name_that_breaks_a_line_or_a_store_is_refused(name: str) -> None:
    event = {"id": "1", "type": "account.updated", "occurred_at": "2026-01-01T00:00:00Z", "account": "a", "name": name}
    with pytest.raises(ValidationError):
        AccountUpdated.model_validate(event)


@pytest.mark.parametrize(
    "zone",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "Mars/Base",
        "",
        "Europe",
        "Europe/Berlin\0",
        "x" * 65,
        "\ud800",
        7,
        ".",
        "localtime",
        "Factory",
        "right/UTC",
    ],
)
def test_a_hostile_zone_is_refused(zone: Any) -> None:
    event = {"id": "e", "type": "account.updated", "occurred_at": "2026-05-10T09:30:00Z", "account": "a"}
    with pytest.raises(ValidationError):
        BUSINESS_EVENT.validate_json(json.dumps(event | {"time_zone": zone}))


@pytest.mark.parametrize(
    "day", ["2026-5-1", "20260501", "2026-02-30", 20260501, True, "2026-05-01T00:00:00Z", "", "0000-01-01"]
)
def test_a_hostile_day_is_refused(day: Any) -> None:
    event = {"id": "e", "type": "usage.ping", "occurred_at": "2026-05-10T09:30:00Z", "account": "a", "mau": 1}
    with pytest.raises(ValidationError):
        BUSINESS_EVENT.validate_json(json.dumps(event | {"day": day}))


@pytest.mark.parametrize("text", ["[]", "7", "null", '"x"', "{", "", "nonsense", '{"id":"e"', "[" * 5000])
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Usage.model_validate_json(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-05-10T09:30:00Z", "2026-05-10T09:30:00Z"),
        ("2026-05-10t09:30:00z", "2026-05-10T09:30:00Z"),
        ("2026-05-10T09:30:00+02:00", "2026-05-10T07:30:00Z"),
        ("2026-05-10T23:30:00-05:30", "2026-05-11T05:00:00Z"),
        ("2026-05-10T09:30:00.123456789Z", "2026-05-10T09:30:00.123456Z"),
    ],
)
def test_times_are_kept_in_utc(written: str, meant: str) -> None:
    message = Usage.model_validate_json(usage(occurred_at=written))
    assert json.loads(message.model_dump_json())["occurred_at"] == meant


def test_left_out_and_cleared_stay_apart_on_the_wire() -> None:
    fact = Fact.model_validate_json((GOLDEN / "Fact.json").read_text())
    cleared = fact.model_copy(
        update={"event": BUSINESS_EVENT.validate_json((GOLDEN / "AccountUpdated-cleared.json").read_text())}
    )
    again = Fact.model_validate_json(cleared.model_dump_json(exclude_unset=True))
    assert again.event.model_fields_set == {"id", "type", "occurred_at", "account", "owner"}


def test_uneven_columns_are_refused() -> None:
    batch = json.loads((GOLDEN / "UsageBatch.json").read_text())
    for column in ("users", "features", "instants", "environments", "actors", "instances", "properties"):
        with pytest.raises(ValidationError, match="columns differ in length"):
            UsageBatch.model_validate(batch | {column: batch[column][:1]})


@pytest.mark.parametrize("name", EVENT_CLASSES)
def test_every_event_type_names_its_class(name: str) -> None:
    assert get_args(EVENT_CLASSES[name].model_fields["type"].annotation) == (name,)


@given(st.text(), st.integers(), st.floats())
def test_whatever_passes_can_be_stored(text: str, whole: int, fraction: float) -> None:
    """Text that encodes, numbers that PostgreSQL holds."""
    try:
        message = Usage.model_validate(json.loads(usage(user=text, properties={"whole": whole, "fraction": fraction})))
    except ValidationError:
        return
    assert "\0" not in message.user
    message.user.encode()
    assert all(abs(number) <= MAX_INTEGER for number in message.properties.values())
