"""A list as JSON or as CSV (RFC 4180): the one writer of every list that is answered. Computes no number.

Tens of thousands of rows must not hold up counting: they are written in small turns of the event loop.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, Any, Literal, get_args, get_origin

from fastapi import Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

Format = Annotated[Literal["json", "csv"], Query(description="csv: a row for each, nested fields as `a.b`")]

Path = tuple[str, ...]  # the names that lead to a value

_AT_A_TIME = 100  # rows between two turns of the event loop: about 5 ms
_STARTS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # the last four are full-width: some spreadsheets take them as well
_WANTS_QUOTES = frozenset(',;"\t\r\n')  # where the list separator is `;`, half of a text must not begin a new cell


def table(
    rows: Iterable[BaseModel], format: Literal["json", "csv"], columns: type[BaseModel] | None = None
) -> Response:
    """`rows` in their order. `columns`: the class whose fields are the columns; by default that of the first row."""
    if format == "json":
        return StreamingResponse(_in_turns(_json(rows)), media_type="application/json")
    return StreamingResponse(_in_turns(_csv(rows, columns)), media_type="text/csv; charset=utf-8; header=present")


def columns_of(model: type[BaseModel]) -> list[Path]:
    """The columns of a class, in the order of its fields; a class within a class adds columns of its own."""
    return [path for name, field in model.model_fields.items() for path in _columns(name, field.annotation)]


def cell(value: Any) -> str:
    """One value of a JSON answer. What a spreadsheet would take for a formula is made a text by a leading `'`."""
    match value:
        case None:
            return ""
        case bool() | int() | float():
            return json.dumps(value)
        case list() | dict() if not value:
            return ""
        case list() if all(isinstance(one, str) for one in value):
            text = "; ".join(value)
        case list() | dict():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    if text.startswith(_STARTS_A_FORMULA):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _WANTS_QUOTES.intersection(text) else text


def _columns(name: str, annotation: Any) -> list[Path]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [(name, *path) for path in columns_of(annotation)]
    arguments = get_args(annotation)
    if get_origin(annotation) is dict and get_origin(arguments[0]) is Literal:
        return [(name, key) for key in get_args(arguments[0])]
    nested = [one for one in arguments if isinstance(one, type) and issubclass(one, BaseModel)]
    if nested and get_origin(annotation) is not list:  # one class or another, or none
        return list(dict.fromkeys(path for one in nested for path in _columns(name, one)))
    return [(name,)]


def _json(rows: Iterable[BaseModel]) -> Iterator[str]:
    yield "["
    for number, row in enumerate(rows):
        yield ("," if number else "") + row.model_dump_json()
    yield "]"


def _csv(rows: Iterable[BaseModel], columns: type[BaseModel] | None) -> Iterator[str]:
    remaining = iter(rows)
    if columns is None:
        first = next(remaining, None)
        if first is None:
            return
        columns, remaining = type(first), chain([first], remaining)
    paths = columns_of(columns)
    yield _line([".".join(path) for path in paths])
    for row in remaining:
        values = row.model_dump(mode="json")
        yield _line([cell(_at(values, path)) for path in paths])


def _at(values: Any, path: Path) -> Any:
    for name in path:
        values = values.get(name) if values is not None else None
    return values


def _line(cells: Sequence[str]) -> str:
    return ",".join(cells) + "\r\n"


async def _in_turns(lines: Iterator[str]) -> AsyncIterator[bytes]:
    while part := "".join(islice(lines, _AT_A_TIME)):
        yield part.encode()
        await asyncio.sleep(0)
