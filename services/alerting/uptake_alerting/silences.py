"""Silences: which alerts one covers, and which one is refused. Pure: nothing is read or written."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from uptake.messages.alerts import AlertData

LONGEST = timedelta(days=30)
_MATCHER = re.compile(r"\s*([a-z][a-z0-9_]{0,63})\s*(!=|=)\s*(.*?)\s*", re.DOTALL)
_LONGEST_VALUE = 200


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label of an alert and its value, or any other value. No patterns: names come from customers."""

    name: str
    op: Literal["=", "!="]
    value: str

    def covers(self, labels: Mapping[str, str]) -> bool:
        """A label that an alert does not have has the empty value."""
        return (labels.get(self.name, "") == self.value) == (self.op == "=")

    def __str__(self) -> str:
        return f"{self.name}{self.op}{self.value}"


@dataclass(frozen=True, slots=True)
class Silence:
    """In force from `starts_at` until just before `ends_at`, over every alert that all matchers cover."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime

    def is_active(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at

    def covers(self, labels: Mapping[str, str]) -> bool:
        return bool(self.matchers) and all(matcher.covers(labels) for matcher in self.matchers)


class Silences:
    """Many, found by what they ask for: an alert need not be held against each of them."""

    def __init__(self, silences: Iterable[Silence]) -> None:
        self._asking: dict[tuple[str, str] | None, list[Silence]] = defaultdict(list)
        for silence in silences:
            asks = next(((m.name, m.value) for m in silence.matchers if m.op == "=" and m.value), None)
            self._asking[asks].append(silence)

    def covering(self, labels: Mapping[str, str], now: datetime) -> list[Silence]:
        near = (silence for asks in (None, *labels.items()) for silence in self._asking.get(asks, ()))
        return [silence for silence in near if silence.is_active(now) and silence.covers(labels)]


def labels_of(data: AlertData, severity: str, of_rule: Mapping[str, str]) -> dict[str, str]:
    """What matchers see of an alert; `severity` is that of now."""
    found = {
        "rule": data.rule,
        "subject": data.subject,
        "subject_kind": data.subject_kind,
        "account": data.account,
        "region": data.region,
        "severity": severity,
        "owner": data.owner,
    }
    return dict(of_rule) | {name: value for name, value in found.items() if value}


def parse_matcher(text: str) -> Matcher:
    """`account=acme` or `region!=emea`. Raises ValueError that says what was expected."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no matcher: write NAME=VALUE or NAME!=VALUE")
    name, op, value = found.groups()
    return Matcher(name, "=" if op == "=" else "!=", value)


def refusal(matchers: Sequence[Matcher], starts_at: datetime, ends_at: datetime, now: datetime) -> str | None:
    """Why such a silence is not made; None: it is fine."""
    if not any(matcher.op == "=" and matcher.value for matcher in matchers):
        return "at least one matcher must ask for a value, such as account=acme: else everything would be silent"
    if len({matcher.name for matcher in matchers if matcher.op == "="}) < sum(m.op == "=" for m in matchers):
        return "two matchers ask for different values of one label: no alert has both"
    if any(len(matcher.value) > _LONGEST_VALUE for matcher in matchers):
        return f"a value is longer than {_LONGEST_VALUE} characters"
    if ends_at <= starts_at:
        return "it ends before it starts"
    if ends_at <= now:
        return "it is over already"
    if ends_at - max(starts_at, now) > LONGEST:
        return "it is longer than 30 days: whatever lasts longer is a rule to change"
    return None
