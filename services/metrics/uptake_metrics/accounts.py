"""Folds the facts of one account into what is known of it. It judges nothing and reads no clock.

Source: the domain definition, "Late, early, duplicate": duplicates and any order of arrival give the same state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal, NamedTuple

from uptake.messages.events import AccountUpdated, LicenseIssued, LicenseRevoked, UserLinked, UserUnlinked
from uptake.messages.facts import Fact
from uptake_metrics.links import Links, in_force
from uptake_metrics.zones import local_day

_ENVELOPE = {"id", "type", "occurred_at", "account"}
_DATED = ("segment", "policy", "seats_basis", "addressable", "telemetry", "plan")
"""What a past day is judged by as it was then. Of all else the newest statement holds for all days: a date that is
stated again, a zone or a name is a correction."""


class Stated(NamedTuple):
    """The value of an attribute from a local day on; null is its default, which holds before the first one too."""

    since: date
    value: Any


@dataclass(frozen=True, slots=True)
class Account:
    """The newest statement of every attribute; what was never said, or was cleared, has its default."""

    account: str
    name: str | None = None
    region: str | None = None
    time_zone: str = "UTC"
    owner: str | None = None
    deputy: str | None = None
    executive: str | None = None
    manager: str | None = None
    segment: str | None = None
    plan: str | None = None
    telemetry: Literal["full", "pings", "none"] = "full"
    use_cases: tuple[str, ...] = ()
    contract_start: date | None = None
    production_date: date | None = None
    churned_at: datetime | None = None
    policy: str | None = None
    seats_basis: Literal["purchased", "addressable", "none"] = "purchased"
    addressable: int | None = None
    user_lists: bool = True
    """Whether the people behind a count may be listed."""
    licenses: tuple[LicenseIssued | LicenseRevoked, ...] = ()
    """Every statement about a licence, in the order of `in_order`."""
    links: Links = ()
    """Pairs of ids that name one person."""
    history: tuple[tuple[str, tuple[Stated, ...]], ...] = ()
    """The statements of each dated attribute that did not always have its newest value."""

    def on(self, day: date) -> "Account":
        """The account as it was at the end of its local `day`.

        It was introduced on the day of the oldest `account.updated`. What was said on that day reaches back to the
        beginning, since nothing contradicts it; what was first said later holds from its own day on.
        """
        if not self.history:
            return self
        return replace(self, **{name: _held(name, statements, day) for name, statements in self.history})


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once, in the order in which they were true; of equal instants the one received later wins.

    A fact is `(source, type, id)`, as FACTS keeps it; of two copies the first received one stands.
    """
    once: dict[tuple[str, str, str], Fact] = {}
    for fact in sorted(facts, key=lambda fact: fact.received_at):
        once.setdefault((fact.source, fact.event.type, fact.event.id), fact)
    return sorted(once.values(), key=lambda fact: (fact.occurred_at, fact.received_at, fact.source, fact.event.id))


def fold(account_id: str, facts: Iterable[Fact]) -> Account:
    """The account after its facts, given in any order and any number of times. Other kinds of fact change nothing.

    A field that an `account.updated` names overrides the older one; an explicit null brings the default back.
    """
    stated: dict[str, Any] = {}
    licenses: list[LicenseIssued | LicenseRevoked] = []
    links: list[UserLinked | UserUnlinked] = []
    updates: list[AccountUpdated] = []
    for fact in in_order(facts):
        match fact.event:
            case AccountUpdated() as event:
                updates.append(event)
                stated |= {name: getattr(event, name) for name in event.model_fields_set - _ENVELOPE}
            case LicenseIssued() | LicenseRevoked() as event:
                licenses.append(event)
            case UserLinked() | UserUnlinked() as event:
                links.append(event)
    known: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    known["use_cases"] = tuple(known.get("use_cases", ()))
    account = Account(account_id, **known, licenses=tuple(licenses), links=in_force(links))
    return replace(account, history=_history(updates, account.time_zone))


def _history(updates: list[AccountUpdated], zone: str) -> tuple[tuple[str, tuple[Stated, ...]], ...]:
    """`updates` in order; their days are those of the zone that holds now, as all days of the account are."""
    since = [local_day(event.occurred_at, zone) for event in updates]
    introduced = [date.min if day == since[0] else day for day in since]
    history = []
    for name in _DATED:
        stated = tuple(
            Stated(day, getattr(event, name))
            for day, event in zip(introduced, updates, strict=True)
            if name in event.model_fields_set
        )
        if len({_held(name, stated, day) for day in (date.min, *(one.since for one in stated))}) > 1:
            history.append((name, stated))
    return tuple(history)


def _held(name: str, statements: tuple[Stated, ...], day: date) -> Any:
    value = next((one.value for one in reversed(statements) if one.since <= day), None)
    return _DEFAULTS[name] if value is None else value


_DEFAULTS = {name: getattr(Account(""), name) for name in _DATED}
