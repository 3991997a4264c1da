"""Plays histories through the same fold and the same planning as in production, on a clock of its own. Pure.

No table and no sender: whatever would be sent is heard at once, and nobody acks anything. Storms are not held back.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from uptake.messages.alerts import Severity
from uptake.messages.kpi import AccountSnapshot, TrialSnapshot
from uptake_alerting.cases import Case, Plan, Routed, is_flapping
from uptake_alerting.clocks import of_trial
from uptake_alerting.contacts import Book
from uptake_alerting.episodes import Change, Episode, Outcome, episode_id, outcome_of_clock, reconcile
from uptake_alerting.fold import ONE_SHOT, Judged, State, fold
from uptake_alerting.gates import UNTOUCHED, Gate, gates
from uptake_alerting.judging import judge
from uptake_alerting.notices import NoticeKind
from uptake_alerting.planning import plan
from uptake_alerting.roster import Roster
from uptake_alerting.rules import Rule, Rules
from uptake_alerting.threads import Told
from uptake_alerting.wall import local
from uptake_alerting.whom import About, Routes

_NEVER = State()
_LOOKS = 50  # at one instant; planning comes to rest after two or three
Instance = tuple[str, str]  # a rule and its subject
Sample = AccountSnapshot | TrialSnapshot


@dataclass(frozen=True, slots=True)
class Notice:
    """One that goes out, or into somebody's digest. `day`: the newest closed day; of a trial, the vendor's today."""

    at: datetime
    day: date
    rule: str
    subject: str
    kind: NoticeKind
    person: str | None
    channel: str
    severity: Severity
    digest: bool


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One episode."""

    rule: str
    subject: str
    owner: str | None
    since: date
    fired_at: datetime
    severity: Severity
    ended_at: datetime | None = None
    ended_as: str | None = None
    reason: str = "firing"


@dataclass(slots=True)
class Rehearsal:
    """What came of it. `conditions`: by rule, account and closed day, those that are not `ok`. `closed`: when each day
    of an account closed."""

    episodes: list[Rehearsed] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    conditions: dict[tuple[str, str, date], State] = field(default_factory=dict)
    closed: dict[tuple[str, date], datetime] = field(default_factory=dict)


@dataclass(slots=True)
class _Alert:
    """One episode and what was told of it; `place`: among the episodes of the rehearsal."""

    id: str
    rule: Rule
    subject: str
    account: str
    about: About
    fired_at: datetime
    severity: Severity
    place: int
    flapping: bool
    ended: bool = False
    one_shot: bool = False
    told: dict[str, Told] = field(default_factory=dict)
    digests_at: dict[str, datetime] = field(default_factory=dict)  # of what is collected
    before: tuple[Gate, ...] = ()
    routed: Routed | None = None
    escalation: int = 0
    look_at: datetime | None = None


def rehearse(rules: Rules, samples: Iterable[Sample], roster: Roster, routes: Routes, until: datetime) -> Rehearsal:
    """Closed days and trials, in any order; `until`: when the clock stops. A day that never closed is no sample."""
    stage = _Stage(rules, roster, routes)
    for sample in samples:
        at = sample.closed_at if isinstance(sample, AccountSnapshot) else sample.published_at
        if at is not None:
            stage.wake(at, sample)
    stage.run(until)
    return stage.result()


