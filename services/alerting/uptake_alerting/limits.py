"""Trials and installations: no closed days, only limits that the clock reaches. Commits nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.kpi import InstanceSnapshot
from uptake_alerting import recording, store
from uptake_alerting.clocks import Asked, of_instance, of_trial
from uptake_alerting.episodes import outcome_of_clock, reconcile
from uptake_alerting.recording import Finding
from uptake_alerting.rules import Rule, Rules
from uptake_alerting.store import Instance

DUE_LIMIT = 500  # instances that one transaction of a tick looks at


async def tick(connection: AsyncConnection, rules: Rules, now: datetime) -> int:
    """How many instances were looked at; as many as the limit: there may be more."""
    trials = await _due(connection, rules.of("trial"), now)
    await _evaluate(connection, rules, trials, await _trials(connection, trials), now)
    others = await _due(connection, rules.of("instance"), now)
    await _evaluate(connection, rules, others, await _instances(connection, others), now)
    return max(len(trials), len(others))


async def evaluate_trials(connection: AsyncConnection, rules: Rules, trials: Collection[str], now: datetime) -> None:
    locked = await store.lock(connection, [rule.name for rule in rules.of("trial")], trials)
    await _evaluate(connection, rules, locked, await _trials(connection, locked), now)


async def evaluate_instances(
    connection: AsyncConnection, rules: Rules, instances: Collection[str], now: datetime
) -> None:
    locked = await store.lock(connection, [rule.name for rule in rules.of("instance")], instances)
    await _evaluate(connection, rules, locked, await _instances(connection, locked), now)


async def _due(connection: AsyncConnection, rules: Sequence[Rule], now: datetime) -> list[Instance]:
    return await store.lock_due(connection, [rule.name for rule in rules], now, DUE_LIMIT)


async def _evaluate(
    connection: AsyncConnection, rules: Rules, locked: Sequence[Instance], cases: Mapping[str, Asked], now: datetime
) -> None:
    stored = await store.load_episodes(connection, [(found.rule, found.subject) for found in locked])
    evaluated, findings = [], []
    for found in locked:
        rule, case, known = rules.by_name[found.rule], cases[found.subject], stored.get((found.rule, found.subject), [])
        moved = case.moved(next((one for one in known if one.is_open), None))
        outcome = outcome_of_clock(case.clock(rule), found.state, moved, rule.severity, now)
        if changes := reconcile(known, outcome, now):
            findings.append(Finding(rule, [(change, case.about) for change in changes]))
        evaluated.append((replace(found, state=outcome.state), outcome.wake_at))
    await recording.write(connection, findings, now)
    await store.save_instances(connection, evaluated)


async def _trials(connection: AsyncConnection, locked: Sequence[Instance]) -> dict[str, Asked]:
    snapshots = await store.load_trials(connection, {found.subject for found in locked})
    return {name: of_trial(snapshot) for name, snapshot in snapshots.items()}


async def _instances(connection: AsyncConnection, locked: Sequence[Instance]) -> dict[str, Asked]:
    snapshots = await store.load_subjects(connection, InstanceSnapshot, {found.subject for found in locked})
    return {name: of_instance(snapshot) for name, snapshot in snapshots.items()}
