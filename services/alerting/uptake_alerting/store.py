"""Reads and writes what an evaluation knows: samples, trials, instances, episodes. Decides and commits nothing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import ARRAY, Column, ColumnElement, Text, any_, cast, delete, func, null, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountDay, InstanceSnapshot, TeamSnapshot, TrialSnapshot
from uptake_alerting.episodes import Episode
from uptake_alerting.fold import State
from uptake_alerting.tables import episode, instance, rule_in_force, sample, subject_snapshot, trial

SUBJECT = "*"  # the row of an account itself, which says how far it was folded
_STATE: TypeAdapter[State] = TypeAdapter(State)
_NEVER = State()
SubjectSnapshot = TypeVar("SubjectSnapshot", TeamSnapshot, InstanceSnapshot)
_KINDS: dict[type, str] = {TeamSnapshot: "team", InstanceSnapshot: "instance"}
_INSTANCES = select(
    instance.c.rule,
    instance.c.subject,
    cast(instance.c.state, Text).label("state"),  # as text: one decoder is enough
    cast(instance.c.checkpoint, Text).label("checkpoint"),
)
_SAVE_SAMPLES = text("""
    INSERT INTO alerting.sample AS known (account, day, revision, snapshot)
    SELECT account, day, revision, CAST(snapshot AS jsonb)
    FROM unnest(CAST(:account AS text[]), CAST(:day AS date[]), CAST(:revision AS bigint[]), CAST(:snapshot AS text[]))
      AS new(account, day, revision, snapshot)
    ORDER BY account, day
    ON CONFLICT (account, day) DO UPDATE SET revision = excluded.revision, snapshot = excluded.snapshot
      WHERE known.revision < excluded.revision
    RETURNING account, day""")
_RECENT = text("""
    SELECT account, day, CAST(snapshot AS text) AS snapshot
    FROM alerting.sample
    JOIN unnest(CAST(:account AS text[]), CAST(:newest AS date[])) AS wanted(account, newest) USING (account)
    WHERE day > newest - 14 OR day BETWEEN newest - 34 AND newest - 28
    ORDER BY account, day""")
_LEFT_OUT = text("""
    SELECT account FROM unnest(CAST(:account AS text[]), CAST(:after AS date[]), CAST(:before AS date[]))
      AS asked(account, after, before)
    WHERE EXISTS (SELECT FROM alerting.sample AS s
                  WHERE s.account = asked.account AND s.day > asked.after AND s.day < asked.before)""")
_MAKE = text("""
    INSERT INTO alerting.instance (rule, subject)
    SELECT rule, subject FROM unnest(CAST(:rule AS text[])) AS rule, unnest(CAST(:subject AS text[])) AS subject
    ORDER BY rule, subject
    ON CONFLICT DO NOTHING""")
_SAVE = text("""
    INSERT INTO alerting.instance (rule, subject, state, checkpoint, wake_at)
    SELECT rule, subject, CAST(state AS jsonb), CAST(checkpoint AS jsonb), wake_at
    FROM unnest(CAST(:rule AS text[]), CAST(:subject AS text[]), CAST(:state AS text[]), CAST(:checkpoint AS text[]),
                CAST(:wake_at AS timestamptz[])) AS new(rule, subject, state, checkpoint, wake_at)
    ORDER BY rule, subject
    ON CONFLICT (rule, subject) DO UPDATE SET
        state = excluded.state, checkpoint = excluded.checkpoint, wake_at = excluded.wake_at""")
_DROP = text("""
    DELETE FROM alerting.sample AS s
    USING unnest(CAST(:account AS text[]), CAST(:day AS date[])) AS old(account, day)
    WHERE s.account = old.account AND s.day <= old.day""")
_NUMBERS = text("""
    SELECT rule, subject, max(number) AS number FROM alerting.episode
    JOIN unnest(CAST(:rule AS text[]), CAST(:subject AS text[])) AS wanted(rule, subject) USING (rule, subject)
    GROUP BY rule, subject""")
_EPISODES = text("""
    SELECT e.id, e.rule, e.subject, e.number, e.state, e.reason, e.severity, e.since, e.fired_at, e.ended_at,
           e.data->'values' AS values
    FROM alerting.episode AS e
    JOIN unnest(CAST(:rule AS text[]), CAST(:subject AS text[])) AS wanted(rule, subject)
      ON e.rule = wanted.rule AND e.subject = wanted.subject
    ORDER BY e.id FOR NO KEY UPDATE OF e""")  # as everybody locks them


@dataclass(frozen=True, slots=True)
class Instance:
    """One rule over one subject, locked until the transaction ends."""

    rule: str
    subject: str
    state: State
    checkpoint: State


async def save_samples(connection: AsyncConnection, snapshots: Iterable[AccountDay]) -> dict[str, set[date]]:
    """Keep what is news: the days that are new or have a later revision now, by account."""
    newest: dict[tuple[str, date], AccountDay] = {}
    for snapshot in snapshots:
        key = (snapshot.account, snapshot.kpis.as_of)
        if key not in newest or newest[key].kpis.revision < snapshot.kpis.revision:
            newest[key] = snapshot
    if not newest:
        return {}
    rows = {
        "account": [account for account, _ in newest],
        "day": [day for _, day in newest],
        "revision": [snapshot.kpis.revision for snapshot in newest.values()],
        "snapshot": [snapshot.model_dump_json() for snapshot in newest.values()],
    }
    changed: dict[str, set[date]] = {}
    for row in await connection.execute(_SAVE_SAMPLES, rows):
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


async def accounts_after(connection: AsyncConnection, account: str, limit: int) -> list[str]:
    """The next accounts that have closed days, by name."""
    mine = select(instance.c.subject).where(instance.c.rule == SUBJECT, instance.c.subject > account)
    return list(await connection.scalars(mine.order_by(instance.c.subject).limit(limit)))


async def save_subjects(connection: AsyncConnection, snapshots: Iterable[TeamSnapshot | InstanceSnapshot]) -> set[str]:
    """Keep what is news of subjects that have neither days nor dates; those that have a later revision now."""
    newest: dict[tuple[str, str], TeamSnapshot | InstanceSnapshot] = {}
    for snapshot in snapshots:
        key = _subject_of(snapshot)
        if key not in newest or newest[key].revision < snapshot.revision:
            newest[key] = snapshot
    rows = [
        {"kind": kind, "subject": name, "revision": s.revision, "snapshot": s.model_dump(mode="json")}
        for (kind, name), s in sorted(newest.items())
    ]
    if not rows:
        return set()
    statement = upsert(subject_snapshot)
    statement = statement.on_conflict_do_update(
        index_elements=["kind", "subject"],
        set_={"revision": statement.excluded.revision, "snapshot": statement.excluded.snapshot},
        where=subject_snapshot.c.revision < statement.excluded.revision,
    )
    return set(await connection.scalars(statement.values(rows).returning(subject_snapshot.c.subject)))


async def load_subjects(
    connection: AsyncConnection, kind: type[SubjectSnapshot], subjects: Collection[str] | None
) -> dict[str, SubjectSnapshot]:
    """The given ones, or all of them."""
    mine = select(subject_snapshot).where(subject_snapshot.c.kind == _KINDS[kind])
    if subjects is not None:
        mine = mine.where(subject_snapshot.c.subject.in_(subjects))
    return {row.subject: kind.model_validate(row.snapshot) for row in await connection.execute(mine)}


def _subject_of(snapshot: TeamSnapshot | InstanceSnapshot) -> tuple[str, str]:
    if isinstance(snapshot, TeamSnapshot):
        return "team", snapshot.team.quarter
    return "instance", snapshot.instance


async def lock(connection: AsyncConnection, rules: Collection[str], subjects: Collection[str]) -> list[Instance]:
    """The instances, made where they are new. A second evaluation waits here, then reads what the first one wrote."""
    if not rules or not subjects:
        return []
    mine = (_is_one_of(instance.c.rule, rules), _is_one_of(instance.c.subject, subjects))
    ordered = _INSTANCES.where(*mine).order_by(instance.c.rule, instance.c.subject).with_for_update()
    found = await _instances(connection, ordered)
    if len(found) < len(set(rules)) * len(set(subjects)):
        await connection.execute(_MAKE, {"rule": list(rules), "subject": list(subjects)})
        found = await _instances(connection, ordered)
    return found


async def lock_due(connection: AsyncConnection, rules: Collection[str], now: datetime, limit: int) -> list[Instance]:
    """Instances that asked to be looked at by now and that no other evaluation holds."""
    due = _INSTANCES.where(instance.c.rule.in_(rules), instance.c.wake_at <= now)
    ordered = due.order_by(instance.c.rule, instance.c.subject).limit(limit)
    return await _instances(connection, ordered.with_for_update(skip_locked=True))


async def load_instances(
    connection: AsyncConnection, rules: Collection[str], subjects: Collection[str]
) -> dict[tuple[str, str], Instance]:
    """Those that have a row. Whoever calls has locked the row of each account itself."""
    mine = (_is_one_of(instance.c.rule, rules), _is_one_of(instance.c.subject, subjects))
    return {(one.rule, one.subject): one for one in await _instances(connection, _INSTANCES.where(*mine))}


async def _instances(connection: AsyncConnection, statement: Any) -> list[Instance]:
    return [
        Instance(row.rule, row.subject, _state(row.state), _state(row.checkpoint))
        for row in await connection.execute(statement)
    ]


async def save_instances(connection: AsyncConnection, rows: Sequence[tuple[Instance, datetime | None]]) -> None:
    """Each with when to look again."""
    if not rows:
        return
    columns = {
        "rule": [found.rule for found, _ in rows],
        "subject": [found.subject for found, _ in rows],
        "state": [_STATE.dump_json(found.state, exclude_defaults=True).decode() for found, _ in rows],
        "checkpoint": [_STATE.dump_json(found.checkpoint, exclude_defaults=True).decode() for found, _ in rows],
        "wake_at": [wake_at for _, wake_at in rows],
    }
    await connection.execute(_SAVE, columns)


async def load_samples(
    connection: AsyncConnection, accounts: Collection[str], before: Mapping[str, date] | None = None
) -> dict[str, list[AccountDay]]:
    """All samples of the accounts in order of days, or those before a day of each account."""
    found: dict[str, list[AccountDay]] = {}
    if not accounts:
        return found
    mine = select(sample.c.account, sample.c.day, cast(sample.c.snapshot, Text).label("snapshot"))
    mine = mine.where(_is_one_of(sample.c.account, accounts))
    if before is not None:
        mine = mine.where(sample.c.day < max(before.values()))
    for row in await connection.execute(mine.order_by(sample.c.account, sample.c.day)):
        if before is None or row.day < before[row.account]:
            found.setdefault(row.account, []).append(AccountDay.model_validate_json(row.snapshot))
    return found


async def left_out(connection: AsyncConnection, between: Mapping[str, tuple[date, date]]) -> set[str]:
    """The accounts with days after the first and before the second: of a publication whose last part never came."""
    if not between:
        return set()
    days = {
        "account": list(between),
        "after": [after for after, _ in between.values()],
        "before": [before for _, before in between.values()],
    }
    return set(await connection.scalars(_LEFT_OUT, days))


async def newest_sample(connection: AsyncConnection, account: str) -> AccountDay | None:
    snapshot = select(cast(sample.c.snapshot, Text)).where(sample.c.account == account)
    found = await connection.scalar(snapshot.order_by(sample.c.day.desc()).limit(1))
    return None if found is None else AccountDay.model_validate_json(found)


async def load_recent(connection: AsyncConnection, newest: Mapping[str, date]) -> dict[str, list[AccountDay]]:
    """The samples that a message tells of: two weeks up to the newest day of each account, and four weeks before."""
    found: dict[str, list[AccountDay]] = {}
    days = {"account": list(newest), "newest": list(newest.values())}
    for row in await connection.execute(_RECENT, days) if newest else ():
        found.setdefault(row.account, []).append(AccountDay.model_validate_json(row.snapshot))
    return found


async def load_trials(connection: AsyncConnection, opportunities: Collection[str]) -> dict[str, TrialSnapshot]:
    rows = await connection.execute(select(trial).where(trial.c.opportunity.in_(opportunities)))
    return {row.opportunity: TrialSnapshot.model_validate(row.snapshot) for row in rows}


async def drop_samples(connection: AsyncConnection, through: Mapping[str, date]) -> None:
    """Up to a day of each account. They are folded into checkpoints; only now may they go."""
    if through:
        await connection.execute(_DROP, {"account": list(through), "day": list(through.values())})


async def open_of(
    connection: AsyncConnection, rules: Collection[str], subjects: Collection[str]
) -> set[tuple[str, str]]:
    """Which of the instances have an open episode."""
    mine = (_is_one_of(episode.c.rule, rules), _is_one_of(episode.c.subject, subjects), episode.c.ended_at.is_(None))
    names = select(episode.c.rule, episode.c.subject)
    return {(row.rule, row.subject) for row in await connection.execute(names.where(*mine))}


async def last_numbers(connection: AsyncConnection, instances: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Of each instance that ever had an episode."""
    if not instances:
        return {}
    wanted = {"rule": [rule for rule, _ in instances], "subject": [subject for _, subject in instances]}
    return {(row.rule, row.subject): row.number for row in await connection.execute(_NUMBERS, wanted)}


