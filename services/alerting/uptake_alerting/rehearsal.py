"""Plays histories through the same fold and the same planning as in production, on a clock of its own. Pure.

Closed days and trials only: quarters and installations are not played.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, NamedTuple, Protocol

from uptake.messages.alerts import Severity
from uptake.messages.kpi import AccountDay, TrialSnapshot
from uptake_alerting.about import for_whom
from uptake_alerting.cases import is_flapping
from uptake_alerting.clocks import of_trial
from uptake_alerting.episodes import Change, Episode, Outcome, episode_id, outcome_of_clock, reconcile
from uptake_alerting.fold import ONE_SHOT, Judged, State, fold
from uptake_alerting.judging import judge
from uptake_alerting.rehearsed_notices import Alert, Digest, Look, Notice, Telling
from uptake_alerting.roster import Roster
from uptake_alerting.rules import Rule, Rules
from uptake_alerting.wall import local
from uptake_alerting.whom import About, Routes

__all__ = ["PLAYED", "Notice", "Rehearsal", "Rehearsed", "Sample", "Stage", "rehearse", "sample_of"]

_NEVER = State()
Instance = tuple[str, str]  # a rule and its subject
Sample = AccountDay | TrialSnapshot
PLAYED: Mapping[str, type[Sample]] = {"account": AccountDay, "trial": TrialSnapshot}


class _Limit(NamedTuple):
    """What a rule waits for in a trial may have come."""

    trial: str


_Entry = Sample | _Limit | Look | Digest


def sample_of(told: Mapping[str, Any]) -> Sample:
    """From `{"kind", "snapshot"}`. Raises ValueError."""
    return PLAYED[told["kind"]].model_validate(told["snapshot"])


def _instant(sample: Sample) -> datetime | None:
    """When it counts; of a day that never closed: never."""
    return sample.closed_at if isinstance(sample, AccountDay) else sample.published_at


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
    """All that came of it. `conditions`: by rule, account and closed day, those that are not `ok`. `closed`: when each
    day of an account closed."""

    episodes: list[Rehearsed] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    conditions: dict[tuple[str, str, date], State] = field(default_factory=dict)
    closed: dict[tuple[str, date], datetime] = field(default_factory=dict)

    def day(self, account: str, day: date, at: datetime, conditions: Mapping[str, State]) -> None:
        self.closed[account, day] = at
        self.conditions |= {(rule, account, day): state for rule, state in conditions.items()}

    def episode(self, episode: Rehearsed) -> None:
        self.episodes.append(episode)

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)


class Witness(Protocol):
    """Told of everything as soon as nothing about it can change. What is still open is told of at the end."""

    def day(self, account: str, day: date, at: datetime, conditions: Mapping[str, State]) -> None:
        """One of an account has closed; `conditions`: of the rules that are not `ok`."""

    def episode(self, episode: Rehearsed) -> None: ...
    def notice(self, notice: Notice) -> None: ...


def rehearse(rules: Rules, samples: Iterable[Sample], roster: Roster, routes: Routes, until: datetime) -> Rehearsal:
    """Closed days and trials, in any order; `until`: when the clock stops. A day that never closed is no sample."""
    found = Rehearsal()
    stage = Stage(rules, roster, routes, until, found)
    for sample in samples:
        stage.enter(sample)
    stage.end()
    return found


class Stage:
    """Where a history is played. Of samples that come in the order of time it keeps those of one instant at most.

    `above`: the routes of what rises because nobody acts on it; without them, the same.
    """

    def __init__(
        self,
        rules: Rules,
        roster: Roster,
        routes: Routes,
        until: datetime,
        witness: Witness,
        above: Routes | None = None,
    ) -> None:
        self._telling = Telling(rules, roster, routes, above or routes, self._wake, witness.notice)
        self._of_accounts, self._of_trials = rules.of("account"), rules.of("trial")
        self._until, self._witness = until, witness
        self._agenda: list[tuple[datetime, bool, int, _Entry]] = []
        self._entries = 0
        self._newest: datetime | None = None  # sample of those that came in order
        self._states: dict[Instance, State] = {}
        self._record: dict[Instance, list[Episode]] = defaultdict(list)
        self._open: dict[str, Rehearsed] = {}  # by the id of the episode
        self._trials: dict[str, TrialSnapshot] = {}
        self._days: dict[str, date] = {}  # the newest closed one of each account

    def enter(self, sample: Sample) -> None:
        """One of which nobody knows what comes before it: it waits for the end."""
        if (at := _instant(sample)) is not None:
            self._put(at, sample, is_sample=True)

    def follow(self, sample: Sample) -> None:
        """The next one in the order of time: what comes before it is played. Raises ValueError for an earlier one."""
        if (at := _instant(sample)) is None or at > self._until:
            return
        if self._newest is not None and at < self._newest:
            raise ValueError(f"the history is not in the order of time: {at} comes after {self._newest}")
        self._newest = at
        while self._agenda and self._agenda[0][0] < at:
            self._play_instant()
        self._put(at, sample, is_sample=True)

    def end(self) -> None:
        """Whatever is left until the clock stops."""
        while self._agenda and self._agenda[0][0] <= self._until:
            self._play_instant()
        for episode in self._open.values():
            self._witness.episode(episode)
        self._telling.end()

    def _wake(self, at: datetime, what: _Limit | Look | Digest) -> None:
        self._put(at, what, is_sample=False)

    def _put(self, at: datetime, what: _Entry, *, is_sample: bool) -> None:
        """What comes at one instant comes in the order of entry, samples first."""
        heapq.heappush(self._agenda, (at, not is_sample, self._entries, what))
        self._entries += 1

    def _play_instant(self) -> None:
        now = self._agenda[0][0]
        while self._agenda and self._agenda[0][0] == now:
            self._take(heapq.heappop(self._agenda)[-1], now)
        self._telling.settle(now)

    def _take(self, what: _Entry, now: datetime) -> None:
        if isinstance(what, AccountDay):
            self._close(what, now)
        elif isinstance(what, TrialSnapshot):
            self._trials[what.trial.opportunity] = what
            self._ask_the_clock(what, now)
        elif isinstance(what, _Limit):
            self._ask_the_clock(self._trials[what.trial], now)
        else:
            self._telling.take(what, now)

    def _close(self, day: AccountDay, now: datetime) -> None:
        as_of = self._days[day.account] = day.kpis.as_of
        conditions: dict[str, State] = {}
        for rule in self._of_accounts:
            verdict, instance = judge(rule, day), (rule.name, day.account)
            before = self._states.get(instance)
            if before is None and verdict.kind != "breach":
                continue  # it was well, and is
            state, spans = fold(before or _NEVER, [Judged(as_of, now, verdict)], rule)
            if state.condition == "ok":
                self._states.pop(instance, None)
            else:
                self._states[instance] = conditions[rule.name] = state
            self._apply(rule, for_whom(rule, day), day.account, Outcome(state, spans), now)
        self._witness.day(day.account, as_of, now, conditions)

    def _ask_the_clock(self, snapshot: TrialSnapshot, now: datetime) -> None:
        trial, asked = snapshot.trial, of_trial(snapshot)
        for rule in self._of_trials:
            instance = (rule.name, trial.opportunity)
            opened = next((one for one in self._record[instance] if one.is_open), None)
            before = self._states.get(instance, _NEVER)
            outcome = outcome_of_clock(asked.clock(rule), before, asked.moved(opened), rule.severity, now)
            self._states[instance] = outcome.state
            if outcome.wake_at is not None:
                self._wake(outcome.wake_at, _Limit(trial.opportunity))
            self._apply(rule, for_whom(rule, snapshot), trial.opportunity, outcome, now, str(trial.complexity))

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
        flapping = is_flapping(change.fired_at, earlier)
        day = self._day_of(subject, rule)
        self._telling.begin(Alert(id_, rule, subject, str(about.account), about, severity, day, flapping))
        self._open[id_] = Rehearsed(rule.name, subject, about.owner, change.since, change.fired_at, severity)

    def _move(self, episode: Episode, about: About, change: Change) -> None:
        alert, before = self._telling.alerts[episode.id], self._open.pop(episode.id)
        alert.about, alert.severity = about, change.severity or alert.severity
        alert.ended, alert.one_shot = change.ended_at is not None, change.reason == ONE_SHOT
        ended_as = change.state if change.ended_at else None
        after = replace(
            before, severity=alert.severity, ended_at=change.ended_at, ended_as=ended_as, reason=change.reason
        )
        if change.ended_at is not None:
            self._witness.episode(after)
        else:
            self._open[episode.id] = after
        self._telling.moved(alert, began_or_ended=change.kind != "updated")

    def _day_of(self, subject: str, rule: Rule) -> Callable[[datetime], date]:
        """The newest closed day of an account; of a trial, the vendor's today."""
        if rule.subject_kind == "trial":
            zone = self._trials[subject].vendor_zone
            return lambda now: local(now, zone).date()
        return lambda now: self._days[subject]
