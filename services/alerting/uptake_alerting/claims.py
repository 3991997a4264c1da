"""Notices as rows on their way to channels: claimed, held while one process sends them, and finished. Sends nothing.

The order of locks is instance, episode, delivery everywhere. A trigger is recorded as delivered under the lock of its
episode, and both that and the end of an episode ask for another look at it: so a delivered trigger always gets its
terminal, whichever came first.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData, AlertEvent
from uptake_alerting.notices import NoticeKind
from uptake_alerting.patience import Next
from uptake_alerting.tables import alert_event, delivery, episode, pause
from uptake_alerting.threads import OPENERS

LEASE = timedelta(seconds=60)  # longer than an attempt may take: a sender that lost it has crashed
#: Channels whose messages are for reading alone. Whatever else tells alerts apart: by buttons, keys or labels.
GROUPED = ("email", "slack", "apprise")
TOGETHER = 10  # alerts of one letter
_UNDER_WAY = ("pending", "sending")
_opener = and_(delivery.c.episode == episode.c.id, delivery.c.kind.in_(OPENERS))
_heard = exists().where(_opener, delivery.c.status.in_(("collected", *_UNDER_WAY, "delivered")))
#: Of an episode: it is open, no gate holds it back, and neither was anybody told of it nor is that on its way.
UNDELIVERABLE = and_(
    episode.c.ended_at.is_(None), episode.c.route.is_not(None), episode.c.gates == text("'[]'::jsonb"), ~_heard
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process alone may send until its lease ends."""

    id: str
    letter: str  # its own id, or that of the letter in which it goes with others
    episode: str | None  # null: a digest, or a notice to operators
    kind: NoticeKind
    sequence: int
    person: str | None
    channel: str
    channel_type: str
    destination: str
    why: str
    attempts: int
    ambiguous: bool
    created_at: datetime
    episode_ended: bool
    thread: Mapping[str, Any] | None  # the reference of what was first delivered there
    data: AlertData | None
    content: Mapping[str, Any] | None  # what it says without an event
    items: tuple[AlertData, ...] = ()  # what a digest carries, as it is now


async def claim(connection: AsyncConnection, now: datetime, busy: Collection[str] = ()) -> list[Claimed]:
    """The longest due delivery that nobody holds, whose destination is not paused and whose channel is not `busy`; with
    it whatever else is due there for the same person and goes in the same thread, if the channel is `GROUPED`.

    They are held until the lease ends. Once tried, a letter stays as it is, so that a copy is known as one.
    """
    rows = await _rows_of_letter(connection, now, busy)
    if not rows:
        return []
    first = rows[0]
    letter = first.letter or _letter_of([row.id for row in rows])
    held = {
        "status": "sending",
        "due_at": now + LEASE,
        "attempts": delivery.c.attempts + 1,
        # Still `sending` after its lease: a sender crashed between sending and recording, and nobody knows which.
        "ambiguous": or_(delivery.c.ambiguous, delivery.c.status == "sending"),
        "letter": letter,
    }
    await connection.execute(update(delivery).where(delivery.c.id.in_([row.id for row in rows])).values(held))
    items = await _items(connection, first.id) if first.kind == "digest" else ()
    return [_claimed(row, letter, items) for row in rows]


async def _rows_of_letter(connection: AsyncConnection, now: datetime, busy: Collection[str]) -> list[Row[Any]]:
    """A letter of which somebody else has a part is left to them, and holds up no other."""
    theirs: list[str] = []
    while (first := (await connection.execute(_longest_due(now, busy, theirs))).first()) is not None:
        if first.letter is None:
            return [first, *await _company(connection, first, now)]
        if (others := await _rest_of_letter(connection, first)) is not None:
            return [first, *others]
        theirs.append(first.letter)
    return []


def _longest_due(now: datetime, busy: Collection[str], theirs: Collection[str]) -> Select[Any]:
    """Of a letter, whichever of those that are left in it comes first speaks for all."""
    other = delivery.alias("other")
    led = exists().where(
        other.c.letter == delivery.c.letter, other.c.status.in_(_UNDER_WAY), other.c.id < delivery.c.id
    )
    paused = exists().where(
        pause.c.channel == delivery.c.channel, pause.c.destination == delivery.c.destination, pause.c.until > now
    )
    free = or_(delivery.c.letter.is_(None), delivery.c.letter.not_in(theirs))
    due = _due(now).where(~paused, ~led, delivery.c.channel.not_in(busy), free)
    return due.limit(1).with_for_update(of=delivery, skip_locked=True)


def _due(now: datetime) -> Select[Any]:
    return _notices().where(delivery.c.due_at <= now).order_by(delivery.c.due_at, delivery.c.id)


def _notices() -> Select[Any]:
    """Those that are not over, with what they tell and where they belong."""
    return (
        select(delivery, episode.c.ended_at, alert_event.c.body, _thread().label("thread"))
        .outerjoin(episode, episode.c.id == delivery.c.episode)
        .outerjoin(alert_event, alert_event.c.id == delivery.c.event)
        .where(delivery.c.status.in_(_UNDER_WAY))
    )


