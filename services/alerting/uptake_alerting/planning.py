"""From what an alert is, and what was told of it, to what must be told now and when to look again. Pure.

Level-triggered: the answer depends on what is, never on what has just happened. So the end of a silence, a morning, an
ack that ran out, a reminder, a new owner and a failed channel are the same thing: a look. Looking twice plans nothing
twice, since what is under way or delivered counts as told.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from uptake.messages.alerts import Severity
from uptake_alerting.cases import Case, Contacts, Mode, Plan, Routed, Wanted
from uptake_alerting.gates import Gate
from uptake_alerting.notices import NoticeKind
from uptake_alerting.threads import MOVED, OPENERS, Destination, Thread, Told, threads_of, tried
from uptake_alerting.whom import Chosen, Recipient

__all__ = ["Case", "Contacts", "Plan", "Wanted", "choose", "plan"]

TOP: dict[Severity, int] = {"critical": 4, "warning": 2, "info": 0}  # of escalation
RANK: dict[Severity, int] = {"info": 0, "warning": 1, "critical": 2}
#: They have timetables, reminders and people of their own.
MACHINES = ("pagerduty", "alertmanager")
LOOK_AGAIN = timedelta(minutes=5)  # where nothing says when a gate opens; whoever opens it asks for a look at once
STILL_UNHEARD = timedelta(minutes=5)  # likewise: a new route or roster asks for a look at once
CRITICAL_STEP_H = 4
#: An end that a channel did not take: an incident would stay open, so it is tried again, and for how long.
END_AGAIN, END_FOR = timedelta(hours=6), timedelta(days=7)
END_SOON_FOR = timedelta(hours=1)  # sooner, where a file was just being edited


@dataclass(slots=True)
class _Draft:
    """What a look has found so far."""

    wanted: list[Wanted]
    gates: list[Gate]
    looks: list[datetime]

    def add(self, kind: NoticeKind, sequence: int, to: Recipient, mode: Mode, due_at: datetime) -> None:
        self.wanted.append(Wanted(kind, sequence, to, mode, due_at))

    def wait(self, until: datetime, person: str | None) -> None:
        self.looks.append(until)
        gate = Gate("quiet_hours", until, person)
        if gate not in self.gates:
            self.gates.append(gate)


def plan(case: Case, contacts: Contacts, now: datetime) -> Plan:
    """What goes out now, what is taken back, and when to look again."""
    if case.ended:
        return _ended(case, contacts, now)
    if case.gates:
        return _gated(case, contacts, now)
    return _open(case, contacts, now)


def _gated(case: Case, contacts: Contacts, now: datetime) -> Plan:
    """Nothing goes out; but somebody to whom it was given is told, whoever acked it before."""
    draft = _Draft([], [], [gate.until or now + LOOK_AGAIN for gate in case.gates])
    chosen, acked = None, all(gate.reason == "acked" for gate in case.gates)
    if acked and case.routed is not None and case.about.assignee not in (None, case.routed.assignee):
        chosen = choose(case, 0, contacts, now)
        given = [to for to in chosen.recipients if to.person == case.about.assignee]
        _open_threads(case, "trigger", given, threads_of(case.told), contacts, draft, now)
    drop = tuple(
        (t.id, case.gates[0].reason)
        for t in case.told
        if t.can_be_withdrawn and t.kind != "terminal" and not (acked and _is_for_assignee(case, t))
    )
    gates = (*case.gates, *draft.gates)
    return Plan(tuple(draft.wanted), drop, gates, min(draft.looks), case.escalation, chosen)


def _is_for_assignee(case: Case, told: Told) -> bool:
    return told.kind in OPENERS and told.person is not None and told.person == case.about.assignee


def _open(case: Case, contacts: Contacts, now: datetime) -> Plan:
    threads = threads_of(t for t in case.told if not _is_superseded(case, t))
    draft = _Draft([], [], [])
    drop = tuple((t.id, "superseded") for t in case.told if _is_superseded(case, t))
    announced = any(thread.opener is not None for thread in threads.values())
    chosen, escalation = None, case.escalation
    for thread in threads.values():
        _follow_up(case, thread, contacts, draft, now)
    if not announced or _is_new_to_somebody(case):
        chosen = choose(case, escalation, contacts, now)
        _open_threads(case, "trigger", chosen.recipients, threads, contacts, draft, now)
    elif (due := _escalation_due(case, threads, contacts)) is not None:
        if due > now:
            draft.looks.append(due)
        else:
            chosen, reached = _escalate(case, threads, contacts, now)
            _open_threads(case, "escalation", chosen.recipients, threads, contacts, draft, now)
            if any(wanted.kind == "escalation" for wanted in draft.wanted) or not draft.gates:
                escalation = reached  # else the next ones wait for their morning, and the step with them
    if announced:
        _open_threads(case, "trigger", _withdrawn(case, threads, contacts, now), threads, contacts, draft, now)
    unheard = not announced and not draft.wanted and not draft.gates
    if unheard:
        draft.looks.append(now + STILL_UNHEARD)
    look_at = min(draft.looks, default=None)
    return Plan(tuple(draft.wanted), drop, tuple(draft.gates), look_at, escalation, chosen, unheard)


def _withdrawn(
    case: Case, threads: dict[Destination, Thread], contacts: Contacts, now: datetime
) -> Iterable[Recipient]:
    """Who would have been told with the others, had no gate shut before it went out, and still is one to tell."""
    missed = {key for key, thread in threads.items() if thread.opener is None and thread.withdrawn is not None}
    chosen = choose(case, case.escalation, contacts, now).recipients if missed else ()
    return [to for to in chosen if (to.channel, to.destination) in missed]


def _is_new_to_somebody(case: Case) -> bool:
    """The owner has changed since the recipients were chosen, or it was given to somebody."""
    return case.routed is not None and case.routed != Routed(case.about.owner, case.about.assignee)


def choose(case: Case, level: int, contacts: Contacts, now: datetime) -> Chosen:
    """A warning goes up to whoever is on call, then to the manager; a critical one step by step."""
    out = case.avoid | tried(case.told, now)
    if case.severity == "warning" and level >= 2:
        return contacts.choose(replace(case.about, to=("manager",)), 0, out)
    return contacts.choose(case.about, 2 * level if case.severity == "warning" else level, out)


def _open_threads(
    case: Case,
    kind: Literal["trigger", "escalation"],
    recipients: Iterable[Recipient],
    threads: dict[Destination, Thread],
    contacts: Contacts,
    draft: _Draft,
    now: datetime,
) -> None:
    """A thread for whoever has none. A destination is told of one beginning, however often it is chosen."""
    known = {key for key, thread in threads.items() if thread.opener is not None}
    known |= {(w.recipient.channel, w.recipient.destination) for w in draft.wanted if w.kind in OPENERS}
    for to in recipients:
        if (to.channel, to.destination) in known:
            continue
        if _mode(case, to) == "digest":
            draft.add(kind, 0, to, "digest", _digest_due(case, to, contacts, now))
        elif (until := _quiet_until(case, to, contacts)) is not None:
            draft.wait(until, to.person)
        else:
            draft.add(kind, 0, to, "now", now)


def when(case: Case, to: Recipient, contacts: Contacts, now: datetime) -> tuple[Mode, datetime]:
    """How and when a first notice would reach a recipient."""
    if _mode(case, to) == "digest":
        return "digest", _digest_due(case, to, contacts, now)
    return "now", _quiet_until(case, to, contacts) or now


def _mode(case: Case, to: Recipient) -> Mode:
    if to.channel_type == "alertmanager":
        return "now"  # grouping is what it is for
    many = case.delivery == "digest" or case.released or case.flapping
    return "digest" if many else "now"


def _digest_due(case: Case, to: Recipient, contacts: Contacts, now: datetime) -> datetime:
    """What a storm held back goes as soon as somebody released it, everything else with the morning's digest."""
    if case.released and case.delivery != "digest":
        return contacts.quiet_until(to.person) or now
    return contacts.digest_at(to.person)