class _Stage:
    def __init__(self, rules: Rules, roster: Roster, routes: Routes) -> None:
        self._roster, self._routes, self._rules = roster, routes, rules.by_name
        self._of_accounts, self._of_trials = rules.of("account"), rules.of("trial")
        self._agenda: list[tuple[datetime, int, Sample | str | None]] = []
        self._entries = 0
        self._states: dict[Instance, State] = {}
        self._record: dict[Instance, list[Episode]] = defaultdict(list)
        self._alerts: dict[str, _Alert] = {}  # that are open, or of which something is still to be told
        self._of_account: dict[str, set[str]] = defaultdict(set)  # ids of these
        self._trials: dict[str, TrialSnapshot] = {}
        self._days: dict[str, date] = {}  # the newest closed one of each account
        self._episodes: list[Rehearsed] = []
        self._conditions: dict[tuple[str, str, date], State] = {}
        self._closed: dict[tuple[str, date], datetime] = {}
        self._notices: dict[str, Notice] = {}
        self._touched: set[str] = set()

    def wake(self, at: datetime, what: Sample | str | None) -> None:
        """A sample that comes, a trial whose limit may be reached, or somebody to be told: in the order of entry."""
        heapq.heappush(self._agenda, (at, self._entries, what))
        self._entries += 1

    def run(self, until: datetime) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            now = self._agenda[0][0]
            while self._agenda and self._agenda[0][0] == now:
                self._take(heapq.heappop(self._agenda)[2], now)
            self._settle(now)

    def result(self) -> Rehearsal:
        return Rehearsal(self._episodes, list(self._notices.values()), self._conditions, self._closed)

    def _take(self, what: Sample | str | None, now: datetime) -> None:
        if isinstance(what, AccountSnapshot):
            self._close(what, now)
        elif isinstance(what, TrialSnapshot):
            self._trials[what.trial.opportunity] = what
            self._ask_the_clock(what, now)
        elif what is not None:
            self._ask_the_clock(self._trials[what], now)

    def _close(self, day: AccountSnapshot, now: datetime) -> None:
        as_of = self._days[day.account] = day.kpis.as_of
        self._closed[day.account, as_of] = now
        for rule in self._of_accounts:
            verdict, instance = judge(rule, day), (rule.name, day.account)
            before = self._states.get(instance)
            if before is None and verdict.kind != "breach":
                continue  # it was well, and is
            state, spans = fold(before or _NEVER, [Judged(as_of, now, verdict)], rule)
            if state.condition == "ok":
                self._states.pop(instance, None)
            else:
                self._states[instance] = self._conditions[rule.name, day.account, as_of] = state
            about = About(
                rule.name,
                rule.to,
                day.account,
                day.region,
                owner=day.owner,
                deputy=day.deputy,
                executive=day.executive,
                manager=day.manager,
            )
            self._apply(rule, about, day.account, Outcome(state, spans), now)

    def _ask_the_clock(self, snapshot: TrialSnapshot, now: datetime) -> None:
        trial, asked = snapshot.trial, of_trial(snapshot)
        for rule in self._of_trials:
            instance = (rule.name, trial.opportunity)
            opened = next((one for one in self._record[instance] if one.is_open), None)
            before = self._states.get(instance, _NEVER)
            outcome = outcome_of_clock(asked.clock(rule), before, asked.moved(opened), rule.severity, now)
            self._states[instance] = outcome.state
            if outcome.wake_at is not None:
                self.wake(outcome.wake_at, trial.opportunity)
            about = About(
                rule.name,
                rule.to,
                trial.account,
                snapshot.region,
                owner=snapshot.owner,
                engineer=trial.engineer,
                executive=trial.executive,
            )
            self._apply(rule, about, trial.opportunity, outcome, now, str(trial.complexity))

    def _apply(
        self, rule: Rule, about: About, subject: str, outcome: Outcome, now: datetime, complexity: str | None = None
    ) -> None:
        record = self._record[rule.name, subject]
        for change in reconcile(record, outcome, now):
            if change.kind == "firing":
                self._begin(rule, about, subject, change, complexity)
            place = next(place for place, one in enumerate(record) if one.number == change.number)
            record[place] = replace(
                record[place],
                state=change.state,
                reason=change.reason,
                severity=change.severity,
                ended_at=change.ended_at,
            )
            self._move(record[place], about, change)

    def _begin(self, rule: Rule, about: About, subject: str, change: Change, complexity: str | None) -> None:
        id_ = episode_id(rule.name, subject, change.number)
        record = self._record[rule.name, subject]
        earlier = [one.fired_at for one in record if one.reason != "data_revised"]
        severity = change.severity or rule.severity
        values = {"complexity": complexity}
        record.append(Episode(id_, change.number, "firing", change.since, change.fired_at, None, values))
        self._alerts[id_] = _Alert(
            id_,
            rule,
            subject,
            str(about.account),
            about,
            change.fired_at,
            severity,
            len(self._episodes),
            is_flapping(change.fired_at, earlier),
        )
        self._of_account[str(about.account)].add(id_)
        self._episodes.append(Rehearsed(rule.name, subject, about.owner, change.since, change.fired_at, severity))

    def _move(self, episode: Episode, about: About, change: Change) -> None:
        alert = self._alerts[episode.id]
        alert.about, alert.severity = about, change.severity or alert.severity
        alert.ended, alert.one_shot = change.ended_at is not None, change.reason == ONE_SHOT
        ended_as = change.state if change.ended_at else None
        self._episodes[alert.place] = replace(
            self._episodes[alert.place],
            severity=alert.severity,
            ended_at=change.ended_at,
            ended_as=ended_as,
            reason=change.reason,
        )
        if change.kind != "updated":  # what it explains away is looked at anew
            self._touched |= self._of_account[alert.account]
        self._touched.add(alert.id)

    def _settle(self, now: datetime) -> None:
        """Whatever is due is planned and told, until nothing more is."""
        self._touched |= {id_ for id_, one in self._alerts.items() if one.look_at is not None and one.look_at <= now}
        for _ in range(_LOOKS):
            self._touched |= self._digest(now)
            if not self._touched:
                return
            touched, self._touched = sorted(self._touched), set()
            for id_ in touched:
                self._look(self._alerts[id_], now)
        raise AssertionError("planning does not come to rest")

    def _digest(self, now: datetime) -> set[str]:
        """What was collected for a destination goes when the first of it is due; whose alerts that moves."""
        due = {
            (told.channel, told.destination)
            for alert in self._alerts.values()
            for id_, told in alert.told.items()
            if told.status == "collected" and alert.digests_at[id_] <= now
        }
        moved = set()
        for alert in self._alerts.values() if due else ():
            for id_, told in alert.told.items():
                if told.status == "collected" and (told.channel, told.destination) in due:
                    alert.told[id_] = replace(told, status="delivered", done_at=now, carried=True)
                    moved.add(alert.id)
        return moved

    def _look(self, alert: _Alert, now: datetime) -> None:
        planned = plan(self._case(alert, now), Book(self._roster, self._routes, now), now)
        for id_, reason in planned.drop:
            alert.told[id_] = replace(alert.told[id_], status="skipped", reason=reason, done_at=now, digest=False)
            self._notices.pop(f"{alert.id} {id_}", None)
        self._write(alert, planned, now)
        alert.before, alert.escalation, alert.look_at = planned.gates, planned.escalation, planned.look_at
        if planned.chosen is not None:
            alert.routed = Routed(alert.about.owner)
        if planned.look_at is not None:
            self.wake(planned.look_at, None)
        if planned.wanted or planned.drop:
            self._touched.add(alert.id)  # as the courier asks for another look
        elif alert.ended and planned.look_at is None and not any(t.is_open for t in alert.told.values()):
            del self._alerts[alert.id]
            self._of_account[alert.account].discard(alert.id)

    def _write(self, alert: _Alert, planned: Plan, now: datetime) -> None:
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
            if digest:
                alert.digests_at[id_] = wanted.due_at
                self.wake(wanted.due_at, None)
            kind: NoticeKind = "trigger" if alert.one_shot else wanted.kind
            self._notices[f"{alert.id} {id_}"] = Notice(
                now,
                self._day(alert, now),
                alert.rule.name,
                alert.subject,
                kind,
                to.person,
                to.channel,
                alert.severity,
                digest,
            )

    def _case(self, alert: _Alert, now: datetime) -> Case:
        return Case(
            id=alert.id,
            rule=alert.rule.name,
            severity=alert.severity,
            about=alert.about,
            delivery=alert.rule.delivery_of(alert.severity),
            bypass_quiet_hours=alert.rule.bypass_quiet_hours,
            ended=alert.ended,
            one_shot=alert.one_shot,
            told=tuple(alert.told.values()),
            gates=gates({}, UNTOUCHED, silences=(), inhibited_by=self._inhibitor(alert), held_until=None, now=now),
            before=alert.before,
            routed=alert.routed,
            escalation=alert.escalation,
            flapping=alert.flapping,
        )

    def _inhibitor(self, alert: _Alert) -> str | None:
        """The rule that explains this one away: of the same account, and firing."""
        others = (self._alerts[id_] for id_ in self._of_account[alert.account])
        firing = {one.rule.name for one in others if not one.ended}
        return next((name for name in sorted(firing) if alert.rule.name in self._rules[name].inhibits), None)

    def _day(self, alert: _Alert, now: datetime) -> date:
        trial = self._trials.get(alert.subject) if alert.rule.subject_kind == "trial" else None
        return local(now, trial.vendor_zone).date() if trial else self._days[alert.account]
