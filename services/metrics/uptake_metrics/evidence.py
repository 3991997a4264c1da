"""Which fact said so: what stands beside a number or a change as its source. It reads no store and judges nothing."""

from collections.abc import Iterable
from datetime import date
from typing import Literal

from uptake.messages.events import AccountUpdated, LicenseIssued, LicenseRevoked
from uptake.messages.facts import Fact
from uptake.messages.fields import Day, Instant, Message
from uptake_metrics.accounts import fold, in_order
from uptake_metrics.zones import local_day

DATES: tuple[Literal["production_date", "contract_start"], ...] = ("production_date", "contract_start")


class Evidence(Message):
    """A fact by its name: `(source, type, id)` is unique for ever."""

    source: str
    type: str
    id: str
    occurred_at: Instant
    received_at: Instant


class Correction(Message):
    """A date of the account that a fact moved."""

    field: Literal["production_date", "contract_start"]
    before: Day | None
    after: Day | None
    fact: Evidence


def evidence(fact: Fact) -> Evidence:
    event = fact.event
    return Evidence(
        source=fact.source,
        type=event.type,
        id=event.id,
        occurred_at=event.occurred_at,
        received_at=fact.received_at,
    )


def said_by(facts: Iterable[Fact], field: str, day: date | None = None, zone: str = "UTC") -> Evidence | None:
    """The fact whose statement of this attribute of the account holds: the newest of all, or at the end of `day`.

    Null when none had named it by then. What was said on the day on which the account was introduced reaches back to
    the beginning, as `Account.on` has it.
    """
    updates = [fact for fact in in_order(facts) if isinstance(fact.event, AccountUpdated)]
    if day and updates:
        introduced = local_day(updates[0].occurred_at, zone)
        updates = [fact for fact in updates if local_day(fact.occurred_at, zone) <= max(day, introduced)]
    held = [fact for fact in updates if field in fact.event.model_fields_set]
    return evidence(held[-1]) if held else None


def of_license(facts: Iterable[Fact], statement: LicenseIssued | LicenseRevoked) -> Evidence | None:
    """The fact that carries this statement."""
    return next((evidence(fact) for fact in in_order(facts) if fact.event == statement), None)


def corrections(facts: Iterable[Fact], arrived_before: Iterable[Fact]) -> list[Correction]:
    """How each of `facts`, in the order of their arrival, moved a date that `arrived_before` had told."""
    known, moved = list(arrived_before), list[Correction]()
    for fact in sorted(facts, key=lambda fact: fact.received_at):
        learnt = [*known, fact]
        was, now = fold("", known), fold("", learnt)
        for field in DATES:
            before, after = getattr(was, field), getattr(now, field)
            if before != after:
                moved.append(Correction(field=field, before=before, after=after, fact=evidence(fact)))
        known = learnt
    return moved
