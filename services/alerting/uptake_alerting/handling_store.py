"""What people did about an alert, as rows: one transaction under the locks that evaluation takes. Decides nothing."""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake.problems import Problem
from uptake_alerting import handling, outbox
from uptake_alerting.handling import CLOSED_BY_HAND, NO_ACK, WORSENED, Action, Done, Refused, Standing
from uptake_alerting.outbox import NewEvent
from uptake_alerting.store import SUBJECT
from uptake_alerting.tables import alert_event, episode, instance

_STATUS = {"invalid_request": 400, "alert_ended": 409, "ends_by_itself": 409}
_COLUMNS = ("acked_by", "acked_at", "ack_until", "snoozed_until", "assignee")


async def handle(connection: AsyncConnection, episode_id: str, action: Action, clock: Callable[[], datetime]) -> Done:
    """Do it, or raise Problem. Committed by whoever calls; two at once take turns, and the second sees the first, also
    by the clock."""
    row = await _lock(connection, episode_id, ends=action.verb == "close")
    now = clock()
    if row is None:
        raise Problem(404, "unknown_alert", f"no alert {episode_id!r} is on record; `uptake alerts` lists them")
    standing = _standing(row)
    if action.verb == "note":
        standing = replace(standing, noted=await _is_noted(connection, episode_id, action))
    decided = handling.decide(standing, action, now)
    if isinstance(decided, Refused):
        raise Problem(_STATUS[decided.error], decided.error, decided.detail)
    if decided.kind is not None:
        await _record(connection, row, action, decided, now)
    return decided


async def drop_acks(connection: AsyncConnection, worse: Collection[AlertData], now: datetime) -> None:
    """An ack was of what was known then: it ends as the alert gets worse. Their episodes are locked by evaluation."""
    news = {data.episode: data for data in worse}
    acked = update(episode).where(episode.c.id.in_(news), episode.c.acked_by.is_not(None))
    rows = await connection.execute(acked.values(**NO_ACK, look_at=now).returning(episode.c.id))
    dropped = sorted(row.id for row in rows)
    events = [NewEvent("unacknowledged", news[id_], reason=WORSENED, at=now) for id_ in dropped]
    await outbox.add_events(connection, events)


async def _lock(connection: AsyncConnection, episode_id: str, *, ends: bool) -> Row[Any] | None:
    """Until the transaction ends. What ends an episode takes turns with evaluations of its instance."""
    if ends:
        mine = select(episode.c.rule, episode.c.subject).where(episode.c.id == episode_id).cte("mine")
        same = instance.c.rule.in_((mine.c.rule, SUBJECT)) & (instance.c.subject == mine.c.subject)
        ordered = select(instance.c.rule).join(mine, same).order_by(instance.c.rule)
        await connection.execute(ordered.with_for_update(of=instance))
    locked = select(episode).where(episode.c.id == episode_id).with_for_update(key_share=True)
    return (await connection.execute(locked)).first()


def _standing(row: Row[Any]) -> Standing:
    return Standing(
        state=row.state,
        reason=row.reason,
        severity=row.severity,
        subject_kind=row.data["subject_kind"],
        ended_at=row.ended_at,
        acked_by=row.acked_by,
        ack_until=row.ack_until,
        snoozed_until=row.snoozed_until,
        assignee=row.assignee,
    )


async def _is_noted(connection: AsyncConnection, episode_id: str, action: Action) -> bool:
    same = (alert_event.c.by == action.by) & (alert_event.c.note == action.comment)
    noted = exists().where(alert_event.c.episode == episode_id, alert_event.c.kind == "noted", same)
    return bool(await connection.scalar(select(noted)))


async def _record(connection: AsyncConnection, row: Row[Any], action: Action, done: Done, now: datetime) -> None:
    """The columns, the line in the history, and a look at what is to be told now."""
    known, values = AlertData.model_validate(row.data), dict(done.values)
    if done.reason == CLOSED_BY_HAND:
        known = handling.closed(known, action.by, now)
        values |= {"ended_at": now, "data": known.model_dump(mode="json")}
    if values:
        await connection.execute(update(episode).where(episode.c.id == row.id).values(**values, look_at=now))
    told = {name: values.get(name, getattr(row, name)) for name in _COLUMNS}
    stands = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in told.items()}
    data = known.model_copy(update={"via": action.via, "values": known.values | {"handling": stands}})
    event = NewEvent(done.kind or "noted", data, reason=done.reason, at=now, by=action.by, note=action.comment)
    await outbox.add_events(connection, [event])
