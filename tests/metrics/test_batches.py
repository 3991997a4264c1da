"""Messages of usage: what is understood of them, and that the fast way and the contract never disagree."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from uptake.messages.usage import UsageBatch
from uptake_metrics.batches import Batch, ImpossibleBatch, decode_all, decoded, rows

STORED_AT = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
SECOND_US = 1_000_000
NOON = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * SECOND_US


def raw(**changes):
    """A batch of two events, with some of its columns changed."""
    batch = {
        "id": "b1",
        "source": "demo",
        "received_at": 0,
        "accounts": ["acme", "acme"],
        "users": ["ann", "bob"],
        "features": ["edit", "edit"],
        "instants": [NOON_US, NOON_US],
    }
    return json.dumps(batch | changes).encode()


def plain(text=b"", **changes):
    """A batch of two events as ingestion writes it: no space, nothing escaped. `text` follows its last field."""
    return json.dumps(json.loads(raw(**changes)), separators=(",", ":"), ensure_ascii=False).encode()[:-1] + text + b"}"


def test_some_rows_of_a_batch_are_a_batch():
    changes = {"environments": ["trial", "qa"], "actors": ["human", "bot"], "instances": [None, "i"]}
    for data in (plain(**changes), raw(**changes)):
        some = rows(decoded(data, STORED_AT), [False, True])
        assert (some.accounts, some.users, some.features) == (["acme"], ["bob"], ["edit"])
        assert (some.instants.tolist(), some.environments, some.actors) == ([NOON_US], ["qa"], ["bot"])
        assert (some.instances, len(some)) == (["i"], 1)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"id": "b1"}', raw(users=["ann"]), raw(instants=["x", 1])])
def test_what_is_no_batch_is_no_batch(data):
    with pytest.raises(ValidationError):
        decoded(data, STORED_AT)


@pytest.mark.parametrize(
    "changes",
    [
        {"instants": [NOON_US, -1]},
        {"instants": [86_400 * SECOND_US - 1, NOON_US]},  # somewhere it is 1969-12-31
        {"instants": [NOON_US, NOON_US + (14 * 3600 + 10 * 60) * SECOND_US + 1]},
        {"instants": [NOON_US, 2**80]},
        {"users": ["ann", "b\0b"]},
        {"accounts": ["acme", "ac\0me"]},
        {"features": ["\0", "edit"]},
        {"environments": ["production", "\0"]},
        {"instances": [None, "i\0"]},
        {"accounts": ["acme", ""]},
        {"accounts": ["acme", ""], "instances": ["i-1", None]},
        {"import_id": "\0"},
        {"received_at": 2**70},
        {"received_at": -1},
        {"received_at": 4_102_444_800_000_001},  # the year 2100
        {"received_at": -(2**70)},
        {"acknowledged": -1},
        {"acknowledged": 2**60},
    ],
)
def test_what_nobody_can_count_or_store_is_impossible(changes):
    for data in (raw(**changes), plain(**changes)):
        with pytest.raises(ImpossibleBatch):
            decoded(data, STORED_AT)


@pytest.mark.parametrize(
    "changes",
    [
        {"instants": [86_400 * SECOND_US, NOON_US]},
        {"instants": [NOON_US, NOON_US + 14 * 3600 * SECOND_US]},
        {"users": ["ann", "\\u0000"]},  # six characters, none of them a NUL
        {"users": ["💥", "عمر"]},
        {"accounts": [], "users": [], "features": [], "instants": []},
        {"accounts": ["acme", ""], "instances": [None, "i-1"]},
        {"users": ['a","b', "\\"]},
        {"users": ["", ""], "features": ["", ","]},
    ],
)
def test_what_is_only_strange_is_counted(changes):
    batches = [decoded(data, STORED_AT) for data in (raw(**changes), plain(**changes))]
    for batch in batches:
        assert (batch.accounts, batch.users) == tuple(
            json.loads(raw(**changes))[name] for name in ("accounts", "users")
        )
        assert batch.instants.tolist() == json.loads(raw(**changes))["instants"]


def test_the_answer_is_the_same_whenever_the_log_is_read():
    """A batch too far ahead when it was stored stays refused when its day has long come: both are told the same."""
    ahead = raw(instants=[NOON_US, NOON_US + 3 * 86_400 * SECOND_US])
    with pytest.raises(ImpossibleBatch):
        decoded(ahead, STORED_AT)
    decoded(ahead, STORED_AT + timedelta(days=3))


def test_a_batch_ahead_of_some_clocks_is_judged_by_the_one_that_stored_it():
    ahead = plain(instants=[NOON_US, NOON_US + 20 * 3600 * SECOND_US])
    early, late = decode_all([(ahead, STORED_AT), (ahead, STORED_AT + timedelta(hours=6))])
    assert isinstance(early, ImpossibleBatch)
    assert isinstance(late, Batch)


def judged(data):
    """What the contract says of a message, by pydantic and one event at a time: nothing in common with the fast way."""
    try:
        batch = UsageBatch.model_validate_json(data)
    except ValidationError:
        return ValidationError
    texts = [batch.import_id, batch.writer, *batch.accounts, *batch.users, *batch.features]
    texts += [text for column in (batch.environments, batch.actors, batch.instances) for text in column or ()]
    latest_us = NOON_US + (14 * 3600 + 10 * 60) * SECOND_US
    if (
        any(not 86_400 * SECOND_US <= instant <= latest_us for instant in batch.instants)
        or any("\0" in text for text in texts if text)
        or not all(a or i for a, i in zip(batch.accounts, batch.instances or batch.accounts, strict=True))
        or not 0 <= batch.received_at <= 4_102_444_800_000_000
        or not 0 <= (batch.acknowledged or 0) <= 2**53
    ):
        return ImpossibleBatch
    return content(batch, batch.instants)


def content(batch, instants):
    names = ("id", "source", "received_at", "import_id", "writer", "acknowledged", "accounts", "users", "features")
    return [getattr(batch, name) for name in (*names, "environments", "actors", "instances")], instants


def told(found):
    return content(found, found.instants.tolist()) if isinstance(found, Batch) else type(found)


#: Pieces of JSON that a producer could send in place of any other, or in the middle of it.
FRAGMENTS = [
    b"", b" ", b"\n", b"\x0c", b"\x00", b"\x01", b"\x7f", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa5",
    b"\xef\xbb\xbf", b"0", b"5", b"-", b"+", b".", b".0", b"e3", b"1e3", b"1.5", b"05", b"-0", b"NaN", b"Infinity",
    b"1e400", b"9" * 25, b"true", b"null", b'"', b'""', b'","', b'" , "', b",", b",,", b":", b"[", b"]", b"[]", b"[[",
    b"{", b"}", b"{}", b"},{", b"]}", b"1]", b"[" * 300, b'"x"', b'"5"', b"\\", b'\\"', b"\\u0000", b"\\u0041",
    b"\\ud800", b"\\ud83d\\ude00", b',"users":["x","y"]', b',"instants":[1,2]', b',"id":5', b',"source":"Demo"',
    b',"source":"demo\\n"', b',"version":2', b',"version":1.0', b',"unknown":{"a":[1]}',
    b',"environments":["trial",""]', b',"environments":[]', b',"actors":["human","bot"]', b',"instances":["i",null]',
    b',"instances":null', b',"properties":[{"a":1},{"a":1e999}]', b',"properties":[{},{"a":"x"}]',
    b',"import_id":"i"', b',"writer":"w"', b',"writer":"a1"', b',"writer":"a1\\n"',
    b',"acknowledged":7', b',"acknowledged":-7', b',"acknowledged":true',
    b',"accounts":["","acme"]',
    b',"unknown":' + b"[" * 300 + b"]" * 300, b',"unknown":"\xff"', b',"properties":[{"a":1},{"\xff":1}]',
]  # fmt: skip

ids = st.sampled_from(
    ["acme", "a", "", "Zoë", "💥", 'a"b', "a\\b", 'a","b', "a\nb", "\x7f", "\0", "x" * 300, ",", "]", "[", "}"]
)
instants = st.one_of(
    st.just(NOON_US),
    st.integers(NOON_US - 10**12, NOON_US + 10**11),
    st.sampled_from(
        [0, -1, 10**15, 10**15 - 1, 10**16, 86_400 * SECOND_US, 2**62, 2**63, 2**64, 2**80, True, None, "5", 1.5]
    ),
)


@st.composite
def messages(draw):
    """A batch, with hostile values in it, or broken open by a fragment."""
    n = draw(st.integers(0, 3))
    batch = {"id": "b", "source": "demo", "received_at": draw(st.sampled_from([0, NOON_US, -1, 2**70, 1.0, True]))}
    for name in ("accounts", "users", "features"):
        batch[name] = draw(st.lists(ids, min_size=n, max_size=n))
    batch["instants"] = draw(st.lists(instants, min_size=n, max_size=n))
    for name in draw(st.sets(st.sampled_from(["environments", "actors", "instances"]))):
        batch[name] = draw(st.one_of(st.none(), st.lists(ids, min_size=n, max_size=n)))
    ascii_only, separators = draw(st.booleans()), draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    data = json.dumps(batch, ensure_ascii=ascii_only, separators=separators).encode()
    for _ in range(draw(st.integers(0, 2))):
        at, gone = draw(st.integers(0, len(data))), draw(st.integers(0, 3))
        data = data[:at] + draw(st.sampled_from(FRAGMENTS)) + data[at + gone :]
    return data


@given(st.lists(messages(), min_size=1, max_size=6))
@example([b"{},{}", plain(), b"1]"])
@example([plain(b',"users":["x","y"]'), plain(b',"users":["x"]'), plain(b',"instants":[1,2],"instants":[true,"5"]')])
def test_every_message_is_told_what_the_contract_says_whatever_comes_with_it(data):
    found = decode_all([(message, STORED_AT) for message in data])
    assert [told(batch) for batch in found] == [judged(message) for message in data]


@pytest.mark.parametrize("gone", [0, 1, 3])
def test_a_plain_batch_broken_open_anywhere_is_told_what_the_contract_says(gone):
    """Every fragment at every place, all in one call between batches that are good."""
    whole = plain()
    broken = [whole[:at] + piece + whole[at + gone :] for piece in FRAGMENTS for at in range(len(whole) + 1)]
    good, *found, also_good = decode_all([(data, STORED_AT) for data in (whole, *broken, whole)])
    for data, batch in zip(broken, found, strict=True):
        assert told(batch) == judged(data), data
    assert told(good) == told(also_good) == judged(whole)


def test_two_halves_of_a_batch_are_no_batch():
    data = plain()
    for at in range(1, len(data)):
        halves = decode_all([(data[:at], STORED_AT), (data[at:], STORED_AT)])
        assert [type(half) for half in halves] == [ValidationError] * 2


def test_no_messages_are_no_batches():
    assert decode_all([]) == []


def test_what_ingestion_writes_is_decoded_without_pydantic(batches, event, monkeypatch):
    """Of the optional fields too: were one of them unknown to the fast way, everything would take the slow one."""
    monkeypatch.setattr(UsageBatch, "model_validate_json", None)
    full = UsageBatch(
        id="b", source="demo", received_at=NOON_US, import_id="i", writer="aa", acknowledged=3, rewrite_of=2,
        accounts=["Zoë"], users=["u"], features=["f"], instants=[NOON_US], environments=["trial"], actors=["human"],
        instances=["i"], properties=[{"a": 1.5}],
    )  # fmt: skip
    assert set(full.model_dump()) == set(UsageBatch.model_fields)
    for data in (full.model_dump_json(exclude_none=True).encode(), batches([event("acme", "ann", NOON)])[0][1]):
        decoded(data.replace(b'"received_at":0', b'"received_at":1'), STORED_AT)


@pytest.mark.parametrize("column", ["accounts", "users", "features"])
@pytest.mark.parametrize(
    "texts", ['[",",1,"b"]', '[",", "b"]', '[",",null,"b"]', '[",",","]', '[",","b"]', '["a",","]']
)
def test_a_comma_between_quotes_is_a_text_and_no_separator(batches, event, column, texts):
    ((_, data),) = batches([event("acme", "ann", "2026-08-20"), event("acme", "bob", "2026-08-20")])
    whole = json.dumps(json.loads(data) | {column: "HERE"}, separators=(",", ":")).replace('"HERE"', texts).encode()
    (found,) = decode_all([(whole, datetime(2026, 8, 25, tzinfo=UTC))])
    try:
        expected = UsageBatch.model_validate_json(whole)
    except ValueError:
        assert isinstance(found, ValueError)
    else:
        assert getattr(found, column) == getattr(expected, column)
