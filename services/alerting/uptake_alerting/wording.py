"""What a notice says, from the snapshot in its alert event alone. Pure; customer text is data and never markup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountSnapshot, TrialSnapshot

NAME_LENGTH = 80
DIGEST_LINES = 50
SLACK_LENGTH = 3000
_SHORTENED = "…"

NEXT_STEPS = {
    "adoption-below-target": "Ask the champion which teams have no access yet, and plan their onboarding.",
    "trial-breached": "Agree on a decision date with the sponsor, or stop the trial.",
    "mass-breach": "Look at the collection of events first; then let the notices go: uptake alerts release RULE.",
    "pipeline-down": "Look whether metrics runs and its events arrive; the notices go on by themselves.",
    "alert-undelivered": "Repair the channel, or give routes.yml and roster.yml another one.",
}
_ENDINGS = {
    "on_target": "it has been on target for three closed days in a row",
    "trial_stopped": "the trial has stopped",
    "data_revised": "late data show that the condition did not hold",
    "reclassified": "the complexity of the trial changed, and with it the limit",
    "date_corrected": "its dates were corrected",
    "churned": "the account has churned",
    "closed_by_hand": "somebody closed it by hand",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Plain text; each channel brings it into its own form."""

    headline: str
    lines: tuple[str, ...]


def values_of_account(snapshot: AccountSnapshot, last: list[float | None]) -> dict[str, Any]:
    """The numbers of one closed day, kept with the event so that its reader asks nobody."""
    kpis, adoption = snapshot.kpis, snapshot.kpis.adoption
    return {
        "name": snapshot.name,
        "as_of": kpis.as_of.isoformat(),
        "revision": kpis.revision,
        "data_health": kpis.data_health,
        "mau": kpis.mau,
        "adoption": {"value": adoption.value, "num": adoption.num, "den": adoption.den, "basis": adoption.basis},
        "target": adoption.target,
        "next_target": adoption.next_target,
        "band_end": adoption.band_end,
        "n": adoption.n,
        "policy": adoption.policy,
        "window_days": 30,
        "seats": adoption.den,
        "seats_before": snapshot.seats_before,
        "seats_changed_on": snapshot.seats_changed_on.isoformat() if snapshot.seats_changed_on else None,
        "last": last[-14:],
    }


def values_of_trial(snapshot: TrialSnapshot) -> dict[str, Any]:
    trial = snapshot.trial
    return {
        "name": snapshot.name,
        "revision": snapshot.revision,
        "complexity": trial.complexity,
        "engineer": trial.engineer,
        "started": trial.started.isoformat(),
        "target_days": trial.target_days,
        "breached_on": snapshot.breached_on.isoformat() if snapshot.breached_on else None,
        "outcome": trial.outcome,
        "cycle_days": trial.cycle_days if trial.state == "stopped" else None,  # of a running trial it is already old
        "vendor_zone": snapshot.vendor_zone,
    }


def summary(rule: str, subject: str, values: Mapping[str, Any], state: str, reason: str) -> str:
    """One line: what broke (or is over), the number and the target."""
    who, over = short(values.get("name") or subject), state in ("resolved", "closed")
    if rule in ("mass-breach", "alert-undelivered", "pipeline-down"):
        return _about_alerting(rule, subject, values, over)
    if rule == "trial-breached":
        trial = f"Trial {short(subject)} of {who}"
        return f"{trial}: {_ending(reason)}" if over else f"{trial} runs past its {values['target_days']} days"
    adoption = values["adoption"]
    found = f"{_adoption(values)} ({adoption['num']}/{adoption['den']} seats), target {_target(values['target'])}"
    if state == "resolved":
        return f"{who} is back on its adoption target: {found}"
    return f"{who}: {_ending(reason)}" if over else f"{who} is below its adoption target: {found}"


def _about_alerting(rule: str, subject: str, values: Mapping[str, Any], over: bool) -> str:
    if rule == "mass-breach":
        many = f"{values['breaching']} of {values['subjects']} subjects breach {subject} at once"
        return f"The notices of {subject} were let go" if over else f"{many}: their notices are held back"
    if rule == "pipeline-down":
        return "Numbers come again" if over else f"No numbers have come since {values['last']}: all alerts wait"
    about = f"{values['rule']} about {short(values['subject'])}"
    return f"Somebody was told of {about}, or it is over" if over else f"Nobody could be told of {about}"


