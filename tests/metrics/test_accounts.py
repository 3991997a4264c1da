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
    assert (account.time_zone, account.telemetry, account.policy) == ("UTC", "full", None)
    assert (account.seats_basis, account.production_date, account.licenses) == ("purchased", None, ())


def test_an_account_has_every_attribute_that_can_be_stated() -> None:
    envelope = {"id", "type", "occurred_at", "account"}
    assert AccountUpdated.model_fields.keys() - envelope == set(Account.__slots__) - {
        "account",
        "licenses",
        "links",
        "history",
    }


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


DATED = {
    "segment": ("smb", "bank", None),
    "policy": ("ta-2022", "ta-2023", None),
    "seats_basis": ("addressable", "none", "purchased"),
    "addressable": (100, 200, None),
    "telemetry": ("pings", "none", "full"),
    "plan": ("team", "enterprise", None),
}


@pytest.mark.parametrize("name", DATED)
def test_a_past_day_has_the_dated_attributes_that_held_on_it(name: str) -> None:
    first, second, default = DATED[name]
    facts = [updated(n, day=day, **{name: value}) for n, (day, value) in enumerate([(10, first), (20, second)])]
    account = fold("acme", [*facts, updated(9, day=30, **{name: None})])
    days = [START.date() + timedelta(days=day) for day in (0, 9, 10, 19, 20, 29, 30, 400)]
    assert [getattr(account.on(day), name) for day in days] == [first] * 4 + [second] * 2 + [default] * 2
    assert getattr(account, name) == default


@pytest.mark.parametrize("name", DATED)
def test_what_is_first_said_after_the_introduction_holds_from_its_day_on(name: str) -> None:
    first, second, default = DATED[name]
    introduced = updated(1, day=5, owner="ana")
    account = fold("acme", [introduced, updated(2, day=10, **{name: first}), updated(3, day=20, **{name: second})])
    days = [START.date() + timedelta(days=day) for day in (0, 5, 9, 10, 19, 20, 400)]
    assert [getattr(account.on(day), name) for day in days] == [default] * 3 + [first] * 2 + [second] * 2
    alone = fold("acme", [introduced, updated(2, day=10, **{name: first})])
    assert [getattr(alone.on(day), name) for day in days] == [default] * 3 + [first] * 4


def test_a_later_fact_about_an_earlier_day_moves_the_introduction() -> None:
    """Days before the tenth are no longer of a time that nobody had described."""
    tenth = updated(1, day=10, received=10, segment="smb", time_zone="UTC")
    before, day = fold("acme", [tenth]), START.date() + timedelta(days=3)
    assert before.on(day).segment == "smb"
    earlier = updated(2, day=5, received=11, owner="ana")
    assert fold("acme", [tenth, earlier]).on(day).segment is None
    assert fold("acme", [earlier, tenth]) == fold("acme", [tenth, earlier])


def test_the_last_word_of_the_day_of_introduction_reaches_back() -> None:
    facts = [
        updated(1, day=5, owner="ana"),
        updated(2, day=5, received=1, segment="smb"),
        updated(3, day=5, received=2, segment="bank"),
        updated(4, day=6, segment="public"),
    ]
    account = fold("acme", facts)
    days = [START.date() + timedelta(days=day) for day in (0, 5, 6)]
    assert [account.on(day).segment for day in days] == ["bank", "bank", "public"]


def test_the_day_of_introduction_is_a_local_day() -> None:
    """Noon in UTC is the next day in Kiritimati, and the day itself in UTC."""
    noon = {"occurred_at": START + timedelta(hours=12)}
    introduced, same_noon = updated(1, day=0, owner="ana"), updated(2, segment="smb")
    same_noon = same_noon.model_copy(update={"event": same_noon.event.model_copy(update=noon)})
    far_east = updated(3, day=0, received=1, time_zone="Pacific/Kiritimati")
    day = START.date() - timedelta(days=9)
    assert fold("acme", [introduced, same_noon]).on(day).segment == "smb"
    assert fold("acme", [introduced, same_noon, far_east]).on(day).segment is None


@pytest.mark.parametrize("name", ["licenses", "links"])
def test_only_a_description_introduces_an_account(name: str) -> None:
    other = {
        "licenses": fact(9, "license.issued", day=1, license="l", seats=4),
        "links": fact(9, "user.linked", day=1, user="ann", other="bob"),
    }[name]
    account = fold("acme", [other, updated(1, day=10, segment="smb")])
    assert (account.on(START.date()).segment, len(getattr(account, name))) == ("smb", 1)


def test_one_statement_holds_for_all_days() -> None:
    account = fold("acme", [updated(1, day=10, segment="smb"), updated(2, day=20, segment="smb")])
    assert account.on(START.date()) is account


def test_of_two_statements_on_one_day_the_later_holds() -> None:
    facts = [
        updated(1, day=0, segment="a"),
        updated(2, day=10, segment="b"),
        updated(3, day=10, received=1, segment="c"),
    ]
    assert fold("acme", facts).on(START.date() + timedelta(days=10)).segment == "c"


def test_a_statement_holds_from_its_local_day_on() -> None:
    """The same instant is on the next day in Kiritimati."""
    facts = [updated(1, day=0, segment="a", time_zone="Pacific/Kiritimati"), updated(2, day=10, segment="b")]
    late = [
        facts[0],
        facts[1].model_copy(
            update={"event": facts[1].event.model_copy(update={"occurred_at": START + timedelta(days=10, hours=12)})}
        ),
    ]
    account = fold("acme", late)
    day = START.date() + timedelta(days=10)
    assert [account.on(day).segment, account.on(day + timedelta(days=1)).segment] == ["a", "b"]


def test_dates_people_and_names_are_corrections_for_all_days() -> None:
    before, after = {"owner": "ana", "production_date": "2026-01-05"}, {"owner": "bob", "production_date": "2026-02-05"}
    account = fold("acme", [updated(1, day=0, **before), updated(2, day=40, **after)])
    assert account.on(START.date()) == account
    assert (account.owner, account.production_date) == ("bob", date(2026, 2, 5))


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
            "segment": st.sampled_from(["smb", "bank", None]),
            "seats_basis": st.sampled_from(["addressable", "none", None]),
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