async def load_episodes(
    connection: AsyncConnection, instances: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[Episode]]:
    """The record of each instance, by number. Locked: somebody may close or acknowledge one just now."""
    found: dict[tuple[str, str], list[Episode]] = {}
    if not instances:
        return found
    wanted = {"rule": [rule for rule, _ in instances], "subject": [subject for _, subject in instances]}
    rows = (await connection.execute(_EPISODES, wanted)).all()
    for row in sorted(rows, key=lambda row: row.number):
        known = Episode(
            id=row.id,
            number=row.number,
            state=row.state,
            since=row.since,
            fired_at=row.fired_at,
            ended_at=row.ended_at,
            values=row.values,
            reason=row.reason,
            severity=row.severity,
        )
        found.setdefault((row.rule, row.subject), []).append(known)
    return found


async def fingerprints(connection: AsyncConnection) -> dict[str, str]:
    """The rules that all subjects were evaluated under, by name."""
    return {row.name: row.fingerprint for row in await connection.execute(select(rule_in_force))}


async def save_fingerprint(connection: AsyncConnection, name: str, fingerprint: str) -> None:
    statement = upsert(rule_in_force).values(name=name, fingerprint=fingerprint)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"fingerprint": fingerprint})
    )


async def rules_of_open(connection: AsyncConnection) -> set[str]:
    """The rules that alerts are open of."""
    mine = select(episode.c.rule).where(episode.c.ended_at.is_(None)).distinct()
    return set(await connection.scalars(mine))


