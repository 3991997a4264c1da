"""What a rule may ask of a snapshot: metrics with units, and comparisons that are exact. Pure; computes no KPI anew.

Source: the domain definition; ratios are compared as rationals, thresholds are decimals. What is unknown is neither
true nor false: it has a reason.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from uptake.messages.kpi import AccountDay, InstanceSnapshot, TeamSnapshot, TrialSnapshot
from uptake.section import Section
from uptake_alerting.wall import start_of

SubjectKind = Literal["account", "trial", "team", "instance"]
Unit = Literal["ratio", "users", "seats", "days", "hours", "count", "state"]
Snapshot = AccountDay | TrialSnapshot | TeamSnapshot | InstanceSnapshot


class Unknown(NamedTuple):
    """A number that nobody knows, and why."""

    reason: str


class Ratio(NamedTuple):
    """A fraction that is not reduced, which takes most of the time. The denominator is positive."""

    numerator: int
    denominator: int


Number = Ratio | Fraction | int
Value = Number | str
Test = Callable[[Any], bool | Unknown]


class Due(NamedTuple):
    """When a limit is reached, and the day that then begins."""

    at: datetime
    day: date


class Metric(NamedTuple):
    """`of`: its value in a snapshot of the subject. `states`: what a state may be."""

    unit: Unit
    of: Callable[[Any], Value | Unknown]
    states: tuple[str, ...] = ()


def _ratio(num: int | None, den: int | None, reason: str | None) -> Value | Unknown:
    return Unknown(reason or "unknown") if num is None or den is None or den <= 0 else Ratio(num, den)


@lru_cache(maxsize=1_000)
def _decimal(value: float) -> Fraction:
    """As it is written."""
    return Fraction(str(value))


def _target(value: float | None, reason: str | None) -> Value | Unknown:
    return Unknown(reason or "no_target") if value is None else _decimal(value)


def _count(value: int | None, reason: str | None) -> Value | Unknown:
    return Unknown(reason or "unknown") if value is None else value


def _days(first: date | None, last: date, reason: str) -> Value | Unknown:
    return Unknown(reason) if first is None else (last - first).days


def _to_step(one: AccountDay) -> Value | Unknown:
    adoption = one.kpis.adoption
    if adoption.n is None or adoption.band_end is None:
        return Unknown("no_later_step")
    return adoption.band_end - adoption.n


def _rise(one: AccountDay) -> Value | Unknown:
    adoption = one.kpis.adoption
    if adoption.target is None or adoption.next_target is None:
        return Fraction(0)
    return _decimal(adoption.next_target) - _decimal(adoption.target)


def _status(status: str, reason: str | None) -> Value | Unknown:
    return Unknown(reason or "unknown") if status == "unknown" else status


def _health(one: AccountDay) -> Value | Unknown:
    return Unknown("no_telemetry") if one.kpis.data_health == "none" else one.kpis.data_health


METRICS: Mapping[SubjectKind, Mapping[str, Metric]] = {
    "account": {
        "adoption": Metric("ratio", lambda s: _ratio(s.kpis.adoption.num, s.kpis.adoption.den, s.kpis.adoption.reason)),
        "adoption_status": Metric(
            "state",
            lambda s: _status(s.kpis.adoption.status, s.kpis.adoption.reason),
            ("on_target", "off_target", "ramping", "not_started"),
        ),
        "target": Metric("ratio", lambda s: _target(s.kpis.adoption.target, s.kpis.adoption.reason)),
        "next_target": Metric("ratio", lambda s: _target(s.kpis.adoption.next_target, "no_later_step")),
        "next_rise": Metric("ratio", _rise),
        "pace": Metric("ratio", lambda s: _target(s.kpis.adoption.pace, s.kpis.adoption.reason)),
        "usage": Metric("ratio", lambda s: _ratio(s.kpis.usage.num, s.kpis.usage.den, s.kpis.usage.reason)),
        "dau": Metric("users", lambda s: _count(s.kpis.dau, s.kpis.reason)),
        "wau": Metric("users", lambda s: _count(s.kpis.wau, s.kpis.reason)),
        "mau": Metric("users", lambda s: _count(s.kpis.mau, s.kpis.reason)),
        "seats": Metric("seats", lambda s: _count(s.kpis.adoption.den, s.kpis.adoption.reason)),
        "production_day": Metric("days", lambda s: _days(s.production_date, s.kpis.as_of, "no_production_date")),
        "days_to_step": Metric("days", _to_step),
        "contract_day": Metric("days", lambda s: _days(s.contract_start, s.kpis.as_of, "no_contract_start")),
        "days_without_contact": Metric("days", lambda s: _days(s.kpis.last_contact, s.kpis.as_of, "no_telemetry")),
        "production": Metric("state", lambda s: "set" if s.production_date else "missing", ("set", "missing")),
        "data_health": Metric("state", _health, ("fresh", "stale")),
        "features_first_used": Metric("count", lambda s: len(s.features_first_used) + s.more_features),
    },
    "team": {
        "closure": Metric("ratio", lambda s: _ratio(s.team.closure.num, s.team.closure.den, s.team.closure.reason)),
        "target": Metric("ratio", lambda s: _decimal(s.team.closure.target)),
        "concluded": Metric("count", lambda s: s.team.closure.den),
    },
    "instance": {"unattributed_hours": Metric("hours", lambda s: Unknown("only_the_clock_tells"))},
    "trial": {},
}
LIMITS: Mapping[SubjectKind, tuple[str, ...]] = {
    "trial": ("approaching_on", "breached_on", "overlong_on", "policy_on"),
}
_SUFFIXES: Mapping[str, Unit] = {"%": "ratio", "days": "days", "day": "days", "hours": "hours", "h": "hours"}
_LARGEST_RATIO = 10
_DIGITS = 15  # before or behind the point: no count of anything here has more


class Threshold(NamedTuple):
    """A number with the unit that was written, or the name of another metric."""

    number: Fraction | int | None
    unit: Unit | None
    metric: str | None

    @property
    def text(self) -> str:
        """As it may be written."""
        return self.text_in(self.unit)

    def text_in(self, unit: Unit | None) -> str:
        number = self.number or 0
        return self.metric or (
            f"{_plain(number * 100)} %" if unit == "ratio" else f"{_plain(number)} {unit or ''}".strip()
        )


def _plain(number: Fraction | int) -> str:
    """All its digits: a threshold was written as a decimal."""
    return f"{(Decimal(number.numerator) / Decimal(number.denominator)).normalize():f}"


def _number(word: str) -> Fraction | None:
    """Exactly; null of what is none. `1e999999999` would be a fraction of a gigabyte."""
    try:
        number = Decimal(word)
        return Fraction(number) if number.is_finite() and abs(number.adjusted()) <= _DIGITS else None
    except (InvalidOperation, ValueError):
        return None


def _threshold(value: Any) -> Threshold:
    if isinstance(value, Threshold):
        return value
    words = str(value).replace("%", " %").split()
    if isinstance(value, bool) or not 1 <= len(words) <= 2:
        raise ValueError("must be a number, a number with a unit, or the name of a metric")
    number = _number(words[0])
    if number is None and len(words) == 1:
        return Threshold(None, None, words[0])
    if number is None:
        raise ValueError(f"{words[0][:40]} is no number, or out of all proportion")
    unit = _SUFFIXES.get(words[1].lower()) if len(words) == 2 else None
    if len(words) == 2 and unit is None:
        raise ValueError(f"no such unit: {words[1]}; one of %, days, hours, or none at all")
    exact = number / 100 if words[-1] == "%" else number
    return Threshold(exact.numerator if exact.denominator == 1 else exact, unit, None)  # whole ones compare faster


Limit = Annotated[Any, BeforeValidator(_threshold)]
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "below": operator.lt,
    "at_most": operator.le,
    "above": operator.gt,
    "at_least": operator.ge,
}


class Condition(Section):
    """`metric` with one comparison, or `all`/`any` of conditions, or a limit of a trial that the clock `reached`."""

    metric: str | None = None
    below: Limit | None = None
    at_most: Limit | None = None
    above: Limit | None = None
    at_least: Limit | None = None
    is_: str | None = Field(default=None, alias="is")
    all: tuple["Condition", ...] = ()
    any: tuple["Condition", ...] = ()
    reached: str | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        forms = [self.metric is not None, bool(self.all), bool(self.any), self.reached is not None]
        if sum(forms) != 1:
            raise ValueError("needs one of metric, all, any, reached")
        if (self.metric is not None) != (len(self.comparisons) + (self.is_ is not None) == 1):
            raise ValueError("a metric needs one of below, at_most, above, at_least, is")
        return self

    @cached_property
    def comparisons(self) -> dict[str, Threshold]:
        return {name: limit for name in _ORDERS if (limit := getattr(self, name)) is not None}

    @property
    def text(self) -> str:
        """In words, as `adoption below next_target and days_to_step at most 13 days`."""
        if self.all or self.any:
            parts = [f"({one.text})" if one.all or one.any else one.text for one in (*self.all, *self.any)]
            return (" and " if self.all else " or ").join(parts)
        if self.reached is not None:
            return f"{self.reached} is reached"
        if self.is_ is not None:
            return f"{self.metric} is {self.is_}"
        ((order, limit),) = self.comparisons.items()
        return f"{self.metric} {order.replace('_', ' ')} {limit.text}"

    def limit_of(self, kind: SubjectKind) -> str:
        """The number at which it turns, with the unit of its metric; all of it, where there is no such number."""
        if self.metric is None or not self.comparisons:
            return self.text
        ((_, limit),) = self.comparisons.items()
        return limit.text_in(METRICS[kind][self.metric].unit)

    def problems(self, kind: SubjectKind) -> list[str]:
        """What does not fit the subject: unknown metrics, states and units."""
        if self.all or self.any:
            return [problem for one in (*self.all, *self.any) for problem in one.problems(kind)]
        if self.reached is not None:
            known = LIMITS.get(kind, ())
            return [] if self.reached in known else [f"no such limit of {kind}s: {self.reached}"]
        return _problems_of(self, METRICS[kind], kind)

    def test(self, snapshot: Snapshot, kind: SubjectKind) -> bool | Unknown:
        """Exact. `all` is unknown when none is false and one is unknown; `any` likewise."""
        test = self._tests.get(kind)
        if test is None:
            test = self._tests[kind] = _test_of(self, kind)
        return test(snapshot)

    @cached_property
    def _tests(self) -> dict[SubjectKind, Test]:
        return {}

    def due(self, snapshot: TrialSnapshot | InstanceSnapshot) -> Due | None:
        """When the clock alone makes it true, and on which day; null when it will not."""
        if isinstance(snapshot, TrialSnapshot):
            day = getattr(snapshot, self.reached or "")
            running = snapshot.trial.state == "running" and day is not None
            return Due(start_of(day, snapshot.vendor_zone), day) if running else None
        if snapshot.account is not None:
            return None
        ((_, limit),) = self.comparisons.items()
        at = snapshot.since + timedelta(hours=float(limit.number or 0))
        return Due(at, at.date())


def overlap(fire: Condition, clear: Condition) -> bool:
    """Whether a value can meet both, where that can be told: one metric and two numbers."""
    if fire.metric is None or fire.metric != clear.metric:
        return False
    if fire.is_ is not None:
        return fire.is_ == clear.is_
    if not (fire.comparisons and clear.comparisons):
        return False
    ((one, low),), ((other, high),) = fire.comparisons.items(), clear.comparisons.items()
    if low.number is None or high.number is None:
        return low.metric == high.metric and _ORDERS[one](0, 0) and _ORDERS[other](0, 0)
    tried = [low.number + step + at for at in (0, high.number - low.number) for step in (-1, 0, 1)]
    tried.append(Fraction(low.number + high.number, 2))
    return any(_ORDERS[one](value, low.number) and _ORDERS[other](value, high.number) for value in tried)


def _problems_of(condition: Condition, metrics: Mapping[str, Metric], kind: SubjectKind) -> list[str]:
    metric = metrics.get(condition.metric or "")
    if metric is None:
        return [f"no such metric of {kind}s: {condition.metric}; one of {', '.join(metrics) or 'none'}"]
    if condition.is_ is not None:
        fits = condition.is_ in metric.states
        return [] if fits else [f"{condition.metric} is never {condition.is_}; one of {', '.join(metric.states)}"]
    ((_, limit),) = condition.comparisons.items()
    if metric.unit == "state":
        return [f"{condition.metric} is a state: compare it with `is`"]
    if limit.metric is not None:
        other = metrics.get(limit.metric)
        if other is None:
            return [f"no such metric of {kind}s: {limit.metric}; one of {', '.join(metrics)}"]
        return [] if other.unit == metric.unit else [_mismatch(condition.metric, metric.unit, other.unit)]
    if limit.unit is not None and limit.unit != metric.unit:
        return [_mismatch(condition.metric, metric.unit, limit.unit)]
    if metric.unit == "ratio" and abs(Fraction(limit.number or 0)) > _LARGEST_RATIO:
        return [f"{condition.metric} is a ratio: write {limit.number} % or {float(limit.number or 0) / 100}"]
    return []


def _mismatch(metric: str | None, unit: Unit, other: Unit) -> str:
    return f"{metric} is in {unit}, not in {other}"


def _test_of(condition: Condition, kind: SubjectKind) -> Test:
    """Looked up once: a close asks each condition of ten thousands of snapshots."""
    if condition.all or condition.any:
        parts = [_test_of(one, kind) for one in (*condition.all, *condition.any)]
        return _joined(parts, decisive=not condition.all)
    if condition.metric is None:
        return lambda snapshot: Unknown("only_the_clock_tells")
    value_of = METRICS[kind][condition.metric].of
    if condition.is_ is not None:
        return _equals(value_of, condition.is_)
    ((order, limit),) = condition.comparisons.items()
    bound_of = METRICS[kind][limit.metric].of if limit.metric is not None else lambda snapshot: limit.number
    return _compares(value_of, _ORDERS[order], bound_of)


def _joined(parts: Sequence[Test], decisive: bool) -> Test:
    """One part that is `decisive` is enough: false of `all`, true of `any`."""

    def test(snapshot: Any) -> bool | Unknown:
        found: bool | Unknown = not decisive
        for part in parts:
            one = part(snapshot)
            if one is decisive:
                return one
            if isinstance(one, Unknown) and not isinstance(found, Unknown):
                found = one
        return found

    return test


def _equals(value_of: Callable[[Any], Value | Unknown], state: str) -> Test:
    def test(snapshot: Any) -> bool | Unknown:
        value = value_of(snapshot)
        return value if isinstance(value, Unknown) else value == state

    return test


def _compares(
    value_of: Callable[[Any], Any], order: Callable[[int, int], bool], bound_of: Callable[[Any], Any]
) -> Test:
    """Crosswise, in integers: as exact as fractions are, and nothing needs to be reduced."""

    def test(snapshot: Any) -> bool | Unknown:
        value = value_of(snapshot)
        if isinstance(value, Unknown):
            return value
        bound = bound_of(snapshot)
        if isinstance(bound, Unknown):
            return bound
        return order(value.numerator * bound.denominator, bound.numerator * value.denominator)

    return test