async def _company(connection: AsyncConnection, first: Row[Any], now: datetime) -> list[Row[Any]]:
    """What may go with it and was never tried."""
    if first.channel_type not in GROUPED or first.episode is None:
        return []
    mine = _due(now).where(
        delivery.c.id != first.id,
        delivery.c.letter.is_(None),
        delivery.c.episode.is_not(None),
        delivery.c.person.is_not_distinct_from(first.person),
        *(delivery.c[name] == getattr(first, name) for name in ("channel", "channel_type", "destination")),
    )
    rows = await connection.execute(mine.limit(5 * TOGETHER).with_for_update(of=delivery, skip_locked=True))
    return [row for row in rows if row.thread == first.thread][: TOGETHER - 1]


async def _rest_of_letter(connection: AsyncConnection, first: Row[Any]) -> list[Row[Any]] | None:
    """Null while somebody else works on one of them: the letter goes whole, or later."""
    mine: ColumnElement[bool] = and_(delivery.c.letter == first.letter, delivery.c.id != first.id)
    rows = await connection.execute(_notices().where(mine).with_for_update(of=delivery, skip_locked=True))
    found = list(rows)
    left = select(func.count()).where(mine, delivery.c.status.in_(_UNDER_WAY))
    return found if len(found) == await connection.scalar(left) else None


def _letter_of(ids: Sequence[str]) -> str:
    """A delivery alone is a letter of its own."""
    return ids[0] if len(ids) == 1 else hashlib.sha256("\0".join(sorted(ids)).encode()).hexdigest()[:32]


async def finish(connection: AsyncConnection, claimed: Claimed, after: Next, now: datetime) -> None:
    """Record what came of it, unless the lease was lost; then whoever has it now records. Its alert is looked at next:
    an end may be owed, or another channel must be tried.

    Of a letter each is recorded for itself: nobody waits for one alert while holding another.
    """
    await _lock_episodes(connection, claimed)
    ours = and_(delivery.c.id == claimed.id, delivery.c.status == "sending", delivery.c.attempts == claimed.attempts)
    values = {
        "status": after.status,
        "reason": after.reason,
        "due_at": after.due_at or now,
        "ambiguous": claimed.ambiguous or after.ambiguous,
        "done_at": None if after.status == "pending" else now,
        "reference": after.reference,
    }
    recorded = await connection.execute(update(delivery).where(ours).values(values))
    if not recorded.rowcount:
        return
    if after.pause_until is not None:
        await _pause(connection, claimed, after.pause_until)
    if claimed.kind == "digest" and after.status != "pending":
        lines = update(delivery).where(delivery.c.digest == claimed.id)
        await connection.execute(lines.values(status=after.status, reason=after.reason, done_at=now))
    await connection.execute(update(episode).where(episode.c.id.in_(_episodes_of(claimed))).values(look_at=now))


async def _lock_episodes(connection: AsyncConnection, claimed: Claimed) -> None:
    """Until this transaction ends they stay as they are. In the order of ids, as everybody locks them."""
    mine = select(episode.c.id).where(episode.c.id.in_(_episodes_of(claimed))).order_by(episode.c.id)
    await connection.execute(mine.with_for_update(key_share=True))


def _episodes_of(claimed: Claimed) -> Select[Any]:
    """The alert that a notice is about; of a digest all that it carries."""
    mine = delivery.c.id == claimed.id if claimed.episode is not None else delivery.c.digest == claimed.id
    return select(delivery.c.episode).where(mine)


async def _pause(connection: AsyncConnection, claimed: Claimed, until: datetime) -> None:
    statement = upsert(pause).values(channel=claimed.channel, destination=claimed.destination, until=until)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["channel", "destination"], set_={"until": until})
    )


def _thread() -> ScalarSelect[Any]:
    """The reference of the delivery that opened the thread at the same destination."""
    opener = delivery.alias("opener")
    same = and_(*(opener.c[name] == delivery.c[name] for name in ("episode", "channel", "destination")))
    told = and_(opener.c.kind.in_(OPENERS), opener.c.status == "delivered", opener.c.id != delivery.c.id)
    return select(opener.c.reference).where(same, told).order_by(opener.c.created_at).limit(1).scalar_subquery()


async def _items(connection: AsyncConnection, digest: str) -> tuple[AlertData, ...]:
    carried = select(episode.c.data).join(delivery, delivery.c.episode == episode.c.id)
    carried = carried.where(delivery.c.digest == digest).order_by(delivery.c.created_at, delivery.c.id)
    return tuple(AlertData.model_validate(row.data) for row in await connection.execute(carried))


def _claimed(row: Row[Any], letter: str, items: tuple[AlertData, ...]) -> Claimed:
    """`row` as it was before."""
    return Claimed(
        id=row.id,
        letter=letter,
        episode=row.episode,
        kind=row.kind,
        sequence=row.sequence,
        person=row.person,
        channel=row.channel,
        channel_type=row.channel_type,
        destination=row.destination,
        why=row.why,
        attempts=row.attempts + 1,
        ambiguous=row.ambiguous or row.status == "sending",
        created_at=row.created_at,
        episode_ended=row.ended_at is not None,
        thread=row.thread,
        data=AlertEvent.model_validate(row.body).data if row.body is not None else None,
        content=row.content,
        items=items,
    )
