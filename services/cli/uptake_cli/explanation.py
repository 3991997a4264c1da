"""`uptake kpis --explain`: every number of a day with its formula, its inputs and its window, in indented sentences."""

from collections.abc import Iterator
from typing import Any

from uptake_cli import screen


def lines(said: dict[str, Any]) -> Iterator[str]:
    """The answer of `explain`, a line each."""
    closes = "still open, closes" if said["partial"] else "closed"
    yield f"{said['account']} on {said['as_of']} ({said['time_zone']}; {closes} {said['closes_at']})"
    yield f"revision {said['revision']}" if said["revision"] else "never published"
    for number in said["numbers"]:
        yield ""
        yield from _number(number)
    yield ""
    yield "licences"
    yield from (f"    {_license(one)}" for one in said["licenses"])
    yield ""
    yield "attributes"
    for name, value in said["attributes"].items():
        yield f"    {name} is {_value(value)}, {_by(said['said_by'][name])}"


def _number(number: dict[str, Any]) -> Iterator[str]:
    exact = f" = {number['exact']}" if number["exact"] else ""
    yield f"{number['name']}: {_value(number['value'])}{exact}"
    if number["reason"]:
        yield f"    not known: {number['reason']}; known if {number['known_if']}"
    yield f"    {number['formula']}"
    if window := number["window"]:
        days = f"{window['first_day']} to {window['last_day']}"
        yield f"    over {days} ({window['days']} days), {window['begins_at']} until {window['ends_at']}"
    for name, value in number["inputs"].items():
        yield f"    {name.replace('_', ' ')}: {_value(value)}"


def _license(one: dict[str, Any]) -> str:
    counts = "in force" if one["in_force"] else "revoked" if one["revoked"] else "not in force"
    until = f" until {one['expires_at']}" if one["expires_at"] else ""
    seats = f"{_value(one['seats'])} seats in {one['environment']}"
    return f"{one['license']}: {seats}, {counts}, from {one['starts_at']}{until}, {_by(one['fact'])}"


def _by(fact: dict[str, Any] | None) -> str:
    return f"said by {fact['id']} of {fact['source']} at {fact['occurred_at']}" if fact else "which nobody ever said"


def _value(value: Any) -> str:
    match value:
        case None:
            return screen.UNKNOWN
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_value, value)) or "none"
        case {"day": day, "dau": dau, "newcomers": newcomers}:
            return f"{day} {dau} (+{newcomers})"
        case {"day": day, "target": target}:
            return f"{target} from day {day}"
        case dict():
            return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items()) or "none"
    return str(value)
