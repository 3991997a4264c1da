"""What is accepted and what is refused, with which reason and in which words."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uptake.messages.events import EVENT_CLASSES
from uptake_ingestion.intake import MAX_EVENT_BYTES, Accepted, Reason, Refused, judge

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
USAGE: dict[str, Any] = {
    "id": "e1",
    "type": "usage",
    "occurred_at": "2026-05-10T09:30:00Z",
    "account": "acme",
    "user": "ada",
    "feature": "merge",
}
STAGE: dict[str, Any] = {
    "id": "s1",
    "type": "opportunity.stage_changed",
    "occurred_at": "2019-01-01T00:00:00+01:00",
    "opportunity": "o1",
    "account": "acme",
    "stage": 4,
}
LINK: dict[str, Any] = {**USAGE, "type": "user.linked", "other": "bob"}
PING: dict[str, Any] = {**USAGE, "type": "usage.ping", "day": "2026-05-09", "mau": 12}


def _verdict(item: Any, *, live: bool = True) -> Accepted | Refused:
    return judge(item if isinstance(item, bytes) else json.dumps(item).encode(), NOW, live=live)


def _without(item: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != field}


def _at(when: datetime) -> str:
    return when.isoformat()


@pytest.mark.parametrize(
    "item",
    [
        USAGE,
        _without(USAGE, "account") | {"instance": "i1"},
        USAGE | {"actor": "system", "environment": "trial", "properties": {"lines": 12, "share": 0.5}},
        USAGE | {"a field of tomorrow": [1, {"deep": None}]},
        USAGE | {"user": "Žofie 🚀"},
        USAGE | {"user": "erased", "feature": "erased:1", "account": "unnamed:1"},
        LINK | {"user": "un-erased:1"},
        USAGE | {"id": "x" * 200},
        PING,
        STAGE,
        {"id": "a", "type": "account.updated", "occurred_at": "2020-02-29T00:00:00Z", "account": "acme", "owner": None},
    ],
)
def test_a_good_event_is_accepted(item: dict[str, Any]) -> None:
    verdict = _verdict(item)
    assert isinstance(verdict, Accepted)
    assert verdict.event.id == item["id"]


@pytest.mark.parametrize(
    ("item", "reason", "detail"),
    [
        (b"", "not_json", ""),
        (b"{", "not_json", ""),
        (b"hello", "not_json", ""),
        (b'{"id": "e1", "id": }', "not_json", ""),
        (b'"\x00"', "not_json", ""),
        (b'\xff\xfe{"id"', "not_json", ""),
        (b'{"id": "\xff"}', "not_json", "UTF-8"),
        (b"5", "not_an_object", "object"),
        (b"null", "not_an_object", "object"),
        ([USAGE], "not_an_object", "object"),
        ({}, "missing_field", "type"),
        (_without(USAGE, "id"), "missing_field", "id"),
        (_without(USAGE, "user"), "missing_field", "user"),
        (_without(USAGE, "occurred_at"), "missing_field", "occurred_at"),
        (_without(USAGE, "account"), "missing_field", "account or an instance"),
        (USAGE | {"account": None}, "missing_field", "account or an instance"),
        (USAGE | {"type": "usages"}, "unknown_type", "usages"),
        (USAGE | {"type": "import.started"}, "unknown_type", "import.started"),
        (USAGE | {"type": "\x1b[31m" + "x" * 9000}, "unknown_type", "?[31m"),
        (USAGE | {"type": 5}, "invalid_field", "type"),
        (USAGE | {"type": ["usage"]}, "invalid_field", "type"),
        (USAGE | {"user": 7}, "invalid_field", "user"),
        (USAGE | {"user": ""}, "invalid_field", "user"),
        (USAGE | {"user": "x" * 201}, "invalid_field", "user"),
        (USAGE | {"user": "a\x00b"}, "invalid_field", "user: must hold printable"),
        (USAGE | {"user": "a\nb"}, "invalid_field", "user: must hold printable"),
        (USAGE | {"user": "\ud800"}, "invalid_field", "surrogate"),
        (USAGE | {"properties": {"n": float("nan")}}, "invalid_field", "NaN"),
        (USAGE | {"properties": {"n": 2**64}}, "invalid_field", "properties.n"),
        (USAGE | {"properties": {"n": "5"}}, "invalid_field", "properties.n"),
        (USAGE | {"properties": {"n": True}}, "invalid_field", "properties.n"),
        (USAGE | {"properties": {"a\x00": 5}}, "invalid_field", "properties"),
        (USAGE | {"properties": [1]}, "invalid_field", "properties"),
        (json.dumps(USAGE)[:-1].encode() + b', "n": 1e400}', "invalid_field", "number"),
        (json.dumps(USAGE)[:-1].encode() + b', "n": ' + b"9" * 5000 + b"}", "invalid_field", "number"),
        (json.dumps(USAGE)[:-1].encode() + b', "n": ' + b"[" * 7000 + b"]" * 7000 + b"}", "too_deep", "nested"),
        (USAGE | {"occurred_at": "yesterday"}, "invalid_field", "RFC 3339"),
        (USAGE | {"occurred_at": "2026-05-10T09:30:00"}, "invalid_field", "RFC 3339"),
        (USAGE | {"occurred_at": 1778405400}, "invalid_field", "RFC 3339"),
        (USAGE | {"occurred_at": "2026-02-30T09:30:00Z"}, "invalid_field", "occurred_at"),
        (USAGE | {"environment": "Pro duction"}, "invalid_field", "environment"),
        (STAGE | {"stage": 8}, "invalid_field", "stage"),
        (STAGE | {"stage": "4"}, "invalid_field", "stage"),
        (PING | {"mau": 2**63}, "invalid_field", "mau"),
        (USAGE | {"user": "erased:0a1b"}, "invalid_field", "user: must not begin with erased: or unnamed:"),
        (USAGE | {"user": "unnamed:1"}, "invalid_field", "user: must not begin with erased: or unnamed:"),
        *(
            (LINK | {"type": kind, field: name}, "invalid_field", f"{field}: must not begin with")
            for kind in ("user.linked", "user.unlinked")
            for field in ("user", "other")
            for name in ("erased:0a1b", "unnamed:1", "erased:")
        ),
        (LINK | {"type": "user.deleted", "user": "erased:0a1b"}, "invalid_field", "user: must not begin with"),
    ],
)
def test_a_bad_item_is_refused_with_its_reason(item: Any, reason: str, detail: str) -> None:
    verdict = _verdict(item)
    assert isinstance(verdict, Refused)
    assert verdict.reason == reason
    assert detail in verdict.detail
    assert verdict.detail.isprintable()


def test_a_refusal_names_the_event_when_it_can() -> None:
    assert _verdict(_without(USAGE, "user")) == Refused("missing_field", "user: Field required", "e1")
    for event_id in (5, None, "", "x" * 201, "a\x00b", "\ud800", ["e1"]):
        verdict = _verdict(USAGE | {"id": event_id})
        assert isinstance(verdict, Refused)
        assert verdict.event_id is None


@pytest.mark.parametrize("item", [USAGE, PING])
@pytest.mark.parametrize(
    ("age", "live", "reason"),
    [
        (timedelta(days=35), True, None),
        (timedelta(days=35, microseconds=1), True, "too_old"),
        (timedelta(days=35, microseconds=1), False, None),
        (timedelta(days=9000), False, None),
        (timedelta(minutes=-5), True, None),
        (timedelta(minutes=-5, microseconds=-1), True, "in_future"),
        (timedelta(minutes=-5, microseconds=-1), False, "in_future"),
    ],
)
def test_usage_has_35_days_to_arrive_and_5_minutes_ahead(
    item: dict[str, Any], age: timedelta, live: bool, reason: str | None
) -> None:
    verdict = _verdict(item | {"occurred_at": _at(NOW - age)}, live=live)
    assert (verdict.reason if isinstance(verdict, Refused) else None) == reason


@pytest.mark.parametrize(
    ("occurred_at", "reason"),
    [("1999-12-31T23:59:59Z", None), (_at(NOW + timedelta(minutes=5)), None), ("2026-05-10T12:05:01Z", "in_future")],
)
def test_a_business_fact_may_be_of_any_age_but_not_of_the_future(occurred_at: str, reason: str | None) -> None:
    verdict = _verdict(STAGE | {"occurred_at": occurred_at})
    assert (verdict.reason if isinstance(verdict, Refused) else None) == reason


def test_what_a_fact_says_may_lie_in_the_future() -> None:
    license_ = {"license": "l1", "account": "acme", "seats": "unlimited", "expires_at": "2031-01-01T00:00:00Z"}
    times = {"id": "l", "type": "license.issued", "occurred_at": "2026-05-01T00:00:00Z"}
    assert isinstance(_verdict(times | license_), Accepted)


def test_an_event_may_have_16_kib_of_json_exactly() -> None:
    head = json.dumps(USAGE)[:-1].encode() + b', "note": "'
    largest = head + b"x" * (MAX_EVENT_BYTES - len(head) - 2) + b'"}'
    assert len(largest) == MAX_EVENT_BYTES
    assert isinstance(_verdict(largest), Accepted)
    verdict = _verdict(largest.replace(b"xxx", b"xxxx", 1))
    assert isinstance(verdict, Refused)
    assert (verdict.reason, verdict.event_id) == ("too_large", "e1")


def test_of_two_equal_fields_the_last_counts() -> None:
    verdict = judge(json.dumps(USAGE)[:-1].encode() + b', "user": "grace"}', NOW, live=True)
    assert isinstance(verdict, Accepted)
    assert verdict.event.model_dump()["user"] == "grace"


_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_NEARLY_AN_EVENT = st.fixed_dictionaries(
    {"id": _ANY_JSON | st.just("e1"), "type": st.sampled_from(sorted(EVENT_CLASSES)) | _ANY_JSON},
    optional={
        name: _ANY_JSON | st.sampled_from(["acme", "2026-05-10T09:30:00Z", "2026-05-10"])
        for name in ("occurred_at", "account", "instance", "user", "feature", "properties", "day", "mau", "seats")
    },
)


@given(st.binary() | (_ANY_JSON | _NEARLY_AN_EVENT).map(lambda item: json.dumps(item).encode()), st.booleans())
@example(b"[" * 100_000, True)
@example(b'{"a":' * 100_000, True)
@example(b"9" * 100_000, True)
def test_whatever_comes_there_is_a_verdict(raw: bytes, live: bool) -> None:
    verdict = judge(raw, NOW, live=live)
    if isinstance(verdict, Refused):
        assert verdict.reason in get_args(Reason)
        assert verdict.detail.isprintable()
        assert len(verdict.detail) <= 500


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"type": "account.updated", "account": "a", "production_date": "9999-12-31"}, "production_date: is outside"),
        ({"type": "account.updated", "account": "a", "occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at: is outside"),
        (
            {
                "type": "license.issued",
                "account": "a",
                "license": "l",
                "seats": 1,
                "starts_at": "0001-01-01T00:00:00Z",
            },
            "starts_at: is outside",
        ),
        ({"type": "usage.ping", "account": "a", "day": "2026-05-09", "mau": 5, "dau": 9}, "dau: is more than mau"),
        ({"type": "usage.ping", "account": "a", "day": "2030-01-01", "mau": 5}, "day: has not begun"),
    ],
)
def test_a_date_that_stands_for_none_and_a_ping_that_contradicts_itself_are_refused(about, says):
    item = {"id": "1", "occurred_at": "2026-05-10T12:00:00Z"} | about
    found = judge(json.dumps(item).encode(), datetime(2026, 5, 10, 12, tzinfo=UTC), live=True)
    assert (found.reason, found.detail.startswith(says)) == ("invalid_field", True), found


def test_a_licence_may_end_in_the_last_year_there_is():
    item = {"id": "1", "type": "license.issued", "account": "a", "license": "l", "seats": 1}
    item |= {"occurred_at": "2026-05-10T12:00:00Z", "expires_at": "9999-12-31T23:59:59Z"}
    assert isinstance(judge(json.dumps(item).encode(), datetime(2026, 5, 10, 12, tzinfo=UTC), live=True), Accepted)
