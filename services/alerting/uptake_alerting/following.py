"""Brings all subjects under rules that are new, changed or gone, in small transactions. Decides nothing about them."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.messages.kpi import InstanceSnapshot
from uptake_alerting import closed_days, limits, quarters, recording, store
from uptake_alerting.rules import Rule, Rules

ACCOUNTS_AT_A_TIME = 200

log = structlog.get_logger(__name__)


async def follow(engine: AsyncEngine, rules: Rules, now: datetime) -> list[str]:
    """The rules that had to be followed. What a crash interrupts is begun again, and comes out the same."""
    async with engine.connect() as connection:
        known = await store.fingerprints(connection)
        firing = await store.rules_of_open(connection)
    changed = [rule for rule in rules.alerts if known.get(rule.name) != rule.fingerprint]
    gone = sorted((known.keys() | firing) - rules.by_name.keys())  # a replica may have opened one meanwhile
    for name in gone:
        async with engine.begin() as connection:
            await recording.close_rule(connection, name, now)
            await store.forget_rule(connection, name)
    for rule in changed:
        async with engine.begin() as connection:  # as if it had always been so, over the days that are kept
            await recording.close_rule(connection, rule.name, now, but=rule.subject_kind)
            await store.forget_checkpoints(connection, rule.name)
    if changed:
        await _evaluate(engine, rules, changed, now)
    for rule in changed:
        async with engine.begin() as connection:
            await store.save_fingerprint(connection, rule.name, rule.fingerprint)
    if changed or gone:
        log.info("rules followed", changed=[rule.name for rule in changed], removed=gone)
    return [*(rule.name for rule in changed), *gone]


async def _evaluate(engine: AsyncEngine, rules: Rules, changed: Sequence[Rule], now: datetime) -> None:
    of_accounts = [rule for rule in changed if rule.subject_kind == "account"]
    accounts, last = True, ""
    while of_accounts and accounts:
        async with engine.begin() as connection:
            found = await store.accounts_after(connection, last, ACCOUNTS_AT_A_TIME)
            await store.lock(connection, [store.SUBJECT], found)
            await closed_days.evaluate(connection, of_accounts, {}, found, now, orphaned="rule_changed")
        accounts, last = bool(found), found[-1] if found else last
    others = {str(rule.subject_kind) for rule in changed}
    async with engine.begin() as connection:
        await _evaluate_others(connection, rules, others, now)


async def _evaluate_others(connection: AsyncConnection, rules: Rules, kinds: set[str], now: datetime) -> None:
    if "trial" in kinds:
        await limits.evaluate_trials(connection, rules, await store.all_trials(connection), now)
    if "instance" in kinds:
        found = await store.load_subjects(connection, InstanceSnapshot, None)
        await limits.evaluate_instances(connection, rules, found, now)
    if "team" in kinds:
        await quarters.evaluate(connection, rules.of("team"), now)
