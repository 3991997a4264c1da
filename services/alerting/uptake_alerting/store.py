"""Reads and writes what an evaluation knows: samples, trials, instances, episodes. Decides and commits nothing."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.kpi import AccountSnapshot, TrialSnapshot
from uptake_alerting.episodes import Episode
from uptake_alerting.fold import State
from uptake_alerting.tables import episode, instance, sample, trial

_STATE: TypeAdapter[State] = TypeAdapter(State)
_NEVER = State()


@dataclass(frozen=True, slots=True)
class Instance:
    """One rule over one subject, locked until the transaction ends."""

    rule: str
    subject: str
    state: State
    checkpoint: State


async def save_samples(connection: AsyncConnection, snapshots: Iterable[AccountSnapshot]) -> dict[str, set[date]]:
    """Keep what is news: the days that are new or have a later revision now, by account."""
    newest: dict[tuple[str, date], AccountSnapshot] = {}
    for snapshot in snapshots:
        key = (snapshot.account, snapshot.kpis.as_of)
        if key not in newest or newest[key].kpis.revision < snapshot.kpis.revision:
            newest[key] = snapshot
    rows = [
        {"account": account, "day": day, "revision": s.kpis.revision, "snapshot": s.model_dump(mode="json")}
        for (account, day), s in sorted(newest.items())  # in one order everywhere: no deadlock
    ]
    if not rows:
        return {}
    statement = upsert(sample)
    statement = statement.on_conflict_do_update(
        index_elements=["account", "day"],
        set_={"revision": statement.excluded.revision, "snapshot": statement.excluded.snapshot},
        where=sample.c.revision < statement.excluded.revision,
    )
    changed: dict[str, set[date]] = {}
    for row in await connection.execute(statement.values(rows).returning(sample.c.account, sample.c.day)):
        changed.setdefault(row.account, set()).add(row.day)
    return changed


async def save_trials(connection: AsyncConnection, snapshots: Iterable[TrialSnapshot]) -> set[str]:
    """Keep what is news; the opportunities that have a later revision now."""
    newest: dict[str, TrialSnapshot] = {}
    for snapshot in snapshots:
        key = snapshot.trial.opportunity
        if key not in newest or newest[key].revision < snapshot.revision:
            newest[key] = snapshot
    rows = [
        {"opportunity": key, "revision": s.revision, "snapshot": s.model_dump(mode="json")}
        for key, s in sorted(newest.items())
    ]
    if not rows:
        return set()
    statement = upsert(trial)
    statement = statement.on_conflict_do_update(
        index_elements=["opportunity"],
        set_={"revision": statement.excluded.revision, "snapshot": statement.excluded.snapshot},
        where=trial.c.revision < statement.excluded.revision,
    )
    return set(await connection.scalars(statement.values(rows).returning(trial.c.opportunity)))


async def lock(connection: AsyncConnection, rule: str, subjects: Collection[str]) -> list[Instance]:
    """The instances, made where they are new. A second evaluation waits here, then reads what the first one wrote."""
    ordered = sorted(subjects)
    if not ordered:
        return []
    rows = [{"rule": rule, "subject": subject} for subject in ordered]
    await connection.execute(upsert(instance).values(rows).on_conflict_do_nothing())
    mine = (instance.c.rule == rule, instance.c.subject.in_(ordered))
    return await _instances(connection, select(instance).where(*mine).order_by(instance.c.subject).with_for_update())


async def lock_due(connection: AsyncConnection, rule: str, now: datetime, limit: int) -> list[Instance]:
    """Instances that asked to be looked at by now and that no other evaluation holds."""
    due = select(instance).where(instance.c.rule == rule, instance.c.wake_at <= now)
    return await _instances(connection, due.order_by(instance.c.subject).limit(limit).with_for_update(skip_locked=True))


async def _instances(connection: AsyncConnection, statement: Any) -> list[Instance]:
    return [
        Instance(row.rule, row.subject, _state(row.state), _state(row.checkpoint))
        for row in await connection.execute(statement)
    ]


async def save_instances(connection: AsyncConnection, rows: Sequence[tuple[Instance, datetime | None]]) -> None:
    """Each with when to look again."""
    mine = (instance.c.rule == bindparam("of_rule"), instance.c.subject == bindparam("of_subject"))
    values: dict[str, Any] = {name: bindparam(name) for name in ("state", "checkpoint", "wake_at")}
    parameters = [
        {
            "of_rule": found.rule,
            "of_subject": found.subject,
            "state": _STATE.dump_python(found.state, mode="json"),
            "checkpoint": _STATE.dump_python(found.checkpoint, mode="json"),
            "wake_at": wake_at,
        }
        for found, wake_at in rows
    ]
    if parameters:
        await connection.execute(update(instance).where(*mine).values(values), parameters)


async def load_samples(
    connection: AsyncConnection, accounts: Collection[str], days: Collection[tuple[str, date]] | None = None
) -> dict[str, list[AccountSnapshot]]:
    """All samples of the accounts, or only the given days of them, in order of days."""
    mine = sample.c.account.in_(accounts) if days is None else tuple_(sample.c.account, sample.c.day).in_(days)
    found: dict[str, list[AccountSnapshot]] = {}
    for row in await connection.execute(select(sample).where(mine).order_by(sample.c.account, sample.c.day)):
        found.setdefault(row.account, []).append(AccountSnapshot.model_validate(row.snapshot))
    return found


async def load_trials(connection: AsyncConnection, opportunities: Collection[str]) -> dict[str, TrialSnapshot]:
    rows = await connection.execute(select(trial).where(trial.c.opportunity.in_(opportunities)))
    return {row.opportunity: TrialSnapshot.model_validate(row.snapshot) for row in rows}


async def drop_samples(connection: AsyncConnection, account: str, up_to: date) -> None:
    """They are folded into a checkpoint; only now may they go."""
    await connection.execute(delete(sample).where(sample.c.account == account, sample.c.day <= up_to))


async def load_episodes(connection: AsyncConnection, rule: str, subjects: Collection[str]) -> dict[str, list[Episode]]:
    """The record of each instance, by number."""
    mine = (episode.c.rule == rule, episode.c.subject.in_(subjects))
    found: dict[str, list[Episode]] = {}
    for row in await connection.execute(select(episode).where(*mine).order_by(episode.c.subject, episode.c.number)):
        span = (row.state, row.since, row.fired_at, row.ended_at)
        known = Episode(row.id, row.number, *span, row.data["values"], row.reason)
        found.setdefault(row.subject, []).append(known)
    return found


async def count_conditions(connection: AsyncConnection) -> list[tuple[str, str, int]]:
    """How many instances of each rule are in each condition."""
    condition = func.coalesce(instance.c.state["condition"].astext, "ok")
    rows = await connection.execute(
        select(instance.c.rule, condition, func.count()).group_by(instance.c.rule, condition)
    )
    return [(rule, name, count) for rule, name, count in rows]


def _state(stored: Any) -> State:
    return _NEVER if stored is None else _STATE.validate_python(stored)
