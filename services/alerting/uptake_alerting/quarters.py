"""The team's running quarter: judged as it stands, whenever it moves. Commits nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.kpi import TeamSnapshot
from uptake_alerting import about, recording, store
from uptake_alerting.episodes import Ending, Outcome, reconcile
from uptake_alerting.fold import Span, State
from uptake_alerting.judging import judge_team
from uptake_alerting.recording import Finding
from uptake_alerting.rules import Rule


async def evaluate(connection: AsyncConnection, rules: Sequence[Rule], now: datetime) -> None:
    """An alert of a quarter that is over ends with it."""
    names = list(await store.load_subjects(connection, TeamSnapshot, None))
    locked = await store.lock(connection, [rule.name for rule in rules], names)
    of_quarter = await store.load_subjects(connection, TeamSnapshot, names)  # as whoever held the lock has left them
    running = max(of_quarter, default=None)
    stored = await store.load_episodes(connection, [(found.rule, found.subject) for found in locked])
    by_name = {rule.name: rule for rule in rules}
    findings, evaluated = [], []
    for found in locked:
        snapshot, known = of_quarter[found.subject], stored.get((found.rule, found.subject), [])
        outcome = _outcome(by_name[found.rule], snapshot, found.state, is_over=found.subject != running)
        if changes := reconcile(known, outcome, now):
            findings.append(Finding(by_name[found.rule], [(change, about.of_team(snapshot)) for change in changes]))
        evaluated.append((replace(found, state=outcome.state), None))
    await recording.write(connection, findings, now)
    await store.save_instances(connection, evaluated)


def _outcome(rule: Rule, snapshot: TeamSnapshot, before: State, *, is_over: bool) -> Outcome:
    """`before` remembers when it began, also of an alert that somebody has closed by hand."""
    verdict = judge_team(rule, snapshot)
    if is_over:
        return Outcome(State(), (), orphan=Ending("closed", "quarter_over"))
    if verdict.kind == "breach":
        began = before.fired_at or snapshot.published_at
        since = before.since or began.date()
        state = State("firing", since=since, fired_at=began, severity=verdict.severity)
        return Outcome(state, (Span(since, began, severity=verdict.severity),))
    if verdict.kind == "clear":
        return Outcome(State(), (), orphan=Ending("resolved", verdict.reason))
    return Outcome(before, (), orphan=None)