def digest(items: Sequence[AlertData], person: str | None, title: str) -> Notice:
    """One line for each alert, as it is by now; the most severe and the longest open first."""
    rank = {"critical": 0, "warning": 1, "info": 2}
    over = ("resolved", "closed")
    ordered = sorted(items, key=lambda data: (data.state in over, rank[data.severity], str(data.since), data.episode))
    lines = [f"{data.state if data.state in over else data.severity}: {data.summary}" for data in ordered]
    more = [f"and {len(lines) - DIGEST_LINES} more"] if len(lines) > DIGEST_LINES else []
    for_whom = f" for {short(person)}" if person else ""
    return Notice(f"{title}{for_whom}: {len(items)}", (*lines[:DIGEST_LINES], *more))


def notice(data: AlertData, why: str) -> Notice:
    """`data` is the event's snapshot: of the firing for a trigger, of the end for a terminal."""
    over = data.state in ("resolved", "closed")
    state = f"Was off since {data.since}; over because {_ending(data.reason)}." if over else f"Off since {data.since}."
    lines_of = {"trial": _trial_lines, "account": _account_lines}.get(data.subject_kind)
    numbers = lines_of(data) if lines_of else []
    owner = f"Owner: {short(data.owner) if data.owner else 'nobody'}. You get this because {short(why)}."
    step = [] if over else [f"Next step: {data.next_step}"]
    label = data.state.capitalize() if over else data.severity.capitalize()
    return Notice(f"{label}: {data.summary}", (state, *numbers, owner, *step))


def slack_text(text: Notice) -> str:
    """Slack's mrkdwn: `&`, `<` and `>` are all that can turn text into a mention or a link."""
    escaped = "\n".join((f"*{_one_line(text.headline)}*", *map(_one_line, text.lines)))
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped) <= SLACK_LENGTH:
        return escaped
    cut = escaped[: SLACK_LENGTH - len(_SHORTENED)]
    return cut[: cut.rfind("&")] + _SHORTENED if "&" in cut[-5:] else cut + _SHORTENED  # never half an entity


def short(text: str) -> str:
    """One line of bounded length, whatever the customer is called."""
    line = _one_line(text)
    return line if len(line) <= NAME_LENGTH else line[: NAME_LENGTH - 1] + _SHORTENED


def percent(ratio: Fraction) -> str:
    """`24 %`, `62.5 %`: up to one decimal, cut rather than rounded, so that 24.96 never reads as 25."""
    tenths = int(ratio * 1000)
    return f"{tenths // 10}.{tenths % 10} %" if tenths % 10 else f"{tenths // 10} %"


def _ending(reason: str) -> str:
    return _ENDINGS.get(reason, reason)


def _adoption(values: Mapping[str, Any]) -> str:
    num, den = values["adoption"]["num"], values["adoption"]["den"]
    return percent(Fraction(num, den)) if num is not None and den else "unknown"


def _target(target: float | None) -> str:
    return percent(Fraction(str(target))) if target is not None else "none"


def _account_lines(data: AlertData) -> list[str]:
    values = data.values
    band = f"until day {values['band_end']}" if values["band_end"] is not None else "with no later step"
    later = f", then {_target(values['next_target'])}" if values["next_target"] is not None else ""
    lines = [
        f"Adoption {_adoption(values)} = {values['adoption']['num']} active users "
        f"of {values['adoption']['den']} seats over {values['window_days']} days, as of {values['as_of']}.",
        f"Target {_target(values['target'])} on day {values['n']} ({values['policy']}), {band}{later}.",
    ]
    if values["seats_changed_on"] is not None:
        before = "none" if values["seats_before"] is None else values["seats_before"]
        lines.append(f"Seats {before} -> {values['seats']} on {values['seats_changed_on']}.")
    return lines


def _trial_lines(data: AlertData) -> list[str]:
    values = data.values
    due = f", so it is over from {values['breached_on']}" if values["breached_on"] else ""
    lines = [
        f"A {values['complexity']} trial, started on {values['started']}, due in {values['target_days']} days{due}."
    ]
    if values["cycle_days"] is not None:
        lines.append(f"It took {values['cycle_days']} days; outcome: {values['outcome'] or 'none'}.")
    return lines


def _one_line(text: str) -> str:
    return " ".join(text.split())
