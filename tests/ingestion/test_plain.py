"""The short way accepts only what `judge` accepts, as `judge` reads it; whatever else comes goes the long way."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from uptake.messages.events import Usage
from uptake_ingestion.batches import Row
from uptake_ingestion.intake import MAX_EVENT_BYTES, Accepted, Refused, judge, window_of
from uptake_ingestion.items import MAX_ITEMS, split
from uptake_ingestion.plain import array, find, judge_all

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
USAGE = {
    "id": "e1",
    "type": "usage",
    "occurred_at": "2026-05-10T09:30:00Z",
    "account": "acme",
    "user": "ada",
    "feature": "merge",
}
STAGE = {"id": "s", "type": "opportunity.stage_changed", "occurred_at": "2026-05-01T00:00:00Z", "opportunity": "o"} | {
    "account": "acme",
    "stage": 4,
}
ODD = [
    "",
    "x" * 200,
    "x" * 201,
    "Žofie 🚀" * 25,
    "a\x00b",
    "a\nb",
    "a\u2028b",
    "\u00a0",
    "\ud800",
    '"\\',
    "production\n",
    "Staging",
    "trial",
    "usage",
    "system",
    "erased:1",
    "unnamed:1",
    "erased",
    None,
    5,
    1.5,
    True,
    {},
    {"n": 1},
    [],
]
TIMES = [
    "2026-05-10T09:30:00Z",
    "2026-05-10T09:30:00.123456+05:30",
    "2026-05-10T09:30:00.1234567Z",
    "2026-05-10t09:30:00z",
    "2026-05-10 09:30:00Z",
    "2026-05-10T09:30:00+0530",
    "2026-05-10T09:30:00+05:60",
    "2026-05-10T09:30:00",
    "2026-05-10",
    "2026-W19-7",
    "20260510T093000Z",
    "2026-05-10T09:30:60Z",
    "2026-05-10T24:00:00Z",
    "2026-02-30T09:30:00Z",
    "2026-05-10T09:30:00Z\n2026-05-10T09:30:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "1970-01-01T23:59:59Z",
    "٢٠٢٦-05-10T09:30:00Z",
    (NOW - timedelta(days=35)).isoformat(),
    (NOW - timedelta(days=35, microseconds=1)).isoformat(),
    (NOW + timedelta(minutes=5)).isoformat(),
    (NOW + timedelta(minutes=5, microseconds=1)).isoformat(),
]


def _mutations():
    """Usage with something odd in it, as bytes; now and then with a few bytes of it changed."""
    names = ["id", "type", "user", "feature", "account", "instance", "environment", "actor", "properties", "unknown"]
    odd = st.dictionaries(st.sampled_from(names), st.sampled_from(ODD), max_size=2)
    at = st.fixed_dictionaries({}, optional={"occurred_at": st.sampled_from(TIMES)})
    left_out = st.sets(st.sampled_from(list(USAGE)), max_size=1)

    def made(odd, at, left_out, seed):
        item = {name: value for name, value in (USAGE | odd | at).items() if name not in left_out}
        raw = bytearray(json.dumps(item, ensure_ascii=seed % 2 == 0).encode(errors="surrogatepass"))
        if seed % 3 == 0:
            chance = random.Random(seed)
            raw[chance.randrange(len(raw))] = chance.choice(b'"\\{}[]:, \n\x00\xff0aZ')
        return bytes(raw)

    return st.builds(made, odd, at, left_out, st.integers(0, 10**6))


ITEMS = st.lists(_mutations() | st.binary(max_size=30) | st.just(json.dumps(STAGE).encode()), max_size=8)


def _by_judge(item, live):
    verdict = judge(item, NOW, live=live)
    if isinstance(verdict, Refused):
        return verdict
    return Row.of(verdict.event) if isinstance(verdict.event, Usage) else verdict.event


def _normal(verdict):
    """Two rows are the same when they say the same instant, however they write it."""
    if not isinstance(verdict, Row):
        return verdict
    fields = {name: getattr(verdict, name) or None for name in Row.__struct_fields__}
    return fields | {"occurred_at": datetime.fromisoformat(verdict.occurred_at)}


@settings(max_examples=600)
@given(ITEMS, st.booleans())
@example([json.dumps(USAGE | {"occurred_at": time}).encode() for time in TIMES], True)
@example([json.dumps(USAGE | {"occurred_at": time}).encode() for time in TIMES], False)
@example([json.dumps(USAGE).encode() + b" " * MAX_EVENT_BYTES], True)
@example([b'{"a":' * 100_000, b"[" * 100_000], True)
def test_every_item_gets_the_verdict_of_judge(items, live):
    verdicts = judge_all(items, NOW, live=live)
    assert [_normal(verdict) for verdict in verdicts] == [_normal(_by_judge(item, live)) for item in items]


@settings(max_examples=600)
@given(ITEMS, st.booleans(), st.sampled_from([b",", b" ,\r\n"]))
@example([json.dumps(USAGE).encode()] * 3, True, b",")
def test_a_whole_array_is_taken_only_when_judge_accepts_every_item(items, live, comma):
    body = b"[" + comma.join(items) + b"]"
    rows = array(body, NOW, live=live)
    if rows is not None:
        assert [_normal(row) for row in rows] == [_normal(_by_judge(item.raw, live)) for item in split(body)]


def test_plain_usage_does_go_the_short_way():
    good = [USAGE | {"user": f"u{number}"} for number in range(100)]
    good[3] |= {"environment": "trial", "actor": "system", "instance": "i1", "account": None}
    rows = array(json.dumps(good).encode(), NOW, live=True)
    assert rows is not None
    assert [row.user for row in rows] == [f"u{number}" for number in range(100)]
    assert find([json.dumps(one).encode() for one in good], window_of(NOW, live=True)) == rows


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("user", ["erased:0a1b", "erased:", "unnamed:1"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_nobody_is_taken_for_a_person_without_a_name_however_many_come_at_once(user, place, live):
    items = [USAGE | {"user": name} for name in ("erased", "ada", "un-erased:1")]
    items[place] |= {"user": user}
    raw = [json.dumps(item).encode() for item in items]
    assert array(b"[" + b",".join(raw) + b"]", NOW, live=live) is None
    assert [row is None for row in find(raw, window_of(NOW, live=live))] == [n == place for n in range(3)]


@pytest.mark.parametrize("extra", [{"properties": {"n": 1}}, {"a field of tomorrow": 1}])
def test_what_is_good_but_not_plain_goes_the_long_way(extra):
    item = json.dumps(USAGE | extra).encode()
    assert isinstance(judge(item, NOW, live=True), Accepted)
    assert array(b"[" + item + b"]", NOW, live=True) is None
    assert find([item], window_of(NOW, live=True)) == [None]


def test_one_large_item_among_small_ones_is_found():
    small = json.dumps(USAGE).encode()
    large = small[:-1] + b" " * (MAX_EVENT_BYTES - len(small)) + b"}"
    assert len(large) == MAX_EVENT_BYTES
    assert array(b"[" + large + b"]", NOW, live=True) is None  # the brackets might have been the item's
    assert find([large, large + b" "], window_of(NOW, live=True))[1] is None
    for number in (1, 2, 50):
        assert array(b"[" + b",".join([small] * number + [large + b" "]) + b"]", NOW, live=True) is None


def test_more_items_than_a_request_may_hold_are_left_alone():
    body = json.dumps([USAGE] * (MAX_ITEMS + 1)).encode()
    assert array(body, NOW, live=True) is None


def test_one_bad_item_of_many_costs_the_others_nothing():
    items = [json.dumps(USAGE | {"id": f"e{number}"}).encode() for number in range(300)]
    items[7], items[200] = json.dumps(USAGE | {"user": "a\x00"}).encode(), b"text"
    found = find(items, window_of(NOW, live=True))
    assert [number for number, row in enumerate(found) if row is None] == [7, 200]
