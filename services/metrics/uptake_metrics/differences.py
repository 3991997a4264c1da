"""Which fields of two answers differ: the plain truth about a change, where no cause is known. It knows no domain."""

from collections.abc import Iterator
from typing import Any

from uptake.messages.fields import Message


class Difference(Message):
    """One field, by its path (`adoption.den`), and its JSON value before and after."""

    field: str
    before: Any
    after: Any


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Difference]:
    """In the order of the fields; of a nested object each field is one of its own."""
    was, now = dict(_flat("", before)), dict(_flat("", after))
    return [
        Difference(field=field, before=was.get(field), after=now.get(field))
        for field in {**was, **now}
        if was.get(field) != now.get(field)
    ]


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for name, inner in value.items():
        yield from _flat(f"{path}.{name}" if path else name, inner)
