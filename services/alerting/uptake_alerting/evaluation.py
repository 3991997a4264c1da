"""One evaluation inside one transaction: lock, fold, reconcile, and write what changed with its events and notices.

Called by a new snapshot and by the clock; both come out the same, whoever is first. Commits nothing itself.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from typing import Any

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountSnapshot, TrialSnapshot
from uptake_alerting import outbox, store, wording
from uptake_alerting.episodes import Change, Outcome, episode_id, outcome_of_trial, reconcile
from uptake_alerting.fold import Judged, fold, move_checkpoint
from uptake_alerting.outbox import NewEvent
from uptake_alerting.rules import ADOPTION_BELOW_TARGET, TRIAL_BREACHED, Rule, judge_adoption
from uptake_alerting.store import Instance
from uptake_alerting.tables import episode

DUE_LIMIT = 500  # instances that one transaction of a tick looks at
Snapshot = AccountSnapshot | TrialSnapshot


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an alert is about, as of its newest snapshot: attributes, never part of an identity."""

    id: str
    account: str
    region: str | None
    owner: str | None
    people: dict[str, str | None]
    values: dict[str, Any]


async def take(connection: AsyncConnection, snapshots: Iterable[Snapshot], now: datetime) -> None:
    """Keep the snapshots and evaluate whatever they changed. The same snapshots again change nothing.

    `snapshots` are in the order of the stream. Of a publication in several parts nothing is judged before the last one:
    half of it would be a truth that never was. Then all days are, since earlier parts may have changed any of them.
    """
    known = list(snapshots)
    of_accounts = [s for s in known if isinstance(s, AccountSnapshot)]
    saved = await store.save_samples(connection, of_accounts)
    last = {s.account: s for s in of_accounts}
    complete = {account for account, s in last.items() if s.part == s.parts}
    in_parts = {s.account for s in of_accounts if s.parts > 1} & complete
    days = {account: saved.get(account, set()) for account in complete & (saved.keys() | in_parts)}
    trials = await store.save_trials(connection, (s for s in known if isinstance(s, TrialSnapshot)))
    await _evaluate_accounts(connection, ADOPTION_BELOW_TARGET, days, in_parts, now)
    instances = await store.lock(connection, TRIAL_BREACHED.name, trials)
    await _evaluate_trials(connection, TRIAL_BREACHED, instances, now)


async def tick(connection: AsyncConnection, now: datetime) -> int:
    """What only the clock knows: trials whose limit has come. How many instances were looked at."""
    instances = await store.lock_due(connection, TRIAL_BREACHED.name, now, DUE_LIMIT)
    await _evaluate_trials(connection, TRIAL_BREACHED, instances, now)
    return len(instances)


async def _evaluate_accounts(
    connection: AsyncConnection,
    rule: Rule,
    changed: dict[str, set[date]],
    in_parts: set[str],  # days that came with earlier parts may have changed too
    now: datetime,
) -> None:
    instances = await store.lock(connection, rule.name, changed)
    late = in_parts | {i.subject for i in instances if _needs_history(i, changed[i.subject])}
    samples = await store.load_samples(connection, late)
    fresh = [(account, day) for account, days in changed.items() if account not in late for day in days]
    samples |= await store.load_samples(connection, (), fresh)
    stored = await store.load_episodes(connection, rule.name, changed)
    evaluated = []
    for found in instances:
        after, outcome = _fold(rule, found, samples[found.subject], whole=found.subject in late)
        changes = reconcile(stored.get(found.subject, []), outcome, now)
        if changes:
            history = (await store.load_samples(connection, [found.subject]))[found.subject]
            await _write(connection, rule, _account(history), changes, now)
        if after.checkpoint.day is not None and after.checkpoint != found.checkpoint:
            await store.drop_samples(connection, found.subject, after.checkpoint.day)
        evaluated.append((after, outcome.wake_at))
    await store.save_instances(connection, evaluated)


