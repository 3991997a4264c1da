"""Folds the facts of one account into what is known of it. It judges nothing and reads no clock.

Source: the domain definition, "Late, early, duplicate": duplicates and any order of arrival give the same state.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from uptake.messages.events import AccountUpdated, LicenseIssued, LicenseRevoked
from uptake.messages.facts import Fact

_ENVELOPE = {"id", "type", "occurred_at", "account"}


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
    policy: str = "ce-2022"
    seats_basis: Literal["purchased", "addressable", "none"] = "purchased"
    addressable: int | None = None
    licenses: tuple[LicenseIssued | LicenseRevoked, ...] = ()
    """Every statement about a licence, in the order of `in_order`."""


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
    for fact in in_order(facts):
        match fact.event:
            case AccountUpdated() as event:
                stated |= {name: getattr(event, name) for name in event.model_fields_set - _ENVELOPE}
            case LicenseIssued() | LicenseRevoked() as event:
                licenses.append(event)
    known: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    known["use_cases"] = tuple(known.get("use_cases", ()))
    return Account(account_id, **known, licenses=tuple(licenses))