def _quiet_until(case: Case, to: Recipient, contacts: Contacts) -> datetime | None:
    if to.channel_type in MACHINES or (case.bypass_quiet_hours and case.severity == "critical"):
        return None
    return contacts.quiet_until(to.person)


def _follow_up(case: Case, thread: Thread, contacts: Contacts, draft: _Draft, now: datetime) -> None:
    """An update where the severity has moved, else a reminder when one is due."""
    opener, newest = thread.heard, thread.newest
    if opener is None or newest is None or thread.waits:
        return
    to = _again(opener)
    if newest.severity not in (None, case.severity):
        better = RANK[case.severity] < RANK[newest.severity] and to.channel_type not in MACHINES
        if better or _mode(case, to) == "digest":
            draft.add("update", thread.next_of("update"), to, "digest", contacts.digest_at(to.person))
        else:
            _now_or_later(case, "update", thread, to, contacts, draft, now)
        return
    due = _reminder_due(case, opener, newest.told_at(), contacts)
    if due is not None and due > now:
        draft.looks.append(due)
    elif due is not None:
        _now_or_later(case, "reminder", thread, to, contacts, draft, now)


def _now_or_later(
    case: Case, kind: NoticeKind, thread: Thread, to: Recipient, contacts: Contacts, draft: _Draft, now: datetime
) -> None:
    if (until := _quiet_until(case, to, contacts)) is not None:
        draft.wait(until, to.person)
    else:
        draft.add(kind, thread.next_of(kind), to, "now", now)


def _reminder_due(case: Case, opener: Told, last: datetime, contacts: Contacts) -> datetime | None:
    """An ack or a snooze that ran out since is a reason of its own."""
    if case.severity == "info" or opener.digest or opener.channel_type in MACHINES:
        return None
    is_critical = case.severity == "critical"
    due = contacts.after_days(opener.person, last, 2) if is_critical else last + timedelta(days=7)
    over = [at for at in (case.handling.ack_until, case.handling.snoozed_until) if at is not None and at > last]
    return min([due, *over])


