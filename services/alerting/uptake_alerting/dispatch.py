"""Looks at alerts that asked for it and writes down what planning wants told. Opens and ends no alert, sends nothing.

Any replica may do it: an alert is looked at under its lock. The transaction is the unit: notices, what was taken back,
events and the next look come together or not at all.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.loops import forever
from uptake.messages.alerts import AlertData
from uptake_alerting import breaker, digests, dispatch_store, meta, outbox, server_clock, storms
from uptake_alerting.cases import Case, Plan, Routed, case_of, is_flapping
from uptake_alerting.contacts import Book
from uptake_alerting.dispatch_store import Looked, about_of
from uptake_alerting.fold import ONE_SHOT
from uptake_alerting.gates import Gate, Handling, gates
from uptake_alerting.meta import PIPELINE_DOWN
from uptake_alerting.outbox import NewEvent
from uptake_alerting.planning import plan
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes
from uptake_alerting.rules import META_RULES, Role, Rule
from uptake_alerting.silences import Silences, labels_of
from uptake_alerting.threads import OPENERS, Told

POLL_S = 0.5
BATCH = 500  # alerts of one transaction
TELLING = ("held", "silenced", "inhibited")  # gates that are news to whoever follows ALERT

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class InForce:
    """The configuration of one look."""

    rules: Mapping[str, Rule]
    roster: Roster
    routes: Routes
    digest_time: time = time(8)

    def is_same_as(self, other: "InForce") -> bool:
        return self.rules is other.rules and self.roster is other.roster and self.routes is other.routes

    def rule(self, name: str) -> Rule | None:
        return self.rules.get(name) or META_RULES.get(name)

    def to(self, name: str) -> tuple[Role, ...]:
        rule = self.rule(name)
        return rule.to if rule is not None else ("owner",)

    def explained(self, data: AlertData, now: datetime) -> AlertData:
        """An event with who is the first to be told of its alert at that instant, and why."""
        assignee = (data.values.get("handling") or {}).get("assignee")
        about = about_of(data, self.to(data.rule), assignee)
        chosen = Book(self.roster, self.routes, now, self.digest_time).choose(about, 0, frozenset())
        return data.model_copy(update={"why": list(chosen.steps)})


@dataclass(frozen=True, slots=True)
class _Known:
    """What the tables say about a batch of alerts."""

    told: Mapping[str, Sequence[Told]]
    silences: Silences
    firing: Mapping[str | None, set[str]]
    earlier: Mapping[str, Sequence[datetime]]
    breakers: Mapping[str, Sequence[breaker.Breaker]]


class Dispatch:
    """One replica's loop. `in_force` says what holds now; the same objects again mean that nothing has changed."""

    def __init__(self, engine: AsyncEngine, in_force: Callable[[], InForce], settle_s: float) -> None:
        """`settle_s`: how long a new alert waits for its first look, so that a storm is seen before it is told."""
        self._engine, self._in_force = engine, in_force
        self._settle = timedelta(seconds=settle_s)
        self._seen: InForce | None = None

    async def run(self) -> None:
        """Until cancelled."""

        async def step() -> float:
            return 0.0 if await self.step(await server_clock.ask(self._engine)) else POLL_S

        await forever("planning notices", step)

    async def step(self, now: datetime) -> int:
        """How many alerts were looked at and digests made; 0: nothing is due."""
        in_force = self._in_force()
        await self._wake_after_a_change(in_force, now)
        async with self._engine.begin() as connection:
            await meta.watch_pipeline(connection, now)
            await storms.release_overdue(connection, now)
            gathering = await storms.trip(connection, now, self._settle)
        async with self._engine.begin() as connection:
            looked = await look(connection, in_force, now, self._settle, gathering)
        async with self._engine.begin() as connection:
            await _wake_inhibited(connection, looked, in_force, now)
        async with self._engine.begin() as connection:
            made = await digests.make(connection, now)
        return len(looked) + made

    async def _wake_after_a_change(self, in_force: InForce, now: datetime) -> None:
        """At the start too: files may have changed while nobody was here."""
        if self._seen is not None and self._seen.is_same_as(in_force):
            return
        async with self._engine.begin() as connection:
            await dispatch_store.wake(connection, now)
        self._seen = in_force


