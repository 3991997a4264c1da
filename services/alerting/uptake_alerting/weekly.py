"""The weekly digest: on the first working morning of a week, whoever owns accounts or runs trials hears of them.

Any replica may make it: a row for each person and week is written with the notice, so that there is one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import Text, cast, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.loops import forever
from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountDay, TrialSnapshot
from uptake_alerting import server_clock, wall, wording
from uptake_alerting.contacts import Book
from uptake_alerting.dispatch import InForce
from uptake_alerting.judging import has_churned
from uptake_alerting.outbox import delivery_id
from uptake_alerting.people import Person
from uptake_alerting.planning import MACHINES
from uptake_alerting.tables import delivery, episode, trial, weekly

EVERY_S = 60.0
LATE = timedelta(hours=36)  # whoever could not be told by then waits for the next Monday
WEEK = timedelta(days=7)
_OF_NEWEST = """
    FROM alerting.instance AS own
    JOIN alerting.sample AS newest ON newest.account = own.subject AND newest.day = CAST(own.state->>'day' AS date)
    WHERE own.rule = '*'"""
_NEWEST = text(f"SELECT CAST(newest.snapshot AS text) {_OF_NEWEST} ORDER BY account")
_OWNERS = text(f"SELECT DISTINCT newest.snapshot->>'owner' {_OF_NEWEST}")
_WHY = "this is your week, and this channel serves you"


@dataclass(slots=True)
class Week:
    """What one person hears. `alerts`: those that were open in the week, as they are now."""

    accounts: list[AccountDay] = field(default_factory=list)
    trials: list[TrialSnapshot] = field(default_factory=list)
    alerts: list[AlertData] = field(default_factory=list)


async def run(engine: AsyncEngine, in_force: Callable[[], InForce]) -> None:
    """Until cancelled."""

    async def step() -> float:
        await make(engine, in_force(), await server_clock.ask(engine))
        return EVERY_S

    await forever("weekly digests", step)


async def make(engine: AsyncEngine, in_force: InForce, now: datetime) -> int:
    """How many were written down; each in a transaction of its own."""
    async with engine.connect() as connection:
        due = await _due(connection, in_force, now)
        weeks = await _weeks(connection, due, now) if due else {}
    made = 0
    for person, monday in due.items():
        async with engine.begin() as connection:
            made += await _write(connection, person, monday, weeks.get(person, Week()), in_force, now)
    return made


async def _due(connection: AsyncConnection, in_force: InForce, now: datetime) -> dict[str, date]:
    """Whose morning has come and who has not got that week; with its Monday."""
    mondays = {name: _monday(name, in_force, now) for name in await _people(connection)}
    wanted = {name: monday for name, monday in mondays.items() if monday is not None}
    rows = await connection.execute(select(weekly).where(weekly.c.week.in_(set(wanted.values()))))
    known = {(row.person, row.week) for row in rows} if wanted else set()
    return {name: monday for name, monday in wanted.items() if (name, monday) not in known}


async def _people(connection: AsyncConnection) -> list[str]:
    """Who owns an account, or runs a trial."""
    owners = await connection.scalars(_OWNERS)
    engineers = await connection.scalars(select(trial.c.snapshot["trial"]["engineer"].astext).distinct())
    return sorted({name for name in (*owners, *engineers) if name})


def _monday(name: str, in_force: InForce, now: datetime) -> date | None:
    """Of the week whose first morning at work has come, and not long ago, where the person is."""
    person = in_force.roster.by_name.get(name)
    if person is not None and not person.active:
        return None
    zone = in_force.roster.zone_of(person) if person is not None else "UTC"
    today = wall.local(now, zone).date()
    monday = today - timedelta(days=today.weekday())
    before = wall.start_of(monday, zone) - timedelta(seconds=1)
    morning = Book(in_force.roster, in_force.routes, before, in_force.digest_time).digest_at(name)
    return monday if morning <= now < morning + LATE else None


async def _weeks(connection: AsyncConnection, due: Mapping[str, date], now: datetime) -> dict[str, Week]:
    found: dict[str, Week] = defaultdict(Week)
    for stored in await connection.scalars(_NEWEST):
        snapshot = AccountDay.model_validate_json(stored)
        if snapshot.owner in due and not has_churned(snapshot.churned_at, snapshot):
            found[str(snapshot.owner)].accounts.append(snapshot)
    for stored in await connection.scalars(select(cast(trial.c.snapshot, Text)).order_by(trial.c.opportunity)):
        running = TrialSnapshot.model_validate_json(stored)
        if running.trial.engineer in due and running.trial.state == "running":
            found[str(running.trial.engineer)].trials.append(running)
    lately = episode.c.ended_at.is_(None) | (episode.c.ended_at > now - WEEK)
    mine = select(episode.c.data).where(lately, episode.c.data["owner"].astext.in_(due))
    for data in await connection.scalars(mine.order_by(episode.c.fired_at, episode.c.id)):
        alert = AlertData.model_validate(data)
        found[str(alert.owner)].alerts.append(alert)
    return found


async def _write(
    connection: AsyncConnection, person: str, monday: date, week: Week, in_force: InForce, now: datetime
) -> int:
    """How many notices. Somebody with nothing to hear, or whom no channel serves, is not looked at again."""
    first = upsert(weekly).values(person=person, week=monday).on_conflict_do_nothing()
    if not (await connection.execute(first)).rowcount:
        return 0
    notice = wording.weekly(person, monday, week.accounts, week.trials, week.alerts, now)
    rows = list(_rows(person, monday, notice, in_force, now)) if notice is not None else []
    if rows:
        await connection.execute(upsert(delivery).values(rows).on_conflict_do_nothing())
    return len(rows)


def _rows(
    person: str, monday: date, notice: wording.Notice, in_force: InForce, now: datetime
) -> Iterable[dict[str, object]]:
    routes, known = in_force.routes, in_force.roster.by_name.get(person) or Person(name=person)
    for name in routes.serving(person):
        channel = routes.channels[name]
        destination = channel.destination(known)
        if destination is None or channel.type in MACHINES:
            continue
        yield {
            "id": delivery_id(f"week of {monday} for {person}", "digest", name, destination),
            "kind": "digest",
            "sequence": 0,
            "person": person,
            "channel": name,
            "channel_type": channel.type,
            "destination": destination,
            "why": _WHY,
            "status": "pending",
            "content": {"headline": notice.headline, "lines": list(notice.lines)},
            "created_at": now,
            "due_at": now,
        }
