"""The team's running quarter: judged as it stands, whenever it moves. Commits nothing."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.kpi import TeamSnapshot
from uptake_alerting import about, recording, store
from uptake_alerting.episodes import Ending, Episode, Outcome, reconcile
from uptake_alerting.fold import Span, State
from uptake_alerting.judging import judge_team
from uptake_alerting.recording import Finding
from uptake_alerting.rules import Rule


async def evaluate(connection: AsyncConnection, rules: Sequence[Rule], now: datetime) -> None:
    """An alert of a quarter that is over ends with it."""
    snapshots = (await store.load_subjects(connection, TeamSnapshot, None)).values()
    running = max((snapshot.team.quarter for snapshot in snapshots), default=None)
    locked = await store.lock(connection, [r.name for r in rules], [snapshot.team.quarter for snapshot in snapshots])
    stored = await store.load_episodes(connection, [(found.rule, found.subject) for found in locked])
    by_name, of_quarter = {rule.name: rule for rule in rules}, {s.team.quarter: s for s in snapshots}
    findings = []
    for found in locked:
        snapshot, known = of_quarter[found.subject], stored.get((found.rule, found.subject), [])
        outcome = _outcome(by_name[found.rule], snapshot, known, is_over=found.subject != running)
        if changes := reconcile(known, outcome, now):
            findings.append(Finding(by_name[found.rule], [(change, about.of_team(snapshot)) for change in changes]))
    await recording.write(connection, findings, now)


def _outcome(rule: Rule, snapshot: TeamSnapshot, known: Sequence[Episode], *, is_over: bool) -> Outcome:
    verdict, opened = judge_team(rule, snapshot), next((one for one in known if one.is_open), None)
    if is_over:
        return Outcome(State(), (), orphan=Ending("closed", "quarter_over"))
    if verdict.kind == "breach":
        began = snapshot.published_at if opened is None else opened.fired_at
        since = began.date() if opened is None else opened.since
        return Outcome(State("firing", since=since), (Span(since, began, severity=verdict.severity),))
    if verdict.kind == "clear":
        return Outcome(State(), (), orphan=Ending("resolved", verdict.reason))
    return Outcome(State(), (), orphan=None)