async def forget_checkpoints(connection: AsyncConnection, name: str) -> None:
    await connection.execute(update(instance).where(instance.c.rule == name).values(checkpoint=null()))


async def forget_rule(connection: AsyncConnection, name: str) -> None:
    await connection.execute(delete(instance).where(instance.c.rule == name))
    await connection.execute(delete(rule_in_force).where(rule_in_force.c.name == name))


async def all_trials(connection: AsyncConnection) -> list[str]:
    return list(await connection.scalars(select(trial.c.opportunity)))


async def open_data(connection: AsyncConnection, rule: str) -> list[AlertData]:
    """The latest event of each open episode of a rule, locked."""
    mine = (episode.c.rule == rule, episode.c.ended_at.is_(None))
    ordered = select(episode.c.data).where(*mine).order_by(episode.c.id)
    rows = await connection.scalars(ordered.with_for_update(key_share=True))
    return [AlertData.model_validate(data) for data in rows]


async def count_conditions(connection: AsyncConnection) -> list[tuple[str, str, str | None, int]]:
    """How many instances of each rule are in each condition, by the severity of their open episode (null: none)."""
    condition = func.coalesce(instance.c.state["condition"].astext, "ok")
    is_theirs = (episode.c.rule == instance.c.rule) & (episode.c.subject == instance.c.subject)
    both = instance.outerjoin(episode, is_theirs & episode.c.ended_at.is_(None))
    kinds = (instance.c.rule, condition, episode.c.severity)
    rows = await connection.execute(select(*kinds, func.count()).select_from(both).group_by(*kinds))
    return [(rule, name, severity, count) for rule, name, severity, count in rows]


def _is_one_of(column: Column[str], names: Collection[str]) -> ColumnElement[bool]:
    """One parameter, however many names: the statement is compiled once."""
    return column == any_(cast(list(names), ARRAY(Text)))


@lru_cache(maxsize=1_000)  # most accounts are well, or fell ill on the same day
def _state(stored: str | None) -> State:
    return _NEVER if stored is None else _STATE.validate_json(stored)
