"""The answers about who is on call: now and later, gaps, a calendar for each person, the hand-over. Decides nothing."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.config import ConfigFile
from uptake.messages.fields import Instant
from uptake.problems import Problem
from uptake_alerting import handover, ical, rota
from uptake_alerting.answers.instants import AskedInstant
from uptake_alerting.handover import Passed
from uptake_alerting.roster import Roster
from uptake_alerting.rota import Shift, Stint
from uptake_alerting.routes import Routes
from uptake_alerting.wall import Span
from uptake_alerting.whom import is_of_rotation

At = Annotated[AskedInstant | None, Query(description="an instant; default: now")]
Rotation = Annotated[str | None, Query(description="only this rotation")]
_SEEN_AHEAD = timedelta(days=60)
_PAST_SHOWN = timedelta(days=30)  # of a calendar


class Duty(BaseModel):
    """`channels`: those that reach the person; none of them is a reason to look at `routes.yml`."""

    person: str
    start: Instant
    end: Instant
    source: str
    channels: list[str]


class OnCall(BaseModel):
    """`gap`: it ought to have somebody and has nobody. `next`: who comes after, within 60 days."""

    rotation: str
    title: str
    time_zone: str
    on_call: list[Duty]
    gap: bool
    next: Duty | None


class Gap(BaseModel):
    rotation: str
    time_zone: str
    start: Instant
    end: Instant


class StintLine(BaseModel):
    """`hours` are those on duty; the rest between `start` and `end` nobody has."""

    rotation: str
    time_zone: str
    person: str
    start: Instant
    end: Instant
    hours: float


class Handover(BaseModel):
    """`at`: when the duty changes hands; null: it never has. `alerts` are open and pass from one to the other."""

    rotation: str
    title: str
    time_zone: str
    at: Instant | None
    outgoing: str | None = Field(serialization_alias="from")
    incoming: str | None = Field(serialization_alias="to")
    alerts: list[Passed]


def router(
    engine: AsyncEngine, rosters: ConfigFile[Roster], routes: ConfigFile[Routes], clock: Callable[[], datetime]
) -> APIRouter:
    """`/api/v1/oncall`."""
    found = APIRouter(prefix="/api/v1/oncall")

    @found.get("")
    async def on_call(at: At = None, rotation: Rotation = None) -> list[OnCall]:
        """Who is on call, and who comes next."""
        roster = rosters.current()
        when = at or clock()
        return [_on_call(roster, routes.current(), name, when) for name in _named(roster, rotation)]

    @found.get("/gaps")
    async def gaps(days: Annotated[int, Query(ge=1, le=366)] = 60, rotation: Rotation = None) -> list[Gap]:
        """When a rotation that ought to have somebody has nobody, from now on."""
        roster, now = rosters.current(), clock()
        return [
            Gap(rotation=name, time_zone=roster.rotations[name].time_zone, start=gap.start, end=gap.end)
            for name in _named(roster, rotation)
            for gap in rota.gaps(roster, name, Span(now, now + timedelta(days=days)))
        ]

    @found.get("/preview")
    async def preview(weeks: Annotated[int, Query(ge=1, le=52)] = 8, rotation: Rotation = None) -> list[StintLine]:
        """Who has the duty when, stint by stint."""
        roster, now = rosters.current(), clock()
        around = Span(now, now + timedelta(weeks=weeks))
        return [line for name in _named(roster, rotation) for line in _stints(roster, name, around)]

    @found.get("/calendar", response_class=Response)
    async def calendar(person: str, weeks: Annotated[int, Query(ge=1, le=52)] = 26) -> Response:
        """The duties of one person, for a calendar program to subscribe to."""
        roster, now = rosters.current(), clock()
        if person not in roster.by_name:
            raise Problem(404, "unknown_person", f"roster.yml has nobody called {person!r}")
        around = Span(now - _PAST_SHOWN, now + timedelta(weeks=weeks))
        return Response(ical.calendar(roster, person, around, now), media_type="text/calendar; charset=utf-8")

    @found.get("/handover")
    async def hand_over(at: At = None, rotation: Rotation = None) -> list[Handover]:
        """The newest change of people in each rotation by `at`, with the alerts that are open now and pass over."""
        roster, when = rosters.current(), at or clock()
        changes = {name: rota.handover(roster, name, when) for name in _named(roster, rotation)}
        async with engine.connect() as connection:
            alerts = await handover.passed(connection, [one.person for one, _ in changes.values() if one is not None])
        return [_handover(roster, name, *stints, alerts) for name, stints in changes.items()]

    return found


def _named(roster: Roster, rotation: str | None) -> Iterable[str]:
    if rotation is not None and rotation not in roster.rotations:
        raise Problem(404, "unknown_rotation", f"roster.yml has no rotation {rotation!r}")
    return roster.rotations if rotation is None else [rotation]


def _on_call(roster: Roster, routes: Routes, name: str, at: datetime) -> OnCall:
    plan, soon = roster.rotations[name], Span(at, at + _SEEN_AHEAD)
    shifts = rota.shifts(roster, name, soon)
    there = [shift for shift in shifts if shift.start <= at]
    people = {shift.person for shift in there}
    coming = next((shift for shift in shifts if shift.start > at and shift.person not in people), None)
    return OnCall(
        rotation=name,
        title=plan.title or name,
        time_zone=plan.time_zone,
        on_call=[_duty(roster, routes, shift) for shift in there],
        gap=any(gap.holds(at) for gap in rota.gaps(roster, name, soon)),
        next=_duty(roster, routes, coming) if coming else None,
    )


def _duty(roster: Roster, routes: Routes, shift: Shift) -> Duty:
    person = roster.by_name[shift.person]
    reach = [name for name in routes.serving(shift.person) if routes.channels[name].destination(person) is not None]
    return Duty(person=shift.person, start=shift.start, end=shift.end, source=shift.source, channels=reach)


def _stints(roster: Roster, name: str, around: Span) -> list[StintLine]:
    zone = roster.rotations[name].time_zone
    return [
        StintLine(
            rotation=name,
            time_zone=zone,
            person=stint.person,
            start=stint.start,
            end=stint.end,
            hours=stint.on_duty / timedelta(hours=1),
        )
        for stint in rota.stints(rota.shifts(roster, name, around))
    ]


def _handover(
    roster: Roster, name: str, outgoing: Stint | None, incoming: Stint | None, alerts: Iterable[Passed]
) -> Handover:
    plan = roster.rotations[name]
    title = plan.title or name
    theirs = [one for one in alerts if outgoing and one.told == outgoing.person and is_of_rotation(one.why, title)]
    return Handover(
        rotation=name,
        title=title,
        time_zone=plan.time_zone,
        at=incoming.start if incoming else None,
        outgoing=outgoing.person if outgoing else None,
        incoming=incoming.person if incoming else None,
        alerts=list({one.id: one for one in theirs}.values()),
    )
