"""Alerts about alerting itself, for those who operate it: one that reached nobody, a storm of one rule, no numbers.

They open and end here, in the transaction that found it; everything else about them is as with any alert.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake_alerting import outbox, wording
from uptake_alerting.cases import Case, Contacts
from uptake_alerting.dispatch_store import Looked
from uptake_alerting.episodes import episode_id
from uptake_alerting.outbox import NewEvent
from uptake_alerting.rules import META_RULES
from uptake_alerting.tables import cursor, episode, sample
from uptake_alerting.threads import tried

UNDELIVERED, MASS_BREACH, PIPELINE_DOWN = "alert-undelivered", "mass-breach", "pipeline-down"
READER = "kpi"  # whose position in the stream says when numbers last came
SILENT = timedelta(hours=30)  # some account's day closes every day: a day's wait, and time to be late


async def open_meta(
    connection: AsyncConnection, rule: str, subject: str, values: Mapping[str, Any], now: datetime
) -> str:
    """The id of the alert; one that is open already stays as it is."""
    mine = (episode.c.rule == rule, episode.c.subject == subject)
    number = 1 + (await connection.scalar(select(func.max(episode.c.number)).where(*mine)) or 0)
    data = _data(rule, subject, number, values, now)
    row = {
        "id": data.episode,
        "rule": rule,
        "subject": subject,
        "number": number,
        "state": "firing",
        "reason": "firing",
        "since": now.date(),
        "fired_at": now,
        "detected_at": now,
        "severity": data.severity,
        "data": data.model_dump(mode="json"),
        "look_at": now,
    }
    made = await connection.execute(upsert(episode).values(row).on_conflict_do_nothing())
    if made.rowcount:
        await outbox.add_events(connection, [NewEvent("firing", data)])
        return data.episode
    known: str = (
        await connection.execute(select(episode.c.id).where(*mine, episode.c.ended_at.is_(None)))
    ).scalar_one()
    return known


async def close_meta(connection: AsyncConnection, rule: str, subject: str, reason: str, now: datetime) -> None:
    """It is over, if it was open."""
    mine = (episode.c.rule == rule, episode.c.subject == subject, episode.c.ended_at.is_(None))
    found = (await connection.execute(select(episode.c.id, episode.c.data).where(*mine).with_for_update())).first()
    if found is None:
        return
    before = AlertData.model_validate(found.data)
    said = wording.summary(rule, subject, before.values, "resolved", reason)
    moved = {"state": "resolved", "reason": reason, "detected_at": now, "summary": said}
    data = before.model_copy(update=moved)
    values = {"state": "resolved", "reason": reason, "ended_at": now, "look_at": now}
    ended = update(episode).where(episode.c.id == found.id)
    await connection.execute(ended.values(values | {"data": data.model_dump(mode="json")}))
    await outbox.add_events(connection, [NewEvent("resolved", data)])


async def watch_pipeline(connection: AsyncConnection, now: datetime) -> None:
    """One alert while no number has come for longer than any day lasts; without accounts none is waited for."""
    last = await connection.scalar(select(cursor.c.stored_at).where(cursor.c.name == READER))
    is_down = last is not None and now - last > SILENT and await connection.scalar(select(exists(sample)))
    if is_down and last is not None:
        await open_meta(connection, PIPELINE_DOWN, READER, {"last": last.isoformat()}, now)
    else:
        await close_meta(connection, PIPELINE_DOWN, READER, "numbers_came", now)


async def tell_undelivered(
    connection: AsyncConnection,
    looked: Sequence[Looked],
    unheard: Mapping[str, Case],
    contacts: Contacts,
    now: datetime,
) -> None:
    """One alert for each that nobody can be told of, through a channel that has not failed; over once somebody is.

    Never about itself: what cannot be told to operators either is counted, logged and tried again.
    """
    known = await _open_about(connection, [one.id for one in looked])
    for one in sorted(looked, key=lambda found: found.id):
        if one.id in unheard and one.id not in known and one.rule != UNDELIVERED:
            await _open(connection, one, unheard[one.id], contacts, now)
        elif one.id in known and one.id not in unheard:
            reason = "delivered" if one.row.ended_at is None else "ended"
            await close_meta(connection, UNDELIVERED, one.id, reason, now)


async def _open(connection: AsyncConnection, one: Looked, case: Case, contacts: Contacts, now: datetime) -> None:
    dead = case.avoid | tried(case.told, now)
    operators = replace(case.about, rule=UNDELIVERED, to=("operators",), assignee=None)
    failed = {channel for channel, _ in dead}
    spare = [to for to in contacts.choose(operators, 0, dead).recipients if to.channel not in failed]
    if spare:
        values = {"rule": one.rule, "subject": one.data.subject, "avoid": sorted(list(pair) for pair in dead)}
        await open_meta(connection, UNDELIVERED, one.id, values, now)


async def _open_about(connection: AsyncConnection, episodes: Sequence[str]) -> set[str]:
    mine = select(episode.c.subject).where(episode.c.rule == UNDELIVERED, episode.c.subject.in_(episodes))
    return set(await connection.scalars(mine.where(episode.c.ended_at.is_(None))))


def _data(name: str, subject: str, number: int, values: Mapping[str, Any], now: datetime) -> AlertData:
    rule = META_RULES[name]
    kind: Literal["rule", "episode"] = "episode" if name == UNDELIVERED else "rule"
    return AlertData(
        episode=episode_id(name, subject, number),
        number=number,
        rule=name,
        subject_kind=kind,
        subject=subject,
        account=None,
        region=None,
        severity=rule.severity,
        state="firing",
        reason="firing",
        since=now.date(),
        fired_at=now,
        detected_at=now,
        owner=None,
        summary=wording.summary(name, subject, values, "firing", "firing"),
        next_step=wording.NEXT_STEPS[name],
        values=dict(values),
    )
