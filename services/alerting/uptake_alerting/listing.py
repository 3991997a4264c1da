"""What people ask about alerts, answered from the tables. Reads only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData, Severity
from uptake.messages.fields import Day, Instant
from uptake_alerting import gates
from uptake_alerting.claims import UNDELIVERABLE
from uptake_alerting.episodes import OPEN_STATES
from uptake_alerting.notices import NoticeKind
from uptake_alerting.tables import alert_event, delivery, episode
from uptake_alerting.threads import Status

StateFilter = Literal["open", "unacked", "acked", "snoozed", "firing", "recovering", "resolved", "closed"]
Handled = Literal["unacked", "acked", "snoozed"]


class Delivery(BaseModel):
    """One notice to one channel. `reason` says why it is not delivered (yet), `why` why this channel gets it.

    `collected`: it goes as a line of a digest, once that is due.
    """

    id: str
    kind: NoticeKind
    sequence: int
    person: str | None
    channel: str
    channel_type: str
    destination: str
    why: str
    status: Status
    reason: str | None
    attempts: int
    created_at: Instant
    done_at: Instant | None


class Transition(BaseModel):
    """One event of the alert's history; `published_at` is null while it waits for the broker.

    `by` and `via`: who did it and through which door, where a person did; `note`: what they said.
    """

    event: str
    kind: str
    state: str
    reason: str
    at: Instant
    summary: str
    by: str | None
    via: str | None
    note: str | None
    published_at: Instant | None


class Gate(BaseModel):
    """Why no notice goes out now. `until` is null when something else must happen than time; `what`: the silence, the
    other rule, or the person who acked or is out of their working hours."""

    reason: gates.Reason
    until: Instant | None
    what: str | None


class Handling(BaseModel):
    """What people did about it. An ack or a snooze that is over is not shown."""

    state: Handled
    acked_by: str | None
    acked_at: Instant | None
    ack_until: Instant | None
    snoozed_until: Instant | None
    assignee: str | None
    escalation: int


class Route(BaseModel):
    """How its recipients were chosen: what became of each who was looked at, in words."""

    level: int
    steps: list[str]


class Alert(AlertData):
    """One episode as its latest event tells it, except that `detected_at` is of its first.

    `undeliverable`: it is open, and its trigger neither reached anybody nor is on its way. `why`: of each channel that
    was told, why that one.
    """

    episode: str = Field(serialization_alias="id")
    resolved_at: Instant | None
    undeliverable: bool
    handling: Handling
    gates: list[Gate]
    deliveries: list[Delivery]


class AlertDetail(Alert):
    """`route` is null until recipients were chosen."""

    route: Route | None
    transitions: list[Transition]


class AlertLine(BaseModel):
    """An alert as a row of a table. `told`: the channels that heard of it."""

    id: str
    rule: str
    subject_kind: str
    subject: str
    account: str | None
    region: str | None
    severity: Severity
    state: str
    reason: str
    since: Day | None
    fired_at: Instant | None
    resolved_at: Instant | None
    owner: str | None
    assignee: str | None
    handling: Handled
    acked_by: str | None
    ack_until: Instant | None
    snoozed_until: Instant | None
    gates: list[str]
    told: list[str]
    undeliverable: bool
    summary: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Which alerts are meant: those that have every value that is given. `owner` has it, or had it assigned."""

    state: StateFilter | None = None
    rule: str | None = None
    account: str | None = None
    owner: str | None = None
    severity: Severity | None = None


_episodes = select(episode, UNDELIVERABLE.label("undeliverable"))


async def alerts(connection: AsyncConnection, choice: Choice, limit: int, now: datetime) -> list[Alert]:
    """The newest first."""
    statement = _episodes.where(*_conditions(choice, now)).order_by(episode.c.fired_at.desc(), episode.c.id)
    rows = (await connection.execute(statement.limit(limit))).all()
    notices = await _deliveries(connection, [row.id for row in rows])
    return [Alert(**_fields(row, notices.get(row.id, []), now)) for row in rows]


async def alert(connection: AsyncConnection, episode_id: str, now: datetime) -> AlertDetail | None:
    row = (await connection.execute(_episodes.where(episode.c.id == episode_id))).first()
    if row is None:
        return None
    notices = (await _deliveries(connection, [episode_id])).get(episode_id, [])
    route = Route(level=row.route["level"], steps=row.route["steps"]) if row.route is not None else None
    history = await _transitions(connection, episode_id)
    return AlertDetail(**_fields(row, notices, now), route=route, transitions=history)


def line(found: Alert) -> AlertLine:
    """The same as one row."""
    heard = dict.fromkeys(notice.channel for notice in found.deliveries if notice.status == "delivered")
    own = {name: getattr(found, name) for name in AlertLine.model_fields if name in Alert.model_fields}
    own |= {name: value for name, value in found.handling if name in AlertLine.model_fields and name != "state"}
    shut = [gate.reason for gate in found.gates]
    told = {"id": found.episode, "handling": found.handling.state, "gates": shut, "told": list(heard)}
    return AlertLine(**own | told)


