"""Rules as data: what `rules.yml` says, and the few that are built in. Pure: judges nothing, reads no file."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from uptake.messages.alerts import Severity
from uptake.messages.fields import FreeText, Label, Slug
from uptake.section import Section, refused
from uptake_alerting.conditions import Condition, SubjectKind, overlap

Role = Literal["owner", "deputy", "engineer", "executive", "manager", "director", "operators", "ce_ops"]
Delivery = Literal["at_once", "working_hours", "digest"]
_DELIVERY: Mapping[Severity, Delivery] = {"critical": "at_once", "warning": "working_hours", "info": "digest"}
Word = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]  # of labels, as Prometheus has it
Text = Annotated[FreeText, Field(max_length=2_000)]
_MOST_HOURS = 87_600  # of a limit that the clock alone tells
_LONGEST = 200  # of a condition in words
_UNITS = {"": "samples", "days": "days", "day": "days", "business days": "business_days", "samples": "samples"}


class Hold(NamedTuple):
    """How long a condition has to hold: known closed days in a row, calendar days, or days from Monday to Friday."""

    number: int = 1
    unit: Literal["samples", "days", "business_days"] = "samples"

    @property
    def text(self) -> str:
        """In words, as `3 closed days in a row`."""
        if self.unit == "samples":
            return "1 closed day" if self.number == 1 else f"{self.number} closed days in a row"
        days = "day" if self.number == 1 else "days"
        return f"{self.number} business {days}" if self.unit == "business_days" else f"{self.number} {days}"


def _hold(value: Any) -> Hold:
    if isinstance(value, Hold):
        return value
    number, _, unit = str(value).strip().partition(" ")
    if not number.isdecimal() or not 1 <= int(number[:4]) <= 366 or unit.strip() not in _UNITS:
        raise ValueError("must be a number of closed days such as 3, `3 days` or `3 business days`")
    return Hold(int(number), _UNITS[unit.strip()])  # type: ignore[arg-type]  # the values are the literals


class AppliesTo(Section):
    """Which samples a rule looks at. Out of its scope an alert ends; on days that say nothing it stands still."""

    from_day: int | None = Field(default=None, ge=0, le=10_000)
    fresh: bool = True
    outside_seat_grace: bool = False
    segments: tuple[Label, ...] = ()
    regions: tuple[Label, ...] = ()
    plans: tuple[Label, ...] = ()


class SeverityStep(Section):
    severity: Severity
    when: Condition


class Rule(Section):
    """One kind of alert. The first of `severity_when` that is true says how bad it is, else `severity`."""

    name: Slug = Field(alias="alert")
    subject_kind: SubjectKind | Literal["rule", "episode"] = Field(alias="subject")
    when: Condition | None = None
    clear: Condition | None = None
    hold: Annotated[Hold, BeforeValidator(_hold)] = Field(default=Hold(), alias="for")
    keep: Annotated[Hold, BeforeValidator(_hold)] = Field(default=Hold(), alias="keep_firing_for")
    severity: Severity = "warning"
    severity_when: tuple[SeverityStep, ...] = ()
    applies_to: AppliesTo = AppliesTo()
    one_shot: bool = False
    inhibits: tuple[Slug, ...] = ()
    to: tuple[Role, ...] = Field(default=("owner",), min_length=1)
    deliver: Delivery | None = None
    bypass_quiet_hours: bool = False
    labels: Annotated[dict[Word, Label], Field(max_length=32)] = Field(default_factory=dict)
    annotations: Annotated[dict[Word, Text], Field(max_length=16)] = Field(default_factory=dict)

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        return tuple(one for one in (self.when, self.clear, *(step.when for step in self.severity_when)) if one)

    @property
    def fingerprint(self) -> str:
        """Changes with whatever decides when it fires."""
        decides = self.model_dump_json(
            include={
                "subject_kind",
                "when",
                "clear",
                "hold",
                "keep",
                "severity",
                "severity_when",
                "applies_to",
                "one_shot",
            }
        )
        return hashlib.sha256(decides.encode()).hexdigest()[:16]

    @cached_property
    def terms(self) -> dict[str, str]:
        """What a message may say of it: the limit at which it fires, and how long it must hold, or be over."""
        limit = {"limit": self.when.limit_of(self.subject_kind)[:_LONGEST]} if self.when is not None else {}  # type: ignore[arg-type]
        return limit | {"for": self.hold.text, "keep": self.keep.text}

    def delivery_of(self, severity: Severity) -> Delivery:
        return self.deliver or _DELIVERY[severity]

    @model_validator(mode="after")
    def _fits_its_subject(self) -> Self:
        kind = self.subject_kind
        if kind == "rule" or kind == "episode":
            return self
        if self.when is None:
            raise ValueError("when is missing")
        for condition in self.conditions:
            for problem in condition.problems(kind):
                raise ValueError(problem)
        if self.clear is not None and overlap(self.when, self.clear):
            raise ValueError("clear is looser than when: one value would fire and resolve at once")
        if kind != "account" and (self.hold != Hold() or self.keep != Hold() or self.one_shot):
            raise ValueError("for, keep_firing_for and one_shot are about closed days, which only accounts have")
        if kind != "account" and self.applies_to.model_fields_set:
            raise ValueError("applies_to is about accounts")
        if kind in ("trial", "instance"):
            self._fits_the_clock(self.when)
        return self

    def _fits_the_clock(self, when: Condition) -> None:
        """Only a clock judges it: one limit, and nothing beside it."""
        if self.clear is not None or self.severity_when:
            raise ValueError("clear and severity_when are about closed days, which only accounts have")
        limit = [name for name in when.comparisons if name in ("at_least", "above")]
        if limit and float(when.comparisons[limit[0]].number or 0) > _MOST_HOURS:
            raise ValueError(f"when: at most {_MOST_HOURS} hours, which are ten years")
        if when.reached is None and not (limit and when.comparisons[limit[0]].number is not None):
            raise ValueError("when: a clock alone tells this; write one limit: `reached`, or at_least with a number")


class Group(Section):
    name: Slug
    rules: tuple[Rule, ...] = ()


class Rules(Section):
    """`groups: []` is no rule at all. A file without it is none: an editor may just be writing it anew."""

    groups: tuple[Group, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen = set(META_RULES)
        known = set(META_RULES) | {rule.name for rule in self.alerts}
        for at, group in enumerate(self.groups):
            for number, rule in enumerate(group.rules):
                if rule.name in seen:
                    raise refused(f"alert {rule.name} stands twice, or is built in", "groups", at, "rules", number)
                seen.add(rule.name)
                if rule.name in rule.inhibits:
                    raise refused(f"{rule.name} inhibits itself", "groups", at, "rules", number, "inhibits")
                for name in set(rule.inhibits) - known:
                    raise refused(f"inhibits an unknown alert: {name}", "groups", at, "rules", number, "inhibits")
        return self

    @cached_property
    def alerts(self) -> tuple[Rule, ...]:
        return tuple(rule for group in self.groups for rule in group.rules)

    @cached_property
    def by_name(self) -> Mapping[str, Rule]:
        """Also those that are built in."""
        return META_RULES | {rule.name: rule for rule in self.alerts}

    def of(self, kind: SubjectKind) -> list[Rule]:
        return [rule for rule in self.alerts if rule.subject_kind == kind]


def _meta(name: str, subject_kind: Literal["rule", "episode"], inhibits: tuple[str, ...] = ()) -> Rule:
    return Rule.model_validate(
        {
            "alert": name,
            "subject": subject_kind,
            "severity": "critical",
            "to": ["operators"],
            "bypass_quiet_hours": True,
            "inhibits": inhibits,
        }
    )


#: About alerting itself, for those who operate it; in no file, so that no edit can lose them.
META_RULES: dict[str, Rule] = {
    "mass-breach": _meta("mass-breach", "rule"),
    "alert-undelivered": _meta("alert-undelivered", "episode"),
    "pipeline-down": _meta("pipeline-down", "rule"),
}
