"""Who is on call when, by the rotations of the roster: overrides first, then layer after layer. Pure: asks no clock.

A rotation is promised during the hours of its layers. Where it is promised and has nobody who is there, is a gap.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby

from uptake_alerting import wall
from uptake_alerting.people import WEEKDAYS, Holidays, Hours
from uptake_alerting.roster import Layer, Roster, Rotation
from uptake_alerting.wall import DAY, Span
from uptake_alerting.working_time import absences

_INSTANT = timedelta(microseconds=1)
_FAR = timedelta(days=60)  # farther no change of people is looked for
_WEEK = timedelta(days=7, hours=3)  # the longest turn, with an hour that comes twice
_PERIOD_DAYS = {"day": 1, "week": 7}


@dataclass(frozen=True, slots=True)
class Shift:
    """Somebody has the duty without a break. `source`: override, layer 1, ..."""

    person: str
    start: datetime
    end: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Stint:
    """Shifts of one person with nobody else's in between, from the first to the last; `on_duty` is their sum."""

    person: str
    start: datetime
    end: datetime
    on_duty: timedelta


def on_call(roster: Roster, rotation: str, at: datetime) -> tuple[str, ...]:
    """More than one while two turns overlap in a repeated hour."""
    shifts = schedule(roster, rotation, Span(at, at + _INSTANT))
    return tuple(dict.fromkeys(shift.person for shift in shifts))


def schedule(roster: Roster, rotation: str, around: Span) -> list[Shift]:
    """The shifts that touch `around`, in order, cut off at its ends. People on leave or no longer active have none."""
    plan, taken, found = roster.rotations[rotation], list[Span](), list[Shift]()
    for shifts in (_overrides(plan, around), *(_shifts(roster, plan, i, around) for i in range(len(plan.layers)))):
        there = [piece for shift in shifts for piece in _while_there(roster, shift)]
        found += [piece for shift in there for piece in _cut(shift, taken)]
        taken += [Span(shift.start, shift.end) for shift in there]  # only now: turns of one layer may overlap
    return sorted(found, key=lambda shift: (shift.start, shift.end, shift.person))


def shifts(roster: Roster, rotation: str, around: Span) -> list[Shift]:
    """Those that touch `around`, in full."""
    plan = roster.rotations[rotation]
    overrides = (wall.span(*wall.stated(one.start, one.end), plan.time_zone) for one in plan.overrides)
    longest = max((span.end - span.start for span in overrides), default=_WEEK)
    wide = Span(around.start - max(longest, _WEEK), around.end + max(longest, _WEEK))
    found = schedule(roster, rotation, wide)
    return [shift for shift in found if shift.start < around.end and shift.end > around.start]


def handover(roster: Roster, rotation: str, at: datetime) -> tuple[Stint | None, Stint | None]:
    """From whose stint to whose: the newest change of people by `at`. No incoming one: nobody is foreseen yet."""
    known = stints(shifts(roster, rotation, Span(at - _FAR, at + _FAR)))
    begun = [number for number, stint in enumerate(known) if stint.start <= at]
    if not begun:
        return None, known[0] if known else None
    newest = begun[-1]
    return known[newest - 1] if newest else None, known[newest]


def stints(shifts: Iterable[Shift]) -> list[Stint]:
    """Of shifts in order."""

    def whose(shift: Shift) -> str:
        return shift.person

    groups = ((person, list(group)) for person, group in groupby(shifts, key=whose))
    return [
        Stint(person, group[0].start, group[-1].end, sum((one.end - one.start for one in group), timedelta()))
        for person, group in groups
    ]


def gaps(roster: Roster, rotation: str, around: Span) -> list[Span]:
    """Where the rotation is promised and nobody has the duty; in order, and none touches another."""
    plan = roster.rotations[rotation]
    promised = [span for layer in plan.layers for span in _promise(roster, plan, layer, around)]
    covered = [Span(shift.start, shift.end) for shift in schedule(roster, rotation, around)]
    return [piece for span in _union(promised) for piece in _minus(span, covered)]


def gap_days(roster: Roster, rotation: str, around: Span) -> list[date]:
    """The days of the rotation's own zone that have a gap."""
    zone = roster.rotations[rotation].time_zone
    days = set()
    for gap in gaps(roster, rotation, around):
        day, last = wall.local(gap.start, zone).date(), wall.local(gap.end - _INSTANT, zone).date()
        days |= {day + DAY * n for n in range((last - day).days + 1)}
    return sorted(days)


def _overrides(plan: Rotation, around: Span) -> Iterator[Shift]:
    for one in plan.overrides:
        span = wall.span(*wall.stated(one.start, one.end), plan.time_zone)
        if (piece := _common(span, around)) is not None:
            yield Shift(one.person, *piece, "override")


def _shifts(roster: Roster, plan: Rotation, number: int, around: Span) -> Iterator[Shift]:
    layer, source = plan.layers[number], f"layer {number + 1}"
    for turn, person in _turns(layer, plan.time_zone, around):
        if (held := _common(turn, around)) is None:
            continue
        for hours in _promise(roster, plan, layer, held):
            yield Shift(person, *hours, source)


def _turns(layer: Layer, zone: str, around: Span) -> Iterator[tuple[Span, str]]:
    """Days are counted on the calendar, never hours: a week with a change of the clock has 167 or 169 of them."""
    period = _PERIOD_DAYS[layer.every]
    newest = (wall.local(around.end, zone).date() - layer.start).days // period
    oldest = (wall.local(around.start, zone).date() - layer.start).days // period - 1
    for number in range(max(0, oldest), newest + 1):
        start = datetime.combine(layer.start + DAY * (number * period), layer.handover)
        yield wall.span(start, start + DAY * period, zone), layer.people[number % len(layer.people)]


def _promise(roster: Roster, plan: Rotation, layer: Layer, around: Span) -> list[Span]:
    """The hours of a layer."""
    if layer.only is None:
        return [around]
    return list(_hours(layer.only, roster.calendar(plan.holidays), plan.time_zone, around))


def _hours(only: Hours, holidays: Holidays, zone: str, around: Span) -> Iterator[Span]:
    for day in wall.days_of(around, zone):
        if WEEKDAYS[day.weekday()] in only.days and day not in holidays:
            piece = _common(wall.hours_of(day, only.start, only.end, zone), around)
            if piece is not None:
                yield piece


def _while_there(roster: Roster, shift: Shift) -> list[Shift]:
    person = roster.by_name[shift.person]
    return _cut(shift, absences(roster, person)) if person.active else []


def _cut(shift: Shift, taken: Iterable[Span]) -> list[Shift]:
    pieces = _minus(Span(shift.start, shift.end), taken)
    return [Shift(shift.person, *piece, shift.source) for piece in pieces]


def _common(one: Span, other: Span) -> Span | None:
    start, end = max(one.start, other.start), min(one.end, other.end)
    return Span(start, end) if start < end else None


def _minus(span: Span, taken: Iterable[Span]) -> list[Span]:
    pieces = [span]
    for gone in taken:
        parts = [(Span(p.start, min(p.end, gone.start)), Span(max(p.start, gone.end), p.end)) for p in pieces]
        pieces = [part for pair in parts for part in pair if part.start < part.end]
    return pieces


def _union(spans: Iterable[Span]) -> list[Span]:
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found
