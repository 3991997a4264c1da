"""Silences as rows: made, ended early, listed, with the open alerts that each covers. Matches nothing by itself."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from sqlalchemy import ColumnElement, Row, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake_alerting.handling import SAME_WITHIN
from uptake_alerting.silences import Matcher, Silence, labels_of
from uptake_alerting.tables import episode, silence

State = Literal["active", "pending", "expired"]
#: Readers go on; who makes a silence waits for who makes another, so that the same one is not made twice.
_ONE_AT_A_TIME = text("LOCK TABLE alerting.silence IN SHARE ROW EXCLUSIVE MODE")


@dataclass(frozen=True, slots=True)
class Asked:
    """A silence that somebody wants, checked already."""

    matchers: tuple[Matcher, ...]
    by: str
    comment: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """`covers`: how many open alerts it matches now; of one that is yet to come, too."""

    silence: Silence
    created_by: str
    comment: str
    created_at: datetime
    expired_by: str | None
    covers: int

    def state(self, now: datetime) -> State:
        if now >= self.silence.ends_at:
            return "expired"
        return "active" if self.silence.is_active(now) else "pending"


async def add(connection: AsyncConnection, asked: Asked, now: datetime) -> tuple[str, bool]:
    """Its id, and whether it is new: the very same one by the same person is made once."""
    await connection.execute(_ONE_AT_A_TIME)
    rows = await connection.execute(
        select(silence).where(silence.c.created_by == asked.by, silence.c.ends_at > now).order_by(silence.c.created_at)
    )
    known = next((row for row in rows if _is_same(row, asked, now)), None)
    if known is not None:
        return known.id, False
    row = {
        "id": uuid4().hex[:16],
        "matchers": [asdict(matcher) for matcher in asked.matchers],
        "created_by": asked.by,
        "comment": asked.comment,
        "created_at": now,
        "starts_at": asked.starts_at,
        "ends_at": asked.ends_at,
    }
    await connection.execute(insert(silence).values(row))
    await _wake(connection, asked.matchers, max(asked.starts_at, now))
    return str(row["id"]), True


async def expire(connection: AsyncConnection, silence_id: str, by: str, now: datetime) -> bool | None:
    """End it now. False when it is over already, null when there is none."""
    row = (await connection.execute(select(silence).where(silence.c.id == silence_id).with_for_update())).first()
    if row is None:
        return None
    if row.ends_at <= now:
        return False
    ended = {"ends_at": now, "starts_at": min(row.starts_at, now), "expired_by": by}
    await connection.execute(update(silence).where(silence.c.id == silence_id).values(ended))
    await _wake(connection, _silence(row).matchers, now)
    return True


async def one(connection: AsyncConnection, silence_id: str, now: datetime) -> Listed | None:
    found = (await connection.execute(select(silence).where(silence.c.id == silence_id))).first()
    return (await _with_alerts(connection, [found], now))[0] if found is not None else None


async def listed(
    connection: AsyncConnection, state: State | Literal["current"], now: datetime, limit: int
) -> list[Listed]:
    """Those that end last come first; `current` is active or pending."""
    newest = select(silence).order_by(silence.c.ends_at.desc(), silence.c.id).limit(limit)
    rows = await connection.execute(newest.where(*_in_state(state, now)))
    return await _with_alerts(connection, rows.all(), now)


async def _with_alerts(connection: AsyncConnection, rows: Sequence[Row[Any]], now: datetime) -> list[Listed]:
    matters = any(row.ends_at > now for row in rows)
    labels = await _open_labels(connection) if matters else []
    return [_listed(row, labels if row.ends_at > now else []) for row in rows]


def _in_state(state: State | Literal["current"], now: datetime) -> list[ColumnElement[bool]]:
    match state:
        case "expired":
            return [silence.c.ends_at <= now]
        case "pending":
            return [silence.c.ends_at > now, silence.c.starts_at > now]
        case "active":
            return [silence.c.ends_at > now, silence.c.starts_at <= now]
        case "current":
            return [silence.c.ends_at > now]


def _listed(row: Row[Any], labels: Iterable[dict[str, str]]) -> Listed:
    found = _silence(row)
    covers = sum(map(found.covers, labels))
    return Listed(found, row.created_by, row.comment, row.created_at, row.expired_by, covers)


async def _open_labels(connection: AsyncConnection) -> list[dict[str, str]]:
    rows = await connection.execute(select(episode.c.data, episode.c.severity).where(episode.c.ended_at.is_(None)))
    known = ((AlertData.model_validate(row.data), row.severity) for row in rows)
    return [labels_of(data, severity, data.labels) for data, severity in known]


async def _wake(connection: AsyncConnection, matchers: Iterable[Matcher], at: datetime) -> None:
    """Alerts that may match are looked at then, if not before; what a silence is about mostly says which."""
    mine = select(episode.c.id).where(episode.c.ended_at.is_(None))
    for matcher in matchers:
        if matcher.op == "=" and matcher.value and matcher.name in ("account", "rule"):
            mine = mine.where(episode.c[matcher.name] == matcher.value)
    locked = mine.order_by(episode.c.id).with_for_update(key_share=True).scalar_subquery()
    sooner = func.least(func.coalesce(episode.c.look_at, at), at)
    await connection.execute(update(episode).where(episode.c.id.in_(locked)).values(look_at=sooner))


def _is_same(row: Row[Any], asked: Asked, now: datetime) -> bool:
    theirs = _silence(row)
    starts_alike = max(theirs.starts_at, now) - max(asked.starts_at, now)
    return (
        set(theirs.matchers) == set(asked.matchers)
        and row.comment == asked.comment
        and abs(starts_alike) < SAME_WITHIN
        and abs(theirs.ends_at - asked.ends_at) < SAME_WITHIN
    )


def _silence(row: Row[Any]) -> Silence:
    return Silence(row.id, tuple(Matcher(**matcher) for matcher in row.matchers), row.starts_at, row.ends_at)
