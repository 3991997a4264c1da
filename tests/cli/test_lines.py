"""Reading events from files: what is taken as it is, what is completed, and how much fits one request."""

import gzip
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_cli.lines import MAX_BYTES, MAX_EVENTS, Line, line, lines, opened, requests, survey
from uptake_cli.problems import Refused


def read(content: bytes) -> list[Line]:
    return list(lines(opened(io.BytesIO(content))))


@pytest.mark.parametrize(
    ("given", "sent", "problem"),
    [
        (b'{"type":"usage","id":"1"}', b'{"type":"usage","id":"1"}', None),
        (b'{"id":"1","user":"u","feature":"f"}', b'{"type":"usage","id":"1","user":"u","feature":"f"}', None),
        (b'{ "user":"u","feature":"f"}', b'{"type":"usage","user":"u","feature":"f"}', None),
        (b'{"type":null,"user":"u","feature":"f"}', b'{"type":null,"user":"u","feature":"f"}', None),
        (b'{"id":"1","user":"u"}', b'{"id":"1","user":"u"}', None),
        (b"[1]", b"[1]", None),
        (b'{"n": 1e999999}', b'{"n": 1e999999}', "not_json"),
        (b"hello", b"hello", "not_json"),
        (b"\xff\xfe", b"\xff\xfe", "not_json"),
        (b"[" * 100_000, b"[" * 100_000, "not_json"),
        (b"{" + b" " * MAX_BYTES + b"}", b"", "too_large"),
    ],
)
def test_one_line(given: bytes, sent: bytes, problem: str | None) -> None:
    assert line(7, given) == Line(7, sent, problem)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "numbers"),
    [
        (b'{"type":"a"}\n\n  \r\n{"type":"b"}', [1, 4]),
        (b'\xef\xbb\xbf{"type":"a"}\r\n{"type":"b"}\r\n', [1, 2]),
        (b' [{"type":"a"},\n {"type":"b"}]', [1, 2]),
        (b"", []),
        (b"[]", []),
    ],
)
def test_all_forms_of_a_file(pack: Any, content: bytes, numbers: list[int]) -> None:
    found = read(pack(content))
    assert [line.number for line in found] == numbers
    assert [json.loads(line.body)["type"] for line in found] == ["a", "b"][: len(found)]


def test_a_broken_line_spoils_no_other() -> None:
    assert [found.problem for found in read(b'{"type":"a"}\nnope\n{"type":"b"}')] == [None, "not_json", None]


@pytest.mark.parametrize("content", [b"[1, 2", gzip.compress(b'{"type":"a"}\n' * 1000, mtime=0)[:-9]])
def test_half_a_file_is_refused_and_says_so(content: bytes) -> None:
    with pytest.raises(Refused, match="not"):
        read(content)


@given(st.lists(st.integers(1, MAX_BYTES), max_size=30))
def test_requests_keep_order_and_both_limits(sizes: list[int]) -> None:
    made = [Line(number, b"x" * (size - 1)) for number, size in enumerate(sizes)]
    groups = list(requests(made))
    assert [line for group in groups for line in group] == made
    assert all(sum(len(line.body) + 1 for line in group) <= MAX_BYTES for group in groups)


def test_a_request_has_at_most_a_thousand_events() -> None:
    assert [len(group) for group in requests(Line(n, b"{}") for n in range(2001))] == [MAX_EVENTS, MAX_EVENTS, 1]


def test_the_name_of_a_content_does_not_depend_on_its_packing() -> None:
    content = b'{"type":"a"}\n{"type":"b"}\n'
    plain, packed = (survey(opened(io.BytesIO(form))) for form in (content, gzip.compress(content)))
    assert plain == packed
    assert plain[1] == 2
    assert plain != survey(opened(io.BytesIO(content + b"\n")))
