"""The breakers as rows: trips one when a storm comes, and lets its alerts go. Decides nothing, commits nothing."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake_alerting import breaker as breakers
from uptake_alerting.breaker import LASTS, WINDOW, Breaker
from uptake_alerting.meta import MASS_BREACH, close_meta, open_meta
from uptake_alerting.store import SUBJECT
from uptake_alerting.tables import breaker, delivery, episode, instance
from uptake_alerting.threads import OPENERS

_REMEMBERED = timedelta(days=90)  # longer than anybody's digest waits


async def load(connection: AsyncConnection, rules: Collection[str], now: datetime) -> dict[str, list[Breaker]]:
    """The storms of late, by rule."""
    mine = select(breaker).where(breaker.c.rule.in_(rules), breaker.c.until > now - _REMEMBERED)
    found: dict[str, list[Breaker]] = {}
    for row in await connection.execute(mine.order_by(breaker.c.tripped_at)):
        found.setdefault(row.rule, []).append(Breaker(row.rule, row.tripped_at, row.until, row.released_at))
    return found


async def trip(connection: AsyncConnection, now: datetime, settle: timedelta) -> set[str]:
    """Hold back rules of which too many new alerts wait to be told, and tell operators once.

    Returns the rules that may be about to: more alerts of them come in at this moment, so that they are told later.
    """
    gathering = set()
    due = await connection.scalar(select(exists().where(episode.c.look_at <= now)))
    for rule, count, oldest, newest in await _unannounced(connection, now) if due else ():
        subjects = await _subjects(connection, rule)
        if breakers.trips(rule, count, subjects):
            await _trip(connection, rule, count, subjects, now)
        elif breakers.may_trip(rule, count) and newest > now - settle and oldest > now - breakers.GATHERS:
            gathering.add(rule)
    return gathering


async def _subjects(connection: AsyncConnection, rule: str) -> int:
    """How many a rule looks at. Of accounts it has a row only where one is not well, but each has a row of its own."""
    kind = episode.c.data["subject_kind"].astext
    about_accounts = await connection.scalar(select(kind).where(episode.c.rule == rule).limit(1)) == "account"
    counted = select(func.count()).where(instance.c.rule == (SUBJECT if about_accounts else rule))
    return await connection.scalar(counted) or 0


async def _trip(connection: AsyncConnection, rule: str, count: int, subjects: int, now: datetime) -> None:
    row = {"rule": rule, "tripped_at": now, "until": now + LASTS, "breaching": count, "accounts": subjects}
    made = await connection.execute(upsert(breaker).values(row).on_conflict_do_nothing())
    if made.rowcount:
        await _wake(connection, rule, now - WINDOW, now)
        values = {"breaching": count, "subjects": subjects, "until": (now + LASTS).isoformat()}
        await open_meta(connection, MASS_BREACH, rule, values, now)


async def _unannounced(connection: AsyncConnection, now: datetime) -> Sequence[tuple[str, int, datetime, datetime]]:
    """Of each rule: how many alerts are new and told to nobody, and when the first and the last of them was found.

    Those of a storm that was released make no second one.
    """
    told = exists().where(
        delivery.c.episode == episode.c.id,
        delivery.c.kind.in_(OPENERS),
        delivery.c.status.in_(("collected", "sending", "delivered")),
    )
    over = select(func.max(func.coalesce(breaker.c.released_at, breaker.c.until)))
    over_at = over.where(breaker.c.rule == episode.c.rule).scalar_subquery()
    found_at = episode.c.detected_at
    is_new = (found_at > now - WINDOW) & (over_at.is_(None) | (found_at > over_at))
    counted = select(episode.c.rule, func.count(), func.min(found_at), func.max(found_at))
    counted = counted.where(episode.c.ended_at.is_(None), is_new, ~told).group_by(episode.c.rule)
    fewest = min(breakers.FEWEST, *breakers.FEWEST_OF_RULE.values())
    rows = await connection.execute(counted.having(func.count() > fewest).order_by(episode.c.rule))
    return [(rule, count, oldest, newest) for rule, count, oldest, newest in rows]


async def release(connection: AsyncConnection, rule: str, by: str, now: datetime) -> bool:
    """Let the alerts of a storm go, each person's in one digest. False when none is held."""
    held = update(breaker).where(breaker.c.rule == rule, breaker.c.released_at.is_(None))
    row = (await connection.execute(held.values(released_at=now, released_by=by).returning(breaker))).first()
    if row is None:
        return False
    await _wake(connection, rule, row.tripped_at - WINDOW, now)
    await close_meta(connection, MASS_BREACH, rule, "released", now)
    return True


async def release_overdue(connection: AsyncConnection, now: datetime) -> list[str]:
    """Storms that nobody released in time; their rules."""
    over = select(breaker.c.rule).where(breaker.c.released_at.is_(None), breaker.c.until <= now)
    rules = list(await connection.scalars(over.order_by(breaker.c.rule)))
    return [rule for rule in rules if await release(connection, rule, "time", now)]


async def _wake(connection: AsyncConnection, rule: str, since: datetime, now: datetime) -> None:
    """In the order of ids, as everybody locks them."""
    mine = select(episode.c.id).where(episode.c.rule == rule, episode.c.ended_at.is_(None))
    mine = mine.where(episode.c.detected_at > since).order_by(episode.c.id).with_for_update(key_share=True)
    await connection.execute(update(episode).where(episode.c.id.in_(mine.scalar_subquery())).values(look_at=now))
