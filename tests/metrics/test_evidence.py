"""Which fact said so, whatever the order in which facts came."""

from datetime import date

import pytest

from uptake_metrics.evidence import corrections, evidence, of_license, said_by

JANUARY, MARCH = "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"


def test_the_newest_statement_of_an_attribute_is_the_one_in_force(fact):
    old = fact("account.updated", JANUARY, account="acme", production_date="2026-01-01", owner="kim")
    new = fact("account.updated", MARCH, account="acme", production_date="2026-01-05")
    for facts in ([old, new], [new, old]):
        assert said_by(facts, "production_date") == evidence(new)
        assert said_by(facts, "owner") == evidence(old)
        assert said_by(facts, "segment") is None


def test_what_was_said_when_the_account_was_introduced_reaches_back_and_nothing_later(fact):
    introduced = fact("account.updated", JANUARY, account="acme", policy="digital")
    later = fact("account.updated", MARCH, account="acme", policy="ta-2022", telemetry="pings")
    facts, before, between, after = [later, introduced], date(2025, 6, 1), date(2026, 2, 1), date(2026, 3, 1)
    policy = [said_by(facts, "policy", day) for day in (before, between, after)]
    assert policy == [evidence(introduced)] * 2 + [evidence(later)]
    assert [said_by(facts, "telemetry", day) for day in (before, between, after)] == [None, None, evidence(later)]


def test_an_explicit_null_is_a_statement_too(fact):
    cleared = fact("account.updated", MARCH, account="acme", policy=None)
    assert said_by([fact("account.updated", JANUARY, account="acme", policy="digital"), cleared], "policy") == evidence(
        cleared
    )


def test_a_licence_names_the_fact_that_carries_it(fact):
    facts = [
        fact("license.issued", JANUARY, account="acme", license="l", seats=4),
        fact("license.revoked", MARCH, account="acme", license="l"),
    ]
    assert [of_license(facts, one.event) for one in facts] == [evidence(one) for one in facts]
    other = fact("license.issued", JANUARY, account="acme", license="l", seats=4)
    assert of_license(facts, other.event) is None


def test_a_date_that_a_fact_moved_is_a_correction(fact):
    first = fact("account.updated", JANUARY, account="acme", production_date="2026-01-01")
    same = fact("account.updated", MARCH, account="acme", production_date="2026-01-01", contract_start="2025-12-01")
    older = fact("account.updated", JANUARY, account="acme", contract_start="2025-11-01")  # a newer one stands
    moved = fact("account.updated", MARCH, account="acme", production_date=None)
    found = corrections([moved, older, same], [first])
    assert [(one.field, one.before, one.after, one.fact.id) for one in found] == [
        ("contract_start", None, date(2025, 12, 1), same.event.id),
        ("production_date", date(2026, 1, 1), None, moved.event.id),
    ]


@pytest.mark.parametrize("others", [[], ["license"]])
def test_without_a_moved_date_there_is_no_correction(fact, others):
    facts = [fact("license.issued", account="acme", license=name, seats=4) for name in others]
    assert corrections(facts, []) == []