def _escalation_due(case: Case, threads: dict[Destination, Thread], contacts: Contacts) -> datetime | None:
    """From the latest that somebody heard, or was last known to care for it."""
    heard = [t.heard for t in threads.values() if t.heard is not None and not t.heard.digest]
    top = TOP[case.severity]
    if not heard or case.escalation >= top or any(t.waits and t.heard is None for t in threads.values()):
        return None
    last = max(heard, key=lambda opener: opener.told_at())
    cared = (case.handling.ack_until, case.handling.snoozed_until)
    start = max([last.told_at(), *(at for at in cared if at is not None)])
    return step_up(case.severity, last.person, start, contacts)


def step_up(severity: Severity, person: str | None, start: datetime, contacts: Contacts) -> datetime:
    """When an alert that somebody has known of since `start` goes up, if nobody acts."""
    if severity == "critical":
        return contacts.after_hours(person, start, CRITICAL_STEP_H)
    return contacts.after_days(person, start, 1)


def _escalate(case: Case, threads: dict[Destination, Thread], contacts: Contacts, now: datetime) -> tuple[Chosen, int]:
    """The next level at which there is somebody who does not know yet; the top one if there is none."""
    top = TOP[case.severity]
    level = case.escalation
    while True:
        level += 1
        chosen = choose(case, level, contacts, now)
        known = {key for key, thread in threads.items() if thread.opener is not None}
        if level >= top or any((to.channel, to.destination) not in known for to in chosen.recipients):
            return chosen, level


def _is_superseded(case: Case, told: Told) -> bool:
    """An update that waits while the severity has moved once more."""
    return told.kind == "update" and told.can_be_withdrawn and told.severity != case.severity


def _ended(case: Case, contacts: Contacts, now: datetime) -> Plan:
    threads = threads_of(case.told)
    draft = _Draft([], [], [])
    gone = [t for t in case.told if t.can_be_withdrawn and t.kind not in ("terminal", "digest")]
    for thread in threads.values():
        _end(case, thread, contacts, draft, now)
    lines = [*_waited_for_morning(case, threads, contacts, now), *(_again(t) for t in gone if _is_line(t))]
    for to in [*lines, *_of_one_shot(case, contacts, now)]:
        draft.add("digest", 0, to, "digest", contacts.digest_at(to.person))
    drop = tuple((t.id, "episode_ended") for t in gone)
    return Plan(
        tuple(draft.wanted), drop, tuple(draft.gates), min(draft.looks, default=None), escalation=case.escalation
    )


def _end(case: Case, thread: Thread, contacts: Contacts, draft: _Draft, now: datetime) -> None:
    """Whoever heard the beginning hears the end, once and last, whatever was silenced or moved in between."""
    opener = thread.heard
    unsure = any(t.is_open and not t.can_be_withdrawn for t in thread.told)
    if opener is None or unsure:
        return
    terminal = next((t for t in thread.told if t.kind == "terminal"), None)
    due = _terminal_due(terminal, now)
    to = _again(opener)
    if due is None:
        return
    if due > now:
        draft.looks.append(due)
    elif opener.digest:
        draft.add("terminal", 0, to, "digest", contacts.digest_at(to.person))
    elif (until := _quiet_until(case, to, contacts)) is not None:
        draft.wait(until, to.person)
    else:
        draft.add("terminal", 0, to, "now", now)


def _terminal_due(before: Told | None, now: datetime) -> datetime | None:
    """Null: it was told, is about to be, or nobody has taken it for a week."""
    if before is None:
        return now
    if before.counts or now - before.created_at >= END_FOR:
        return None
    soon = before.reason in MOVED and now - before.created_at < END_SOON_FOR
    return before.told_at() + (LOOK_AGAIN if soon else END_AGAIN)


def _waited_for_morning(
    case: Case, threads: dict[Destination, Thread], contacts: Contacts, now: datetime
) -> Iterable[Recipient]:
    """Who would have been told in the morning: the summary says that it came and went."""
    people = {gate.what for gate in case.before if gate.reason == "quiet_hours"}
    if not people or any(gate.reason != "quiet_hours" for gate in case.before):
        return []
    chosen = choose(case, case.escalation, contacts, now)
    return [to for to in chosen.recipients if to.person in people and (to.channel, to.destination) not in threads]


def _of_one_shot(case: Case, contacts: Contacts, now: datetime) -> Iterable[Recipient]:
    """What only ever happens once fills a line of the digest, unless a gate is shut just then."""
    untold = case.one_shot and not case.told and not case.gates
    return choose(case, 0, contacts, now).recipients if untold else ()


def _is_line(told: Told) -> bool:
    return told.status == "collected" and told.kind in ("trigger", "escalation")


def _again(told: Told) -> Recipient:
    return Recipient(told.person, told.channel, told.channel_type, told.destination, told.why)
