"""Lists as JSON and CSV: every value as it is, nothing that a spreadsheet would execute."""

import asyncio
import csv
import io
import json
from datetime import date
from typing import Literal

import pytest
from pydantic import BaseModel

from uptake.lists import cell, columns_of, table


class Ratio(BaseModel):
    value: float | None
    met: bool | None = None


class Row(BaseModel):
    name: str
    day: date | None
    ratio: Ratio
    maybe: Ratio | None
    counts: dict[Literal["on", "off"], int]
    flags: list[str]
    parts: list[Ratio]


FULL = Row(
    name="Söhne, a;b",
    day=date(2026, 2, 28),
    ratio=Ratio(value=-0.25, met=True),
    maybe=Ratio(value=0.5),
    counts={"on": 1, "off": 0},
    flags=["paused", "reclassified"],
    parts=[Ratio(value=1)],
)
EMPTY = Row(name="", day=None, ratio=Ratio(value=None), maybe=None, counts={}, flags=[], parts=[])
HEADER = [
    *("name", "day", "ratio.value", "ratio.met", "maybe.value", "maybe.met", "counts.on", "counts.off"),
    *("flags", "parts"),
]


async def read(response):
    return b"".join([part async for part in response.body_iterator]).decode()


async def rows_of(response):
    return list(csv.reader(io.StringIO(await read(response), newline="")))


async def test_json_is_the_list_itself():
    answer = table([FULL, EMPTY], "json")
    assert answer.media_type == "application/json"
    assert json.loads(await read(answer)) == [row.model_dump(mode="json") for row in (FULL, EMPTY)]
    assert await read(table([], "json")) == "[]"


async def test_csv_has_a_column_for_every_value():
    answer = table([FULL, EMPTY], "csv")
    assert answer.media_type.startswith("text/csv")
    assert await rows_of(answer) == [
        HEADER,
        [
            *("Söhne, a;b", "2026-02-28", "-0.25", "true", "0.5", "", "1", "0"),
            *("paused; reclassified", '[{"value": 1.0, "met": null}]'),
        ],
        [""] * len(HEADER),
    ]


async def test_a_list_without_rows_still_has_its_header():
    assert await rows_of(table([], "csv", columns=Row)) == [HEADER]
    assert await read(table([], "csv")) == ""


async def test_a_line_of_csv_ends_as_the_standard_says():
    assert (await read(table([Ratio(value=1)], "csv"))) == "value,met\r\n1.0,\r\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
async def test_no_text_is_executed(start):
    (_, (shown, *_)) = await rows_of(table([FULL.model_copy(update={"name": f"{start}1+1"})], "csv"))
    assert shown == f"'{start}1+1"
    (_, row) = await rows_of(table([FULL.model_copy(update={"flags": [f"{start}x"]})], "csv"))
    assert row[HEADER.index("flags")] == f"'{start}x"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (-5, "-5"),
        (-0.5, "-0.5"),
        (True, "true"),
        ("a=b", "a=b"),
        ("-5", "'-5"),
        ("a;=1", '"a;=1"'),  # read with `;` between cells, the half of it would be a formula
        ('say "x"', '"say ""x"""'),
        ('=a"b', '"\'=a""b"'),
        ("a\nb", '"a\nb"'),
    ],
)
def test_a_number_stays_a_number_and_a_text_one_cell(value, written):
    assert cell(value) == written


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_no_separator_breaks_a_text_out_of_its_cell(delimiter):
    for text in ("a;=1", "a,=1", 'a";=1', "a\r\n=1"):
        assert next(csv.reader(io.StringIO(cell(text), newline=""), delimiter=delimiter)) == [text]


def test_a_field_of_one_class_or_another_has_the_columns_of_both():
    class Other(BaseModel):
        value: float
        reason: str

    class Either(BaseModel):
        kpi: Ratio | Other | None

    assert columns_of(Either) == [("kpi", "value"), ("kpi", "met"), ("kpi", "reason")]


async def test_a_long_list_lets_others_have_their_turn():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    await read(table([Ratio(value=1)] * 1_000, "json"))
    other.cancel()
    assert turns >= 10
