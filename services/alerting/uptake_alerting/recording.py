"""Writes what an evaluation found: episodes with their events, hundreds at once. Decides and commits nothing."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.alerts import AlertData, AlertState, Severity
from uptake_alerting import handling_store, outbox, store, wording
from uptake_alerting.about import About
from uptake_alerting.episodes import Change, episode_id
from uptake_alerting.outbox import NewEvent
from uptake_alerting.rules import Rule
from uptake_alerting.tables import episode

_ROWS = 500  # of one statement: PostgreSQL takes 32,767 parameters


class Finding(NamedTuple):
    """What changed of one instance, each with its subject as the change met it; those of one episode stand together."""

    rule: Rule
    changes: Sequence[tuple[Change, About]]


class Pending(NamedTuple):
    """A condition that began to hold on `since`, and has not held long enough."""

    rule: Rule
    about: About
    since: date
    severity: Severity | None


async def write(connection: AsyncConnection, findings: Iterable[Finding], now: datetime) -> None:
    """Who is told of them, and when, is decided at the next look.

    An episode that ends is written before a later one of its instance begins: one at most is open.
    """
    rows: list[dict[str, Any]] = []
    events: list[NewEvent] = []
    worse: list[AlertData] = []
    for rule, changes in findings:
        for _, group in groupby(changes, lambda pair: pair[0].number):
            told = [(change, _data(rule, about, change, now)) for change, about in group]
            rows.append(_row(told, now))
            events += [NewEvent(change.kind, data) for change, data in told]
            worse += [data for change, data in told if change.worse]
    # Ended ones first, and of one instance by number: a statement checks "one open" row by row.
    rows.sort(key=lambda row: (row["ended_at"] is None, row["rule"], row["subject"], row["number"]))
    for start in range(0, len(rows), _ROWS):
        await _save(connection, rows[start : start + _ROWS])
    await outbox.add_events(connection, events)
    await handling_store.drop_acks(connection, worse, now)


async def write_pending(connection: AsyncConnection, pending: Iterable[Pending], now: datetime) -> None:
    """They are no alerts yet: who subscribes sees them come, under the id of the episode that may follow."""
    known = list(pending)
    numbers = await store.last_numbers(connection, [(one.rule.name, one.about.subject) for one in known])
    told = []
    for one in known:
        told.append(
            _told(
                one.rule,
                one.about,
                now,
                number=numbers.get((one.rule.name, one.about.subject), 0) + 1,
                state="pending",
                reason="pending",
                since=one.since,
                severity=one.severity,
            )
        )
    await outbox.add_pending(connection, told)


async def close_rule(connection: AsyncConnection, name: str, now: datetime, but: str | None = None) -> None:
    """Of a rule that is gone, everything ends, and quietly; `but` of one kind of subject."""
    ended = {"state": "closed", "reason": "rule_removed", "detected_at": now}
    for data in await store.open_data(connection, name):
        if data.subject_kind == but:
            continue
        said = wording.summary(data.rule, data.subject, data.values, "closed", "rule_removed", data.annotations)
        over = data.model_copy(update=ended | {"summary": said})
        moved = {"state": "closed", "reason": "rule_removed", "ended_at": now, "look_at": now}
        values = moved | {"data": over.model_dump(mode="json")}
        await connection.execute(update(episode).where(episode.c.id == data.episode).values(values))
        await outbox.add_events(connection, [NewEvent("closed", over)])


def _row(told: Sequence[tuple[Change, AlertData]], now: datetime) -> dict[str, Any]:
    change, data = told[-1]
    return {
        "id": data.episode,
        "rule": data.rule,
        "subject": data.subject,
        "number": data.number,
        "detected_at": data.detected_at,
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


async def _save(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    statement = upsert(episode).values(rows)
    kept = ("id", "rule", "subject", "number", "detected_at")
    moved = {name: statement.excluded[name] for name in rows[0] if name not in kept}
    await connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=moved))


def _data(rule: Rule, about: About, change: Change, now: datetime) -> AlertData:
    return _told(
        rule,
        about,
        now,
        number=change.number,
        state=change.state,
        reason=change.reason,
        since=change.since,
        fired_at=change.fired_at,
        severity=change.severity,
    )


def _told(
    rule: Rule,
    about: About,
    now: datetime,
    *,
    number: int,
    state: AlertState,
    reason: str,
    since: date,
    fired_at: datetime | None = None,
    severity: Severity | None = None,
) -> AlertData:
    values = about.values | {"about": about.people, "terms": rule.terms}
    return AlertData(
        episode=episode_id(rule.name, about.subject, number),
        number=number,
        rule=rule.name,
        subject_kind=about.kind,
        subject=about.subject,
        account=about.account,
        region=about.region,
        severity=severity or rule.severity,
        state=state,
        reason=reason,
        since=since,
        fired_at=fired_at,
        detected_at=now,
        owner=about.owner,
        summary=wording.summary(rule.name, about.subject, values, state, reason, rule.annotations),
        next_step=rule.annotations.get("next_step") or wording.NEXT_STEPS.get(rule.name, ""),
        values=values,
        labels=about.labels | rule.labels,
        annotations=rule.annotations,
    )
