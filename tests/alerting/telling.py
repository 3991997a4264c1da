"""Alerts, what was told of them and who heard it, in memory: planning is the real one, the tables are lists.

`look` stands for a transaction of the dispatcher, `send` for one of the courier. What a destination has seen is kept
apart from what the tables say about it, for a crash may come between.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta

from uptake_alerting.breaker import Breaker, held
from uptake_alerting.cases import Case, Plan, Routed, is_flapping
from uptake_alerting.claims import LEASE
from uptake_alerting.contacts import Book
from uptake_alerting.gates import UNTOUCHED, Gate, Handling, gates
from uptake_alerting.outbox import delivery_id
from uptake_alerting.planning import plan
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes
from uptake_alerting.silences import Matcher, Silence, Silences
from uptake_alerting.threads import OPENERS, Told
from uptake_alerting.whom import About

MONDAY = datetime(2026, 5, 4, 10, tzinfo=UTC)
INHIBITS = {"telemetry-silent": ("adoption-below-target",)}
SEVERITY = {"telemetry-silent": "warning", "adoption-below-target": "warning", "account-dormant": "critical"}
PEOPLE = ("ce-1", "ce-2", "on-call", "boss")


def roster(*away: str) -> Roster:
    """Four people who work Monday to Friday, 9 to 17 UTC; `away` are no longer with us."""
    people = [{"name": name, "active": name not in away, "manager": "boss"} for name in PEOPLE]
    layer = {"people": ["on-call"], "start": "2026-01-05"}
    return Roster.model_validate(
        {
            "people": people,
            "regions": {"emea": {"time_zone": "UTC", "rotation": "emea"}},
            "rotations": {"emea": {"time_zone": "UTC", "layers": [layer]}},
        }
    )


def routes(*channels: str, default: tuple[str, ...] = ("ops",), types: str = "webhook") -> Routes:
    """A channel for each person of the same name, and `ops` for nobody in particular."""
    made = {name: {"type": types, "url": f"http://{name}.test/", "serves": [name]} for name in channels}
    return Routes.model_validate({"channels": made, "default": [d for d in default if d in made], "operators": []})


EVERYBODY = routes(*PEOPLE, "ops")


@dataclass
class Row:
    """A delivery, and how often it left us."""

    told: Told
    due_at: datetime
    copies: int = 0
    doubts: int = 0  # attempts of which nobody knows whether they arrived


@dataclass
class Alert:
    id: str
    rule: str
    account: str
    severity: str
    detected_at: datetime
    look_at: datetime | None
    owner: str = "ce-1"
    ended_at: datetime | None = None
    assignee: str | None = None
    handling: Handling = UNTOUCHED
    before: tuple[Gate, ...] = ()
    routed: Routed | None = None
    escalation: int = 0
    flapping: bool = False
    unheard: bool = False
    rows: dict[str, Row] = field(default_factory=dict)


@dataclass
class World:
    """`heard` is what each destination has seen, in order: (alert, kind, delivery)."""

    now: datetime = MONDAY
    roster: Roster = field(default_factory=roster)
    routes: Routes = EVERYBODY
    alerts: dict[str, Alert] = field(default_factory=dict)
    silences: list[Silence] = field(default_factory=list)
    breakers: list[Breaker] = field(default_factory=list)
    heard: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    digests: dict[str, list[str]] = field(default_factory=dict)  # carrier -> rows
    sent_after_the_end: list[str] = field(default_factory=list)

    def fire(self, rule: str = "adoption-below-target", account: str = "acme", owner: str = "ce-1") -> Alert:
        number = sum(a.rule == rule and a.account == account for a in self.alerts.values())
        earlier = [a.detected_at for a in self.alerts.values() if (a.rule, a.account) == (rule, account)]
        made = Alert(f"{rule}/{account}/{number}", rule, account, SEVERITY[rule], self.now, self.now, owner)
        made.flapping = is_flapping(self.now, earlier)
        self.alerts[made.id] = made
        self.wake()
        return made

    def end(self, alert: Alert) -> None:
        alert.ended_at = self.now
        self.wake()

    def wake(self) -> None:
        for alert in self.alerts.values():
            alert.look_at = self.now

    def firing(self, account: str) -> set[str]:
        return {a.rule for a in self.alerts.values() if a.account == account and a.ended_at is None}

    def case(self, alert: Alert) -> Case:
        inhibitor = next((r for r in self.firing(alert.account) if alert.rule in INHIBITS.get(r, ())), None)
        told = tuple(row.told for row in alert.rows.values())
        known = any(t.kind in OPENERS and not t.digest and t.status in ("sending", "delivered") for t in told)
        storm = held([b for b in self.breakers if b.rule == alert.rule], alert.detected_at, known, self.now)
        labels = {"account": alert.account, "rule": alert.rule}
        shut = gates(
            alert.handling,
            silences=Silences(self.silences).covering(labels, self.now),
            inhibited_by=inhibitor,
            held_until=storm.until,
            now=self.now,
        )
        about = About(
            alert.rule, ("owner",), alert.account, "emea", owner=alert.owner, manager="boss", assignee=alert.assignee
        )
        return Case(
            alert.id,
            alert.rule,
            alert.severity,
            about,
            ended=alert.ended_at is not None,
            told=told,
            gates=shut,
            before=alert.before,
            handling=alert.handling,
            routed=alert.routed,
            escalation=alert.escalation,
            flapping=alert.flapping,
            released=storm.released,
        )

    def plan(self, alert: Alert) -> Plan:
        return plan(self.case(alert), Book(self.roster, self.routes, self.now, time(8)), self.now)

    def look(self) -> int:
        """What is due, and once more: the second replica finds nothing to add."""
        due = [a for a in self.alerts.values() if a.look_at is not None and a.look_at <= self.now]
        for alert in due:
            self.write(alert, self.plan(alert))
            again = self.plan(alert)
            assert (again.wanted, again.drop) == ((), ()), f"a second look finds more: {again}"
        return len(due)

    def write(self, alert: Alert, planned: Plan) -> None:
        for id_, reason in planned.drop:
            row = alert.rows[id_]
            row.told = replace(row.told, status="skipped", reason=reason, done_at=self.now, digest=False)
        for wanted in planned.wanted:
            to = wanted.recipient
            id_ = delivery_id(alert.id, wanted.kind, to.channel, to.destination, wanted.sequence)
            old = alert.rows.get(id_)
            assert old is None or old.told.status in ("skipped", "failed"), f"{id_} is told already"
            told = Told(
                id_,
                wanted.kind,
                wanted.sequence,
                to.channel,
                to.channel_type,
                to.destination,
                to.person,
                "pending" if wanted.mode == "now" else "collected",
                old.told.created_at if old is not None and wanted.kind == "terminal" else self.now,
                ambiguous=old is not None and old.told.ambiguous,
                severity=alert.severity,
                digest=wanted.mode == "digest",
                why=to.why,
            )
            alert.rows[id_] = replace(old, told=told, due_at=wanted.due_at) if old else Row(told, wanted.due_at)
        alert.look_at, alert.before, alert.escalation = planned.look_at, planned.gates, planned.escalation
        alert.unheard = planned.unheard
        if planned.chosen is not None:
            alert.routed = Routed(alert.owner, alert.assignee)

    def due(self) -> list[tuple[Alert, Row]]:
        """What a courier may claim: pending ones, and those whose lease ended."""
        rows = [(a, r) for a in self.alerts.values() for r in a.rows.values()]
        return [(a, r) for a, r in rows if r.told.status in ("pending", "sending") and r.due_at <= self.now]

    def send(self, alert: Alert, row: Row, outcome: str = "ok") -> None:
        """One claim of a courier. `crash`: it arrived, nobody wrote it down; `lost`: neither; `hang`: it may have."""
        ambiguous = row.told.ambiguous or row.told.status == "sending"
        over = alert.ended_at is not None and row.told.kind != "terminal"
        if over and not (ambiguous and row.told.kind in OPENERS):
            return self._record(alert, row, "skipped", "episode_ended", ambiguous)
        if row.told.channel not in self.routes.channels and row.told.kind != "terminal":
            return self._record(alert, row, "skipped", "channel_removed", ambiguous)
        if over and not ambiguous:
            self.sent_after_the_end.append(row.told.id)
        if outcome in ("ok", "crash", "hang"):
            self._arrive(alert, row)
        if outcome in ("crash", "lost"):
            row.doubts += 1
            row.told = replace(row.told, status="sending", ambiguous=ambiguous)
            row.due_at = self.now + LEASE
        elif outcome == "hang":
            row.doubts += 1
            row.told = replace(row.told, status="pending", ambiguous=True)
            row.due_at = self.now + timedelta(minutes=1)
        elif outcome == "5xx":
            row.told = replace(row.told, status="pending", ambiguous=ambiguous)
            row.due_at = self.now + timedelta(minutes=1)
            alert.look_at = self.now
        else:
            self._record(alert, row, "delivered" if outcome == "ok" else "failed", outcome, ambiguous)

    def _arrive(self, alert: Alert, row: Row) -> None:
        row.copies += 1
        seen = self.heard.setdefault(row.told.channel, [])
        if all(id_ != row.told.id for _, _, id_ in seen):  # the receiver knows the idempotency key
            seen.append((alert.id, row.told.kind, row.told.id))

    def _record(self, alert: Alert, row: Row, status: str, reason: str, ambiguous: bool) -> None:
        row.told = replace(row.told, status=status, reason=reason, done_at=self.now, ambiguous=ambiguous)
        alert.look_at = self.now

    def make_digests(self) -> None:
        """All that was collected for a destination goes as one, once something of it is due."""
        collected: dict[str, list[tuple[Alert, Row]]] = {}
        for alert in self.alerts.values():
            for row in alert.rows.values():
                if row.told.status == "collected":
                    collected.setdefault(row.told.channel, []).append((alert, row))
        for channel, rows in collected.items():
            if min(row.due_at for _, row in rows) <= self.now and channel in self.routes.channels:
                self.digests.setdefault(channel, []).append(f"{len(rows)} at {self.now:%d %H:%M}")
                for alert, row in rows:
                    self._arrive(alert, row)
                    row.told = replace(row.told, digest=True, carried=True)
                    self._record(alert, row, "delivered", "ok", False)

    def settle(self) -> None:
        """Everything that is due now is looked at and sent, and everything works."""
        for _ in range(200):
            busy = self.look()
            for alert, row in self.due():
                self.send(alert, row)
                busy += 1
            self.make_digests()
            if not busy and not any(a.look_at is not None and a.look_at <= self.now for a in self.alerts.values()):
                return
        raise AssertionError("it never comes to rest")

    def wait(self, **span: float) -> None:
        self.now += timedelta(**span)

    def live_through(self, days: int) -> None:
        """From one instant at which something comes due to the next."""
        until = self.now + timedelta(days=days)
        self.settle()
        while self.now < until:
            rows = [r for a in self.alerts.values() for r in a.rows.values() if r.told.is_open]
            due = [r.due_at for r in rows] + [a.look_at for a in self.alerts.values() if a.look_at is not None]
            self.now = min([until, *(at for at in due if at > self.now)])
            self.settle()

    def ack(self, alert: Alert, by: str = "ce-1", days: float = 7) -> None:
        alert.handling = replace(alert.handling, acked_by=by, ack_until=self.now + timedelta(days=days))
        alert.look_at = self.now

    def silence(self, account: str, hours: float) -> None:
        matcher = Matcher("account", "=", account)
        end = self.now + timedelta(hours=hours)
        self.silences.append(Silence(f"s{len(self.silences)}", (matcher,), self.now, end))
        self.wake()

    def kinds(self, channel: str, alert: Alert | None = None) -> list[str]:
        seen = self.heard.get(channel, [])
        return [kind for id_, kind, _ in seen if alert is None or id_ == alert.id]
