"""Folds the closed days of accounts under all rules at once, and finds what changed. Commits nothing.

An account has one row of its own that says how far it was folded; a rule has a row for it only while it is not `ok`.
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import Severity
from uptake.messages.kpi import AccountDay
from uptake_alerting import about, recording, store
from uptake_alerting.about import About
from uptake_alerting.episodes import Change, Ending, Outcome, reconcile
from uptake_alerting.fold import SAMPLE_DAYS, Judged, State, fold
from uptake_alerting.judging import judge
from uptake_alerting.recording import Finding, Pending
from uptake_alerting.rules import Rule
from uptake_alerting.store import SUBJECT, Instance

_WEEK = 7
_NEVER = State()


class _Waiting(NamedTuple):
    """A condition that holds since a day, and has to hold longer."""

    account: str
    rule: Rule
    since: date
    severity: Severity | None


async def evaluate(
    connection: AsyncConnection,
    rules: Sequence[Rule],
    fresh: Mapping[str, Sequence[AccountDay]],
    whole: Collection[str],
    now: datetime,
    orphaned: str = "data_revised",
) -> None:
    """`fresh`: by account, days after all that were folded. `whole`: accounts to fold from their checkpoint on.
    `orphaned`: why an alert ends that no firing stands behind any more."""
    accounts = sorted(fresh.keys() | set(whole))
    known = await store.load_instances(connection, [*(rule.name for rule in rules), SUBJECT], accounts)
    samples = await store.load_samples(connection, whole)
    opened = await store.open_of(connection, [rule.name for rule in rules], accounts)
    rows: list[Instance] = []
    outcomes: list[tuple[str, Rule, Outcome]] = []
    pending: list[_Waiting] = []
    newest: dict[str, date] = {}
    for account in accounts:
        own = known.get((SUBJECT, account), Instance(SUBJECT, account, _NEVER, _NEVER))
        days = _after(own.checkpoint.day, samples.get(account, ())) if account in whole else fresh[account]
        if not days:
            continue
        for rule in rules:
            judged, before = _judged(rule, days), known.get((rule.name, account))
            is_open = (rule.name, account) in opened
            if before is None and not is_open and not any(one.verdict.kind == "breach" for one in judged):
                continue  # it was well, and is
            before = before or Instance(rule.name, account, _NEVER, _NEVER)
            state, spans = fold(before.checkpoint if account in whole else before.state, judged, rule)
            after = replace(before, state=_slim(state))
            if after != before:
                rows.append(after)
            if spans or is_open:
                outcomes.append((account, rule, Outcome(state, spans, Ending("closed", orphaned))))
            if state.condition == "pending" and state.since is not None and before.state.since != state.since:
                pending.append(_Waiting(account, rule, state.since, judged[-1].verdict.severity))
        newest[account] = max(days[-1].kpis.as_of, own.state.day or date.min)
        rows.append(replace(own, state=State(day=newest[account])))
    await _tell(connection, outcomes, pending, newest, now)
    await store.save_instances(connection, [(row, None) for row in rows])
    await _move_checkpoints(connection, rules, newest)


async def _tell(
    connection: AsyncConnection,
    outcomes: Sequence[tuple[str, Rule, Outcome]],
    pending: Sequence[_Waiting],
    newest: Mapping[str, date],
    now: datetime,
) -> None:
    stored = await store.load_episodes(connection, [(rule.name, account) for account, rule, _ in outcomes])
    changed = [
        (account, rule, changes)
        for account, rule, outcome in outcomes
        if (changes := reconcile(stored.get((rule.name, account), []), outcome, now))
    ]
    past = {account for account, _, changes in changed if any(_is_past(one, newest[account]) for one in changes)}
    histories = await store.load_samples(connection, past)
    recent = ({account for account, *_ in changed} | {one.account for one in pending}) - past
    histories |= await store.load_recent(connection, {name: newest[name] for name in sorted(recent)})
    findings = [Finding(rule, _as_met(changes, histories[account])) for account, rule, changes in changed]
    await recording.write(connection, findings, now)
    waiting = (Pending(one.rule, about.of_account(histories[one.account]), one.since, one.severity) for one in pending)
    await recording.write_pending(connection, waiting, now)


def _is_past(change: Change, newest: date) -> bool:
    """It was over before the newest closed day, and is told as it was then."""
    return change.ended_at is not None and change.ended_at.date() < newest


def _as_met(changes: Sequence[Change], history: Sequence[AccountDay]) -> list[tuple[Change, About]]:
    """Each change with the account as it was then: at the end of an episode, and at the beginning of one that ended
    before anybody could look; now while it lasts."""
    over = {one.number for one in changes if one.ended_at is not None}
    at = [one.ended_at or (one.fired_at if one.number in over else None) for one in changes]
    return [(one, about.of_account(_until(history, then))) for one, then in zip(changes, at, strict=True)]


def _until(history: Sequence[AccountDay], at: datetime | None) -> Sequence[AccountDay]:
    """The closed days that had come by then. The oldest kept one, where none had."""
    if at is None:
        return history
    return [one for one in history if one.closed_at is not None and one.closed_at <= at] or history[:1]


def _judged(rule: Rule, days: Sequence[AccountDay]) -> list[Judged]:
    # A snapshot that does not say when its day closed is no sample: samples are closed days.
    return [Judged(s.kpis.as_of, s.closed_at, judge(rule, s)) for s in days if s.closed_at is not None]


def _slim(state: State) -> State:
    """Of an account that is well there is nothing to remember: its own row knows the day."""
    return _NEVER if state.condition == "ok" else state


def _after(checkpoint: date | None, days: Sequence[AccountDay]) -> Sequence[AccountDay]:
    """What arrives of days that were folded in for good changes nothing any more."""
    return days if checkpoint is None else [one for one in days if one.kpis.as_of > checkpoint]


async def _move_checkpoints(connection: AsyncConnection, rules: Sequence[Rule], newest: Mapping[str, date]) -> None:
    """Once a week, on a day of its own for each account, fold in what is too old to change any more."""
    due = {account: day - timedelta(days=SAMPLE_DAYS) for account, day in newest.items() if _is_its_day(account, day)}
    old = await store.load_samples(connection, due, before=due)
    if not old:
        return
    known = await store.load_instances(connection, [*(rule.name for rule in rules), SUBJECT], old)
    moved: list[tuple[Instance, datetime | None]] = []
    for account, arrived in old.items():
        own = known[SUBJECT, account]
        days = _after(own.checkpoint.day, arrived)
        if days:
            moved.append((replace(own, checkpoint=State(day=days[-1].kpis.as_of)), None))
        for rule in rules:
            found = known.get((rule.name, account), Instance(rule.name, account, _NEVER, _NEVER))
            checkpoint = _slim(fold(found.checkpoint, _judged(rule, days), rule)[0])
            if checkpoint != found.checkpoint:
                moved.append((replace(found, checkpoint=checkpoint), None))
    await store.save_instances(connection, moved)
    await store.drop_samples(connection, {account: days[-1].kpis.as_of for account, days in old.items()})


def _is_its_day(account: str, day: date) -> bool:
    return (day.toordinal() + zlib.crc32(account.encode())) % _WEEK == 0
