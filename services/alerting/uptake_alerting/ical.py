"""The duties of one person as a calendar (RFC 5545) that any program can subscribe to. Pure.

Instants are in UTC, so no calendar program has to know our zones; an id stays the same as long as its shift does.
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256

from icalendar import Calendar, Event

from uptake_alerting.roster import Roster
from uptake_alerting.rota import Shift, shifts
from uptake_alerting.wall import Span

PRODUCT = "-//Uptake//on call//EN"


def calendar(roster: Roster, person: str, around: Span, now: datetime) -> bytes:
    """Every shift of somebody that touches `around`, over all rotations."""
    events = [
        _event(shift, rotation, plan.title or rotation, now)
        for rotation, plan in roster.rotations.items()
        for shift in shifts(roster, rotation, around)
        if shift.person == person
    ]
    return _written(person, events)


def _event(shift: Shift, rotation: str, title: str, now: datetime) -> Event:
    identity = f"{rotation}\0{shift.person}\0{shift.start.isoformat()}"
    return Event.new(
        uid=f"{sha256(identity.encode()).hexdigest()[:32]}@uptake",
        stamp=now,
        start=shift.start,
        end=shift.end,
        summary=f"On call: {title}",
        description=f"{shift.person}, {shift.source} of {rotation}",
    )


def _written(person: str, events: Iterable[Event]) -> bytes:
    made = Calendar.new(prodid=PRODUCT, name=f"On call: {person}", method="PUBLISH")
    for event in events:
        made.add_component(event)
    written: bytes = made.to_ical()
    return written
