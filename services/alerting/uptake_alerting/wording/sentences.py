"""One line of each rule: what broke or how it ended, in words and numbers. Pure.

The annotations `summary` and `resolved` of a rule stand in for ours: `{who}`, `{adoption}`, `{mau}` … are filled in.
"""

from collections.abc import Mapping
from fractions import Fraction
from string import Formatter
from typing import Any, NamedTuple

from uptake_alerting.wording.text import percent, short

Values = Mapping[str, Any]


class Sentence(NamedTuple):
    firing: str
    resolved: str
    next_step: str


SENTENCES = {
    "adoption-below-target": Sentence(
        "{who} is below its adoption target: {adoption}, target {target}",
        "{who} is back on its adoption target: {adoption}, target {target}",
        "Ask the champion which teams have no access yet, and plan their onboarding.",
    ),
    "adoption-step-up-at-risk": Sentence(
        "{who} is at {adoption}, and its target rises to {next_target} after day {band_end}",
        "{who} has reached its next adoption target: {adoption}",
        "Agree with the champion on who starts before the target rises.",
    ),
    "usage-unhealthy": Sentence(
        "{who} is not in the habit: usage {usage}, limit {limit}",
        "{who} is in the habit again: usage {usage}",
        "Find out which daily task the tool does not fit yet, and show it to those who come now and then.",
    ),
    "account-dormant": Sentence(
        "{who}: {active} in the 30 days to {as_of}",
        "{who} is active again: {mau} active users",
        "Call the champion today: is the tool installed, reachable and known to its users?",
    ),
    "seats-exceeded": Sentence(
        "{who} has outgrown its seats: {adoption}, limit {limit}",
        "{who} has room in its seats again: {adoption}, limit {limit}",
        "Tell the account executive: there is an expansion to talk about.",
    ),
    "trial-approaching": Sentence(
        "Trial {trial} of {who} is near its {target_days} days",
        "Trial {trial} of {who}: {ending}",
        "Fix the date of the decision with the sponsor.",
    ),
    "trial-breached": Sentence(
        "Trial {trial} of {who} runs past its {target_days} days",
        "Trial {trial} of {who}: {ending}",
        "Agree on a decision date with the sponsor, or stop the trial.",
    ),
    "trial-overlong": Sentence(
        "Trial {trial} of {who} runs for more than 30 days",
        "Trial {trial} of {who}: {ending}",
        "Ask for the decision, or stop the trial: what is still open after 30 days is rarely technical.",
    ),
    "trial-policy": Sentence(
        "Trial {trial} of {who} runs for more than three months",
        "Trial {trial} of {who}: {ending}",
        "Decide with the engineer whether this trial goes on; policy allows three months.",
    ),
    "closure-below-target": Sentence(
        "Technical closure of {quarter} is {closure} so far, target {target}",
        "Technical closure of {quarter} is on target again: {closure}",
        "Go through the lost trials of the quarter: which reasons come twice?",
    ),
    "telemetry-silent": Sentence(
        "{who} has sent nothing since {last_contact}",
        "{who} sends data again",
        "Ask the administrator whether the installation runs and may reach us; its numbers are not current.",
    ),
    "production-overdue": Sentence(
        "{who} has no production date; its contract began on {contract_start}",
        "{who} went into production on {production_date}",
        "Find out what keeps the production setup, and record its date.",
    ),
    "feature-first-use": Sentence(
        "{who} used for the first time: {features}",
        "{who} used for the first time: {features}",
        "Ask how it went, and who else could use it.",
    ),
    "instance-unattributed": Sentence(
        "Installation {subject} sends data, and nobody knows whose it is",
        "Installation {subject} belongs to an account now",
        "Find out whose installation it is, and publish `instance.mapped`.",
    ),
    "mass-breach": Sentence(
        "{breaching} of {subjects} subjects so far breach {subject} at once: their notices are held back",
        "The notices of {subject} were let go",
        "Look at the collection of events first; then let the notices go: uptake alerts release RULE.",
    ),
    "alert-undelivered": Sentence(
        "Nobody could be told of {rule} about {subject}",
        "Somebody was told of {rule} about {subject}, or it is over",
        "Repair the channel, or give routes.yml and roster.yml another one.",
    ),
    "pipeline-down": Sentence(
        "No numbers have come since {last}: all alerts wait",
        "Numbers come again",
        "Look whether metrics runs and its events arrive; the notices go on by themselves.",
    ),
}
NEXT_STEPS = {rule: sentence.next_step for rule, sentence in SENTENCES.items()}
_OTHER = Sentence("{who}: {rule}", "{who}: {rule} is over", "Look at the account.")

