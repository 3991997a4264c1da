"""What the clock has to do with a trial or an installation: when a rule's limit is or was reached. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from uptake.messages.kpi import InstanceSnapshot, TrialSnapshot
from uptake_alerting import about
from uptake_alerting.about import About
from uptake_alerting.episodes import Clock, Episode, complexity_moved
from uptake_alerting.rules import Rule


@dataclass(frozen=True, slots=True)
class Asked:
    """A subject as the clock and people see it. `moved`: why an alert ends whose limit lies ahead again."""

    about: About
    clock: Callable[[Rule], Clock]
    moved: Callable[[Episode | None], str]


def of_trial(snapshot: TrialSnapshot) -> Asked:
    over = "trial_stopped" if snapshot.trial.state == "stopped" else None

    def clock(rule: Rule) -> Clock:
        due = rule.when.due(snapshot) if rule.when else None
        return Clock(due and due.at, due and due.day, over, "paused")

    def moved(opened: Episode | None) -> str:
        return complexity_moved(opened.values.get("complexity") if opened else None, snapshot)

    return Asked(about.of_trial(snapshot), clock, moved)


def of_instance(snapshot: InstanceSnapshot) -> Asked:
    over = "mapped" if snapshot.account is not None else None

    def clock(rule: Rule) -> Clock:
        due = rule.when.due(snapshot) if rule.when else None
        return Clock(due and due.at, due and due.day, over)

    return Asked(about.of_instance(snapshot), clock, lambda opened: "date_corrected")
