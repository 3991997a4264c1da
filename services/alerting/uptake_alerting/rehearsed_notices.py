"""What would be told of alerts, to whom and when: the same planning as in production, on a clock in memory. Pure.

No table and no sender: whatever would be sent is heard at once, and nobody acks anything. Storms are not held back.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from uptake.messages.alerts import Severity
from uptake_alerting.cases import Case, Plan, Routed, Wanted, case_of
from uptake_alerting.contacts import Book
from uptake_alerting.gates import UNTOUCHED, Gate, gates
from uptake_alerting.notices import NoticeKind
from uptake_alerting.planning import plan
from uptake_alerting.roster import Roster
from uptake_alerting.rules import Rule, Rules
from uptake_alerting.threads import Destination, Told
from uptake_alerting.whom import About, Routes

_LOOKS = 50  # at one instant; planning comes to rest after two or three


@dataclass(frozen=True, slots=True)
class Notice:
    """One that goes out at `at`, maybe as a line of a digest. `day`: the newest closed day as it was planned; of a
    trial, the vendor's today.
    """

    at: datetime
    day: date
    rule: str
    subject: str
    kind: NoticeKind
    person: str | None
    channel: str
    severity: Severity
    digest: bool


class Look(NamedTuple):
    """Something of an alert may be due."""

    alert: str


class Digest(NamedTuple):
    """What was collected for somebody may go."""

    to: Destination


@dataclass(slots=True)
class Alert:
    """One episode and what was told of it. `day`: on which day an instant counts for whoever reads of it."""

    id: str
    rule: Rule
    subject: str
    account: str
    about: About
    severity: Severity
    day: Callable[[datetime], date]
    flapping: bool
    ended: bool = False
    one_shot: bool = False
    told: dict[str, Told] = field(default_factory=dict)
    before: tuple[Gate, ...] = ()
    routed: Routed | None = None
    escalation: int = 0
    look_at: datetime | None = None


class Telling:
    """The alerts that are open or of which something is still to be told.

    `above`: by which an alert rises of which somebody has heard. `wake`: asks to be given the second at the first.
    `tell`: is given each notice once nothing takes it back any more.
    """

    def __init__(
        self,
        rules: Rules,
        roster: Roster,
        routes: Routes,
        above: Routes,
        wake: Callable[[datetime, Look | Digest], None],
        tell: Callable[[Notice], None],
    ) -> None:
        self._rules, self._roster, self._routes, self._above = rules.by_name, roster, routes, above
        self._wake, self._tell = wake, tell
        self.alerts: dict[str, Alert] = {}
        self._of_account: dict[str, set[str]] = defaultdict(set)  # ids of these
        self._touched: set[str] = set()
        self._collected: dict[Destination, dict[tuple[str, str], tuple[datetime, Notice]]] = defaultdict(dict)
        self._due: set[Destination] = set()

    def begin(self, alert: Alert) -> None:
        self.alerts[alert.id] = alert
        self._of_account[alert.account].add(alert.id)

    def moved(self, alert: Alert, *, began_or_ended: bool) -> None:
        """It is looked at anew; and so is what it explains away, when that begins or ends."""
        self._touched.add(alert.id)
        if began_or_ended:
            self._touched |= self._of_account[alert.account]

    def take(self, what: Look | Digest, now: datetime) -> None:
        if isinstance(what, Digest):
            self._due.add(what.to)
        elif (alert := self.alerts.get(what.alert)) is not None and alert.look_at == now:
            self._touched.add(alert.id)

    def settle(self, now: datetime) -> None:
        """Whatever is due is planned and told, until nothing more is."""
        for _ in range(_LOOKS):
            self._touched |= self._digest(now)
            if not self._touched:
                return
            touched, self._touched = sorted(self._touched), set()
            for id_ in touched:
                self._look(self.alerts[id_], now)
        raise AssertionError("planning does not come to rest")

    def end(self) -> None:
        """What was collected and not told by then counts too."""
        for waiting in filter(None, self._collected.values()):
            goes_at = min(due_at for due_at, _ in waiting.values())
            for _, notice in waiting.values():
                self._tell(replace(notice, at=goes_at))

    def _digest(self, now: datetime) -> set[str]:
        """What was collected for a destination goes when the first of it is due; whose alerts that moves."""
        due, self._due = self._due, set()
        moved = set()
        for to in due:
            waiting = self._collected[to]
            if not any(due_at <= now for due_at, _ in waiting.values()):
                continue
            for (id_, line), (_, notice) in self._collected.pop(to).items():
                told = self.alerts[id_].told
                told[line] = replace(told[line], status="delivered", done_at=now, carried=True)
                self._tell(replace(notice, at=now))
                moved.add(id_)
        return moved

    def _look(self, alert: Alert, now: datetime) -> None:
        routes = self._above if any(told.counts for told in alert.told.values()) else self._routes
        planned = plan(self._case(alert, now), Book(self._roster, routes, now), now)
        for id_, reason in planned.drop:
            told = alert.told[id_] = replace(
                alert.told[id_], status="skipped", reason=reason, done_at=now, digest=False
            )
            self._collected[told.channel, told.destination].pop((alert.id, id_), None)
        self._write(alert, planned, now)
        alert.before, alert.escalation = planned.gates, planned.escalation
        alert.look_at = None if self._waits_for_another(planned) else planned.look_at
        if planned.chosen is not None:
            alert.routed = Routed(alert.about.owner)
        if alert.look_at is not None:
            self._wake(alert.look_at, Look(alert.id))
        if planned.wanted or planned.drop:
            self._touched.add(alert.id)  # as the courier asks for another look
        elif alert.ended and alert.look_at is None and not any(t.is_open for t in alert.told.values()):
            del self.alerts[alert.id]
            self._of_account[alert.account].discard(alert.id)

    def _waits_for_another(self, planned: Plan) -> bool:
        """Production looks again every few minutes, since anything may have changed. Here only what is played does."""
        inhibited = bool(planned.gates) and all(gate.reason == "inhibited" for gate in planned.gates)
        return inhibited or (planned.unheard and not self._roster.people)

    def _write(self, alert: Alert, planned: Plan, now: datetime) -> None:
        for wanted in planned.wanted:
            to, digest = wanted.recipient, wanted.mode == "digest"
            id_ = f"{wanted.kind} {to.channel} {to.destination} {wanted.sequence}"
            alert.told[id_] = Told(
                id_,
                wanted.kind,
                wanted.sequence,
                to.channel,
                to.channel_type,
                to.destination,
                to.person,
                "collected" if digest else "delivered",
                now,
                done_at=None if digest else now,
                severity=alert.severity,
                why=to.why,
                digest=digest,
            )
            notice = self._notice(alert, wanted, now)
            if digest:
                self._collected[to.channel, to.destination][alert.id, id_] = (wanted.due_at, notice)
                self._wake(wanted.due_at, Digest((to.channel, to.destination)))
            else:
                self._tell(notice)

    def _notice(self, alert: Alert, wanted: Wanted, now: datetime) -> Notice:
        to = wanted.recipient
        return Notice(
            now,
            alert.day(now),
            alert.rule.name,
            alert.subject,
            "trigger" if alert.one_shot else wanted.kind,
            to.person,
            to.channel,
            alert.severity,
            wanted.mode == "digest",
        )

    def _case(self, alert: Alert, now: datetime) -> Case:
        return replace(
            case_of(alert.id, alert.rule, alert.about, alert.severity),
            ended=alert.ended,
            one_shot=alert.one_shot,
            told=tuple(alert.told.values()),
            gates=gates(UNTOUCHED, silences=(), inhibited_by=self._inhibitor(alert), held_until=None, now=now),
            before=alert.before,
            routed=alert.routed,
            escalation=alert.escalation,
            flapping=alert.flapping,
        )

    def _inhibitor(self, alert: Alert) -> str | None:
        """The rule that explains this one away: of the same account, and firing."""
        others = (self.alerts[id_] for id_ in self._of_account[alert.account])
        firing = {one.rule.name for one in others if not one.ended}
        return next((name for name in sorted(firing) if alert.rule.name in self._rules[name].inhibits), None)
