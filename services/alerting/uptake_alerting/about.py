"""Whom and what an alert is about, from the newest snapshot: attributes, never part of an identity. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from uptake.messages.kpi import AccountDay, InstanceSnapshot, TeamSnapshot, TrialSnapshot
from uptake_alerting import whom, wording
from uptake_alerting.rules import Rule


@dataclass(frozen=True, slots=True)
class About:
    kind: Literal["account", "trial", "team", "instance"]
    subject: str
    account: str | None
    region: str | None
    owner: str | None
    people: dict[str, str | None]
    values: dict[str, Any]
    labels: dict[str, str]


def people_of(snapshot: AccountDay | TrialSnapshot) -> dict[str, str | None]:
    """Whom the facts name, by what they are to the account or the trial."""
    if isinstance(snapshot, TrialSnapshot):
        trial = snapshot.trial
        return {"owner": snapshot.owner, "engineer": trial.engineer, "executive": trial.executive}
    return {name: getattr(snapshot, name) for name in ("owner", "deputy", "executive", "manager")}


def for_whom(rule: Rule, snapshot: AccountDay | TrialSnapshot) -> whom.About:
    """What decides on who is told of an alert of this rule, as the snapshot has it."""
    account = snapshot.account if isinstance(snapshot, AccountDay) else snapshot.trial.account
    return whom.about_of(rule.name, rule.to, account, snapshot.region, people_of(snapshot))


def of_account(history: Sequence[AccountDay]) -> About:
    """`history`: closed days in their order. The numbers are of the newest day that has any."""
    newest = history[-1]
    shown = next((one for one in reversed(history) if one.kpis.mau is not None), newest)
    values, people = wording.values_of_account(shown, history), people_of(newest)
    labels = {name: value for name in ("segment", "plan") if (value := getattr(newest, name))}
    return About("account", newest.account, newest.account, newest.region, newest.owner, people, values, labels)


def of_trial(snapshot: TrialSnapshot) -> About:
    trial = snapshot.trial
    owner, labels = trial.engineer or snapshot.owner, {"complexity": str(trial.complexity)}
    values = wording.values_of_trial(snapshot)
    return About("trial", trial.opportunity, trial.account, snapshot.region, owner, people_of(snapshot), values, labels)


def of_team(snapshot: TeamSnapshot) -> About:
    """The quarter is the subject: another quarter is another question."""
    return About("team", snapshot.team.quarter, None, None, None, {}, wording.values_of_team(snapshot), {})


def of_instance(snapshot: InstanceSnapshot) -> About:
    values = wording.values_of_instance(snapshot)
    return About("instance", snapshot.instance, snapshot.account, None, None, {}, values, {})