async def look(
    connection: AsyncConnection,
    in_force: InForce,
    now: datetime,
    settle: timedelta = timedelta(),
    gathering: Collection[str] = (),
) -> list[Looked]:
    """Plan the notices of the alerts that are due; which these were."""
    due = await dispatch_store.claim(connection, now, settle, gathering, BATCH)
    if not due:
        return []
    known = await _known(connection, due, now)
    contacts = Book(in_force.roster, in_force.routes, now, in_force.digest_time)
    cases = {one.id: _case(one, in_force, known, now) for one in due}
    plans = {id_: plan(case, contacts, now) for id_, case in cases.items()}
    await outbox.add_events(connection, [event for one in due for event in _news(one, plans[one.id], now)])
    await dispatch_store.write_dropped(connection, plans.values(), now)
    await dispatch_store.write_wanted(connection, plans, now)
    await dispatch_store.write_looks(connection, plans, {id_: case.about for id_, case in cases.items()})
    unheard = {id_: cases[id_] for id_, planned in plans.items() if planned.unheard}
    await meta.tell_undelivered(connection, due, unheard, contacts, now)
    if unheard:
        log.error(
            "alerts that reach nobody", undeliverable=len(unheard), hint="give routes.yml a channel and a default"
        )
    return due


async def _known(connection: AsyncConnection, due: Sequence[Looked], now: datetime) -> _Known:
    ids = [one.id for one in due]
    accounts = {one.account for one in due if one.account is not None}
    return _Known(
        told=await dispatch_store.told(connection, ids),
        silences=Silences(await dispatch_store.silences(connection, now)),
        firing=await dispatch_store.open_rules(connection, accounts, [PIPELINE_DOWN]),
        earlier=await dispatch_store.earlier(connection, ids),
        breakers=await storms.load(connection, {one.rule for one in due}, now),
    )


def _case(one: Looked, in_force: InForce, known: _Known, now: datetime) -> Case:
    rule, row = in_force.rule(one.rule), one.row
    told = tuple(known.told.get(one.id, ()))
    apart = any(t.kind in OPENERS and not t.digest and _may_be_known(t) for t in told)
    storm = breaker.held(known.breakers.get(one.rule, ()), one.detected_at, apart, now)
    handling = Handling(row.acked_by, row.ack_until, row.snoozed_until)
    labels = labels_of(one.data, row.severity, rule.labels if rule else {})
    shut = gates(
        handling,
        silences=known.silences.covering(labels, now),
        inhibited_by=_inhibitor(one, in_force, known),
        held_until=storm.until,
        now=now,
    )
    return replace(
        case_of(one.id, rule, about_of(one.data, in_force.to(one.rule), row.assignee), row.severity),
        ended=row.ended_at is not None,
        one_shot=row.reason == ONE_SHOT,
        told=told,
        gates=shut,
        before=tuple(Gate.from_json(gate) for gate in row.gates),
        handling=handling,
        routed=Routed(row.route.get("owner"), row.route.get("assignee")) if row.route else None,
        escalation=row.escalation,
        flapping=one.rule not in META_RULES and is_flapping(row.fired_at, known.earlier.get(one.id, ())),
        released=storm.released,
        avoid=frozenset(tuple(pair) for pair in one.data.values.get("avoid", ())),
    )


def _may_be_known(told: Told) -> bool:
    return told.status in ("sending", "delivered") or (told.status == "pending" and told.ambiguous)


def _inhibitor(one: Looked, in_force: InForce, known: _Known) -> str | None:
    """The rule that explains this one away: of the same account, or of the whole pipeline."""
    if one.rule in META_RULES:
        return None
    if known.firing.get(None):
        return min(known.firing[None])
    others = known.firing.get(one.account, set()) if one.account is not None else set()
    return next((name for name in sorted(others) if _inhibits(in_force.rule(name), one.rule)), None)


def _inhibits(rule: Rule | None, other: str) -> bool:
    return rule is not None and other in rule.inhibits


async def _wake_inhibited(
    connection: AsyncConnection, looked: Sequence[Looked], in_force: InForce, now: datetime
) -> None:
    """What an alert that begins or ends explains away: seen anew at once, and by the next look in any case."""
    by_accounts: dict[tuple[str, ...], set[str]] = {}
    for one in looked:
        rule = in_force.rule(one.rule)
        begins_or_ends = one.row.ended_at is not None or one.row.route is None
        if rule is not None and begins_or_ends and rule.inhibits and one.account is not None:
            by_accounts.setdefault(tuple(rule.inhibits), set()).add(one.account)
        elif one.rule == PIPELINE_DOWN and begins_or_ends:
            await dispatch_store.wake(connection, now)
    for rules, accounts in by_accounts.items():
        await dispatch_store.wake(connection, now, accounts=accounts, rules=rules)


def _news(one: Looked, after: Plan, now: datetime) -> list[NewEvent]:
    """What the look itself brings to the alert's history."""
    found = []
    before = {gate["reason"] for gate in one.row.gates}
    for gate in after.gates:
        if gate.reason in TELLING and gate.reason not in before:
            found.append(NewEvent("suppressed", one.data, reason=gate.reason, at=now, note=gate.what))
    if after.escalation > one.row.escalation:
        found.append(NewEvent("escalated", one.data, reason=f"level_{after.escalation}", at=now))
    return found