async def _evaluate_trials(
    connection: AsyncConnection, rule: Rule, instances: Sequence[Instance], now: datetime
) -> None:
    names = [i.subject for i in instances]
    snapshots = await store.load_trials(connection, names)
    stored = await store.load_episodes(connection, rule.name, names)
    evaluated = []
    for found in instances:
        snapshot, known = snapshots[found.subject], stored.get(found.subject, [])
        began_as = next((e.values.get("complexity") for e in known if e.is_open), None)
        outcome = outcome_of_trial(snapshot, found.state, began_as, now)
        await _write(connection, rule, _trial(snapshot), reconcile(known, outcome, now), now)
        evaluated.append((replace(found, state=outcome.state), outcome.wake_at))
    await store.save_instances(connection, evaluated)


def _needs_history(found: Instance, days: Collection[date]) -> bool:
    """A late day, or once a week to move the checkpoint; else the fold goes on from where it stands."""
    newest = found.state.day
    return newest is not None and bool(days) and (min(days) <= newest or max(days).toordinal() % 7 == 0)


def _fold(rule: Rule, found: Instance, samples: Sequence[AccountSnapshot], *, whole: bool) -> tuple[Instance, Outcome]:
    # A snapshot that does not say when its day closed is no sample: samples are closed days.
    judged = [Judged(s.kpis.as_of, s.closed_at, judge_adoption(s)) for s in samples if s.closed_at is not None]
    checkpoint = found.checkpoint
    if whole:
        judged = [j for j in judged if checkpoint.day is None or j.day > checkpoint.day]
        state, spans = fold(checkpoint, judged, rule)
        checkpoint = move_checkpoint(checkpoint, judged, rule)
    else:
        state, spans = fold(found.state, judged, rule)
    return replace(found, state=state, checkpoint=checkpoint), Outcome(state, spans)


def _account(history: Sequence[AccountSnapshot]) -> Subject:
    newest = history[-1]
    shown = next((s for s in reversed(history) if s.kpis.adoption.value is not None), newest)
    people = {"owner": newest.owner, "deputy": newest.deputy, "executive": newest.executive, "manager": newest.manager}
    values = wording.values_of_account(shown, [s.kpis.adoption.value for s in history])
    return Subject(newest.account, newest.account, newest.region, newest.owner, people, values)


def _trial(snapshot: TrialSnapshot) -> Subject:
    trial = snapshot.trial
    people = {"owner": snapshot.owner, "engineer": trial.engineer}
    values = wording.values_of_trial(snapshot)
    return Subject(trial.opportunity, trial.account, snapshot.region, trial.engineer or snapshot.owner, people, values)


async def _write(
    connection: AsyncConnection, rule: Rule, about: Subject, changes: Sequence[Change], now: datetime
) -> None:
    """Episodes and events of one instance. Who is told of them, and when, is decided at the next look."""
    for _, group in groupby(changes, lambda change: change.number):
        told = [(change, _data(rule, about, change, now)) for change in group]
        last, snapshot = told[-1]
        await _save_episode(connection, snapshot, last, now)  # at once as it ends: a later one may be open beside it
        await outbox.add_events(connection, [NewEvent(change.kind, data) for change, data in told])


def _data(rule: Rule, about: Subject, change: Change, now: datetime) -> AlertData:
    return AlertData(
        episode=episode_id(rule.name, about.id, change.number),
        number=change.number,
        rule=rule.name,
        subject_kind=rule.subject_kind,
        subject=about.id,
        account=about.account,
        region=about.region,
        severity=rule.severity,
        state=change.state,
        reason=change.reason,
        since=change.since,
        fired_at=change.fired_at,
        detected_at=now,
        owner=about.owner,
        summary=wording.summary(rule.name, about.id, about.values, change.state, change.reason),
        next_step=wording.NEXT_STEPS[rule.name],
        values=about.values | {"about": about.people},
    )


async def _save_episode(connection: AsyncConnection, data: AlertData, change: Change, now: datetime) -> None:
    moved = {
        "state": change.state,
        "reason": change.reason,
        "since": change.since,
        "fired_at": change.fired_at,
        "ended_at": change.ended_at,
        "account": data.account,
        "severity": data.severity,
        "look_at": now,
        "data": data.model_dump(mode="json"),
    }
    first = moved | {
        "id": data.episode,
        "rule": data.rule,
        "subject": data.subject,
        "number": data.number,
        "detected_at": data.detected_at,
    }
    statement = upsert(episode).values(first)
    await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=moved))
