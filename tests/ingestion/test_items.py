"""Bodies and the items in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_ingestion.items import MAX_ITEMS, Item, NotJson, TooManyItems, split


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"[]", []),
        (b" [ ]\r\n", []),
        (b'[{"a":1}, 2]', [b'{"a":1}', b"2"]),
        (b'\xef\xbb\xbf[{"a":1}]', [b'{"a":1}']),
        (b'{"a":\n1}', [b'{"a":\n1}']),
        (b"5", [b"5"]),
        (b'[{"a":1}, {"b":NaN}, {"c":1}]', [b'{"a":1}', b'{"b":NaN}', b'{"c":1}']),
        (b'[{"a":1}, {"b" 2}, {"c":1}]', [b'{"a":1}', b'{"b" 2}', b'{"c":1}']),
        (b'[{"a":"\\ud800, ]}"}, {"c":"\\""}]', [b'{"a":"\\ud800, ]}"}', b'{"c":"\\""}']),
        (b'[{"a":1e400}, {"b":"\xff"}]', [b'{"a":1e400}', b'{"b":"\xff"}']),
        (b'[{"a":1},]', [b'{"a":1}']),
        (b"[" + b"[" * 3000 + b"]" * 3000 + b',{"a":1}]', [b"[" * 3000 + b"]" * 3000, b'{"a":1}']),
    ],
)
def test_an_array_or_a_value_comes_apart_as_it_came(body: bytes, items: list[bytes]) -> None:
    assert split(body) == [Item(item) for item in items]


@pytest.mark.parametrize("told", [True, False])
def test_lines_are_numbered_and_blank_ones_skipped(told: bool) -> None:
    body = b'\xef\xbb\xbf{"a":1}\r\n\n{"b" 2}\n  {"c":3}'
    assert split(body, lines=told) == [Item(b'{"a":1}', 1), Item(b'{"b" 2}', 3), Item(b'{"c":3}', 4)]


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"hello", b"\x00", b'{"a":1', b'["a", "b', b"[{]}", b'["\\', b"hello\nyou"]
)
@pytest.mark.parametrize("lines", [True, False])
def test_what_is_no_json_at_all_is_said_to_be_so(body: bytes, lines: bool) -> None:
    with pytest.raises(NotJson):
        split(body, lines=lines)


@pytest.mark.parametrize("lines", [True, False])
def test_a_thousand_items_and_no_more(lines: bool) -> None:
    join = b"\n".join if lines else lambda parts: b"[" + b",".join(parts) + b"]"
    assert len(split(join([b"1"] * MAX_ITEMS), lines=lines)) == MAX_ITEMS
    with pytest.raises(TooManyItems):
        split(join([b"1"] * (MAX_ITEMS + 1)), lines=lines)


@given(
    st.lists(st.recursive(st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)), min_size=1)
)
def test_a_broken_item_spoils_no_other(values: list[object]) -> None:
    good = [json.dumps(value).encode() for value in values]
    whole = split(b"[" + b",".join([*good, b'{"broken" 1}']) + b"]")
    assert [item.raw for item in whole] == [*good, b'{"broken" 1}']


@given(st.binary() | st.text(alphabet='[]{}",\\:\n1').map(str.encode))
def test_any_body_comes_apart_or_is_no_json(body: bytes) -> None:
    try:
        assert all(item.raw for item in split(body))
    except NotJson:
        pass
