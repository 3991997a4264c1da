"""Reads what planning needs to know of hundreds of alerts at once, and writes what it decided. Decides nothing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake_alerting import outbox, whom
from uptake_alerting.cases import FLAPPING_WITHIN, Plan, as_route
from uptake_alerting.rules import Role
from uptake_alerting.silences import Matcher, Silence
from uptake_alerting.tables import alert_event, delivery, episode, silence
from uptake_alerting.threads import Told
from uptake_alerting.whom import About

ROWS = 500  # of one statement: PostgreSQL takes 32,767 parameters


@dataclass(frozen=True, slots=True)
class Looked:
    """One alert that asked to be looked at, locked until the transaction ends."""

    id: str
    rule: str
    account: str | None
    detected_at: datetime
    row: Row[Any]
    data: AlertData


async def claim(
    connection: AsyncConnection, now: datetime, settle: timedelta, gathering: Collection[str], limit: int
) -> list[Looked]:
    """The longest due that are not too new, nor of a rule of `gathering`; what another replica has is left to it."""
    due = select(episode).where(episode.c.look_at <= now, episode.c.detected_at <= now - settle)
    due = due.where(episode.c.rule.not_in(gathering)).order_by(episode.c.look_at).limit(limit)
    rows = await connection.execute(due.with_for_update(key_share=True, skip_locked=True))
    return [
        Looked(row.id, row.rule, row.account, row.detected_at, row, AlertData.model_validate(row.data)) for row in rows
    ]


async def told(connection: AsyncConnection, episodes: Collection[str]) -> dict[str, list[Told]]:
    """All deliveries of each."""
    severity = alert_event.c.body["data"]["severity"].astext.label("severity")
    statement = select(delivery, severity).outerjoin(alert_event, alert_event.c.id == delivery.c.event)
    found: dict[str, list[Told]] = {}
    for row in await connection.execute(statement.where(delivery.c.episode.in_(episodes))):
        found.setdefault(row.episode, []).append(_told(row))
    return found


async def silences(connection: AsyncConnection, now: datetime) -> list[Silence]:
    """Those in force."""
    active = select(silence).where(silence.c.starts_at <= now, silence.c.ends_at > now)
    return [
        Silence(row.id, tuple(Matcher(**matcher) for matcher in row.matchers), row.starts_at, row.ends_at)
        for row in await connection.execute(active)
    ]


async def open_rules(
    connection: AsyncConnection, accounts: Collection[str], everywhere: Collection[str]
) -> dict[str | None, set[str]]:
    """Rules that fire for each account; under None those of `everywhere` that fire at all."""
    found: dict[str | None, set[str]] = {}
    mine = select(episode.c.account, episode.c.rule).where(episode.c.ended_at.is_(None))
    for row in await connection.execute(mine.where(episode.c.account.in_(accounts)).distinct()):
        found.setdefault(row.account, set()).add(row.rule)
    for row in await connection.execute(mine.where(episode.c.rule.in_(everywhere)).distinct()):
        found.setdefault(None, set()).add(row.rule)
    return found


async def earlier(connection: AsyncConnection, episodes: Collection[str]) -> dict[str, list[datetime]]:
    """When the rule of each fired for its subject before, as far back as flapping goes; late data can undo a firing."""
    before, this = episode.alias("before"), episode.alias("this")
    same = (before.c.rule == this.c.rule) & (before.c.subject == this.c.subject) & (before.c.number < this.c.number)
    recent = (before.c.fired_at > this.c.fired_at - 2 * FLAPPING_WITHIN) & (before.c.reason != "data_revised")
    fired = select(this.c.id, before.c.fired_at).join(before, same & recent).where(this.c.id.in_(episodes))
    found: dict[str, list[datetime]] = {}
    for row in await connection.execute(fired):
        found.setdefault(row.id, []).append(row.fired_at)
    return found


async def write_wanted(connection: AsyncConnection, plans: Mapping[str, Plan], now: datetime) -> int:
    """Write the notices down. What was taken back, or failed long ago, waits again under its own id."""
    latest = await _latest_events(connection, [id_ for id_, plan in plans.items() if plan.wanted])
    rows = [
        {
            "id": outbox.delivery_id(id_, w.kind, w.recipient.channel, w.recipient.destination, w.sequence),
            "episode": id_,
            "event": latest.get(id_),
            "kind": w.kind,
            "sequence": w.sequence,
            "person": w.recipient.person,
            "channel": w.recipient.channel,
            "channel_type": w.recipient.channel_type,
            "destination": w.recipient.destination,
            "why": w.recipient.why,
            "status": "pending" if w.mode == "now" else "collected",
            "created_at": now,
            "due_at": w.due_at,
        }
        for id_, plan in plans.items()
        for w in plan.wanted
    ]
    for part in _parts(rows):
        statement = upsert(delivery).values(part)
        renewed = ("event", "person", "why", "status", "due_at")
        forgotten = dict.fromkeys(("done_at", "reason", "digest"))
        again = {name: statement.excluded[name] for name in renewed} | forgotten
        # What may have arrived alone is sent under the same Message-ID; else it may go with others.
        alone = delivery.c.ambiguous & (delivery.c.letter == delivery.c.id)
        again["letter"] = case((alone, delivery.c.letter))
        # What is tried again and again is as old as the first time: the end of an alert.
        again["created_at"] = case(
            (delivery.c.kind == "terminal", delivery.c.created_at), else_=statement.excluded.created_at
        )
        over = delivery.c.status.in_(("skipped", "failed"))
        await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=again, where=over))
    return len(rows)


async def write_dropped(connection: AsyncConnection, plans: Iterable[Plan], now: datetime) -> None:
    rows = [{"of": id_, "because": reason} for plan in plans for id_, reason in plan.drop]
    waiting = (delivery.c.status == "pending") | (delivery.c.status == "collected")
    waits = waiting & ~delivery.c.ambiguous & delivery.c.digest.is_(None)
    statement = update(delivery).where(delivery.c.id == bindparam("of"), waits)
    if rows:
        values = {"status": "skipped", "reason": bindparam("because"), "done_at": now}
        await connection.execute(statement.values(values), rows)


async def write_looks(connection: AsyncConnection, plans: Mapping[str, Plan], abouts: Mapping[str, About]) -> None:
    """When each is looked at next, and why nothing goes out until then."""
    looks = [
        {
            "of": id_,
            "next": plan.look_at,
            "shut": [gate.as_json() for gate in plan.gates],
            "level": plan.escalation,
        }
        for id_, plan in plans.items()
    ]
    names = {"look_at": "next", "gates": "shut", "escalation": "level"}
    values: dict[str, Any] = {column: bindparam(name) for column, name in names.items()}
    await connection.execute(update(episode).where(episode.c.id == bindparam("of")).values(values), looks)
    routes = [
        {"of": id_, "chosen": as_route(plan.chosen, abouts[id_])}
        for id_, plan in plans.items()
        if plan.chosen is not None
    ]
    if routes:
        chosen = update(episode).where(episode.c.id == bindparam("of")).values(route=bindparam("chosen"))
        await connection.execute(chosen, routes)


async def wake(
    connection: AsyncConnection,
    now: datetime,
    *,
    accounts: Collection[str] | None = None,
    rules: Collection[str] | None = None,
) -> None:
    """Open alerts are looked at again: all, or those of some accounts and rules. Locked in the order of ids."""
    mine = select(episode.c.id).where(episode.c.ended_at.is_(None))
    if accounts is not None:
        mine = mine.where(episode.c.account.in_(accounts))
    if rules is not None:
        mine = mine.where(episode.c.rule.in_(rules))
    mine = mine.order_by(episode.c.id).with_for_update(key_share=True)
    await connection.execute(update(episode).where(episode.c.id.in_(mine.scalar_subquery())).values(look_at=now))


def about_of(data: AlertData, to: tuple[Role, ...], assignee: str | None) -> About:
    """Whom the facts named when the alert last changed."""
    known: dict[str, str | None] = data.values.get("about") or {}
    return whom.about_of(data.rule, to, data.account, data.region, {"owner": data.owner} | known, assignee)


async def _latest_events(connection: AsyncConnection, episodes: Collection[str]) -> dict[str, str]:
    newest = select(func.max(alert_event.c.position)).where(alert_event.c.episode.in_(episodes))
    newest = newest.group_by(alert_event.c.episode)
    rows = select(alert_event.c.episode, alert_event.c.id).where(alert_event.c.position.in_(newest))
    return {row.episode: row.id for row in await connection.execute(rows)}


def _told(row: Row[Any]) -> Told:
    return Told(
        id=row.id,
        kind=row.kind,
        sequence=row.sequence,
        channel=row.channel,
        channel_type=row.channel_type,
        destination=row.destination,
        person=row.person,
        status=row.status,
        created_at=row.created_at,
        ambiguous=row.ambiguous,
        done_at=row.done_at,
        reason=row.reason,
        severity=row.severity,
        why=row.why,
        digest=row.status == "collected" or row.digest is not None,
        carried=row.digest is not None,
    )


def _parts(rows: Sequence[dict[str, Any]]) -> Iterable[Sequence[dict[str, Any]]]:
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