async def undeliverable(connection: AsyncConnection) -> dict[str, int]:
    """How many open alerts of each rule nobody heard of and nobody will."""
    counted = select(episode.c.rule, func.count()).where(UNDELIVERABLE).group_by(episode.c.rule)
    return {rule: count for rule, count in await connection.execute(counted)}


def _conditions(choice: Choice, now: datetime) -> list[ColumnElement[bool]]:
    same = {name: getattr(choice, name) for name in ("rule", "account", "severity")}
    found = [episode.c[name] == value for name, value in same.items() if value is not None]
    if choice.owner is not None:
        theirs = episode.c.data["owner"].astext == choice.owner
        found.append(or_(theirs, episode.c.assignee == choice.owner))
    if choice.state is not None:
        found += _in_state(choice.state, now)
    return found


def _in_state(state: StateFilter, now: datetime) -> list[ColumnElement[bool]]:
    """`open` is firing or recovering; `acked`, `snoozed` and `unacked` are of open ones too."""
    snoozed = (episode.c.snoozed_until > now).is_(True)
    acked = episode.c.acked_by.is_not(None) & or_(episode.c.ack_until.is_(None), episode.c.ack_until > now)
    is_open = episode.c.state.in_(OPEN_STATES)
    match state:
        case "open":
            return [is_open]
        case "acked":
            return [is_open, acked]
        case "snoozed":
            return [is_open, snoozed]
        case "unacked":
            return [is_open, ~acked, ~snoozed]
        case _:
            return [episode.c.state == state]


async def _deliveries(connection: AsyncConnection, episodes: list[str]) -> dict[str, list[Delivery]]:
    rows = await connection.execute(
        select(delivery).where(delivery.c.episode.in_(episodes)).order_by(delivery.c.created_at, delivery.c.kind.desc())
    )
    found: dict[str, list[Delivery]] = {}
    for row in rows:
        found.setdefault(row.episode, []).append(Delivery.model_validate(row, from_attributes=True))
    return found


async def _transitions(connection: AsyncConnection, episode_id: str) -> list[Transition]:
    mine = select(alert_event).where(alert_event.c.episode == episode_id).order_by(alert_event.c.position)
    return [
        Transition(
            event=row.id,
            kind=row.kind,
            state=row.body["data"]["state"],
            reason=row.reason,
            at=row.at,
            summary=row.body["data"]["summary"],
            by=row.by,
            via=row.body["data"].get("via"),
            note=row.note,
            published_at=row.published_at,
        )
        for row in await connection.execute(mine)
    ]


def _fields(row: Row[Any], notices: list[Delivery], now: datetime) -> dict[str, Any]:
    of_row = {
        "severity": row.severity,
        "detected_at": row.detected_at,
        "resolved_at": row.ended_at,
        "undeliverable": row.undeliverable,
        "why": [f"{notice.channel}: {notice.why}" for notice in notices if notice.kind in ("trigger", "escalation")],
    }
    handling = _handling(row, now)
    return {**row.data, **of_row, "handling": handling, "gates": _gates(row, handling, now), "deliveries": notices}


def _handling(row: Row[Any], now: datetime) -> Handling:
    """As of now: what has run out is over, even before anything has looked at the alert again."""
    acked = row.acked_by is not None and (row.ack_until is None or now < row.ack_until)
    snoozed = row.snoozed_until is not None and now < row.snoozed_until
    return Handling(
        state="snoozed" if snoozed else "acked" if acked else "unacked",
        acked_by=row.acked_by if acked else None,
        acked_at=row.acked_at if acked else None,
        ack_until=row.ack_until if acked else None,
        snoozed_until=row.snoozed_until if snoozed else None,
        assignee=row.assignee,
        escalation=row.escalation,
    )


def _gates(row: Row[Any], handling: Handling, now: datetime) -> list[Gate]:
    """Those of the last look that are still shut; an ack and a snooze as they are now."""
    ended = row.ended_at is not None
    found = [gates.Gate.from_json(stored) for stored in row.gates if _still_shut(stored, ended)]
    if handling.snoozed_until is not None and not ended:
        found.append(gates.Gate("snoozed", handling.snoozed_until))
    if handling.acked_by is not None and not ended:
        found.append(gates.Gate("acked", handling.ack_until, handling.acked_by))
    shut = [gate for gate in found if gate.until is None or now < gate.until]
    return [Gate.model_validate(gate, from_attributes=True) for gate in shut]


def _still_shut(stored: Mapping[str, Any], ended: bool) -> bool:
    """An end is held back by quiet hours alone."""
    return stored["reason"] == "quiet_hours" if ended else stored["reason"] not in ("acked", "snoozed")
