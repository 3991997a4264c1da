"""What is known of an account follows from its facts alone, however they arrived."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.events import AccountUpdated
from uptake.messages.facts import Fact
from uptake_metrics.accounts import Account, fold, in_order

START = datetime(2026, 1, 1, tzinfo=UTC)


def fact(number: int, event_type: str, *, day: int = 0, received: int = 0, source: str = "crm", **fields: Any) -> Fact:
    occurred_at = START + timedelta(days=day)
    event = {"id": f"e{number}", "type": event_type, "occurred_at": occurred_at, "account": "acme", **fields}
    return Fact.model_validate({"source": source, "received_at": START + timedelta(days=received), "event": event})


def updated(number: int, **fields: Any) -> Fact:
    return fact(number, "account.updated", **fields)


def test_an_unknown_account_has_the_defaults() -> None:
    account = fold("acme", [])
    assert account == Account("acme")
    assert (account.time_zone, account.telemetry, account.policy) == ("UTC", "full", "ce-2022")
    assert (account.seats_basis, account.production_date, account.licenses) == ("purchased", None, ())


def test_an_account_has_every_attribute_that_can_be_stated() -> None:
    envelope = {"id", "type", "occurred_at", "account"}
    assert AccountUpdated.model_fields.keys() - envelope == set(Account.__slots__) - {"account", "licenses"}


def test_a_field_left_out_stays_and_an_explicit_null_clears() -> None:
    first = updated(1, day=0, owner="ana", region="emea", time_zone="Europe/Berlin", use_cases=["ci", "search"])
    assert fold("acme", [first, updated(2, day=1, owner="bob")]) == Account(
        "acme", owner="bob", region="emea", time_zone="Europe/Berlin", use_cases=("ci", "search")
    )
    cleared = updated(3, day=2, owner=None, time_zone=None, use_cases=None)
    assert fold("acme", [first, cleared]) == Account("acme", region="emea")


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"day": 1, "received": 9}, {"day": 2, "received": 3}),  # when it occurred decides
        ({"day": 1, "received": 3, "number": 2}, {"day": 1, "received": 4}),  # then when it was received
        ({"day": 1, "source": "billing", "number": 2}, {"day": 1, "source": "crm"}),  # then the source
        ({"day": 1}, {"day": 1, "number": 2}),  # then the id
    ],
)
def test_the_newest_statement_holds(older: dict[str, Any], newer: dict[str, Any]) -> None:
    one, other = (
        updated(**{"number": 1, "owner": owner, **fields}) for owner, fields in (("old", older), ("new", newer))
    )
    assert fold("acme", [one, other]).owner == fold("acme", [other, one]).owner == "new"


def test_the_first_copy_of_a_fact_stands() -> None:
    again = updated(1, day=1, received=9, owner="ana")
    facts = [updated(1, day=1, received=1, owner="ana"), updated(2, day=1, received=5, owner="bob"), again]
    assert fold("acme", facts).owner == "bob"
    assert len(in_order(facts)) == 2


def test_other_facts_change_nothing() -> None:
    assert fold("acme", [fact(1, "user.deleted", user="u1")]) == Account("acme")


def test_licence_statements_are_kept_as_given_in_order() -> None:
    issued = fact(1, "license.issued", day=0, license="l1", seats=40)
    revoked = fact(2, "license.revoked", day=9, license="l1")
    assert fold("acme", [revoked, issued]).licenses == (issued.event, revoked.event)


STATEMENTS = st.lists(
    st.fixed_dictionaries(
        {"day": st.integers(0, 3), "received": st.integers(0, 3), "source": st.sampled_from(["crm", "billing"])},
        optional={
            "owner": st.sampled_from(["ana", "bob", None]),
            "production_date": st.sampled_from([date(2026, 1, 1), date(2028, 2, 29), None]),
            "use_cases": st.sampled_from([["ci"], [], None]),
        },
    ),
    max_size=8,
)


@given(statements=STATEMENTS, seed=st.randoms(use_true_random=False))
def test_any_order_and_any_duplicates_give_one_account(statements: list[dict[str, Any]], seed: random.Random) -> None:
    facts = [updated(number, **fields) for number, fields in enumerate(statements)]
    facts += [fact(100 + n, "license.issued", day=n % 2, license=f"l{n % 2}", seats=n) for n in range(4)]
    shuffled = facts + seed.choices(facts, k=5)
    seed.shuffle(shuffled)
    assert fold("acme", shuffled) == fold("acme", facts)