ENDINGS = {
    "on_target": "it has been on target for {keep}",
    "cleared": "its condition no longer holds",
    "fresh": "data arrive again",
    "mapped": "the installation belongs to an account now",
    "quarter_over": "the quarter is over",
    "out_of_scope": "the rule no longer looks at it",
    "trial_stopped": "the trial has stopped",
    "data_revised": "late data show that the condition did not hold",
    "reclassified": "the complexity of the trial changed, and with it the limit",
    "date_corrected": "its dates were corrected",
    "churned": "the account has churned",
    "rule_removed": "the rule was removed",
    "rule_changed": "the rule was changed, and it would not have fired",
    "closed_by_hand": "somebody closed it by hand",
    "one_shot": "it is told once",
}


def summary(
    rule: str, subject: str, values: Values, state: str, reason: str, annotations: Mapping[str, str] | None = None
) -> str:
    """What broke, or is over, with the number and the target."""
    shipped, own = SENTENCES.get(rule, _OTHER), annotations or {}
    words = {"rule": rule, "ending": ending(reason, values)} | fields(subject, values)
    if state == "closed" and reason != "one_shot":
        who = f"Trial {words['trial']} of {words['who']}" if "trial" in words else words["who"]
        return f"{who}: {ending(reason, values)}"
    if state == "resolved":
        return _filled(own.get("resolved", shipped.resolved), words)
    return _filled(own.get("summary", shipped.firing), words)


def ending(reason: str, values: Values) -> str:
    """Why it is over; `values` say what the rule asks for."""
    return _filled(ENDINGS.get(reason, reason.replace("_", " ")), values.get("terms", {}))


def fields(subject: str, values: Values) -> dict[str, str]:
    """What a sentence may name, as text. What is not known reads `unknown`, never 0."""
    found = {name: _text(value) for name, value in values.items() if not isinstance(value, dict)}
    found = {"who": short(values.get("name") or subject), "subject": short(subject)} | found
    found |= values.get("terms", {})
    if "mau" in values:
        found["active"] = _active(values["mau"])
    for name in ("target", "next_target"):
        if name in values:
            found[name] = target(values[name])
    for name, unit in (("adoption", "seats"), ("usage", None), ("closure", "trials")):
        if isinstance(values.get(name), Mapping) and "den" in values[name]:
            found[name] = ratio(values[name], unit)
    if "complexity" in values:
        found["trial"] = short(subject)
    return found


def ratio(number: Values, unit: str | None = None) -> str:
    """`24 % (24/100 seats)`, or without a unit the percentage alone."""
    num, den = number["num"], number["den"]
    if num is None or not den:
        return "unknown"
    share = percent(Fraction(num, den))
    return f"{share} ({num}/{den} {unit})" if unit else share


def target(value: float | None) -> str:
    return percent(Fraction(str(value))) if value is not None else "none"


def _active(users: int | None) -> str:
    if users is None:
        return "nobody knows who was active"
    return {0: "nobody was active", 1: "1 user was active"}.get(users, f"{users} users were active")


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return short(", ".join(map(str, value))) if value else "none"
    return short(str(value))


class _Words(Formatter):
    """Names alone: no attribute, no index, no format of a field can be reached from a rule's text."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return kwargs.get(field_name, "unknown"), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return str(value)

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        return value


def _filled(sentence: str, words: Mapping[str, str]) -> str:
    try:
        return _Words().vformat(sentence, (), words)
    except ValueError:  # a lone brace in somebody's own sentence
        return sentence
