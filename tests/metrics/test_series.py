"""Which series there are, which of them an event counts in first, and that nobody's flood of names is remembered."""

from datetime import date

import numpy as np
import pytest

from uptake_metrics.activity import ActivityPolicy, ActivityVersion
from uptake_metrics.batches import Batch
from uptake_metrics.columns import Columns
from uptake_metrics.series import CONTACT, FEATURE, NO_SERIES, TOTAL, SeriesIndex, SeriesKey

CONTACT_KEY = SeriesKey("acme", "contact")
TOTAL_KEY = SeriesKey("acme", "total", "production")
EDIT_KEY = SeriesKey("acme", "feature", "production", "edit")


def columns(*events, environments=None):
    """Events as (account, feature) pairs."""
    accounts, features = ([text.encode() for text in column] for column in zip(*events, strict=True))
    instants = np.zeros(len(events), np.int64)
    batch = Batch(
        "b", "demo", 0, None, None, None, accounts, accounts, features, instants, environments, None, None
    )  # fmt: skip
    return Columns.of([batch])


def narrowest(index, *events, environments=None):
    found = columns(*events, environments=environments)
    contact = index.contacts(found)
    series = index.narrowest(found, contact, np.zeros(len(found), np.int32))
    assert [index.keys[number] for number in contact.tolist()] == [SeriesKey(a, "contact") for a, _ in events]
    return [index.keys[number] for number in series.tolist()]


def test_an_event_counts_first_in_its_feature():
    index = SeriesIndex(10)
    assert narrowest(index, ("acme", "edit"), ("b", "view")) == [
        EDIT_KEY,
        SeriesKey("b", "feature", "production", "view"),
    ]
    assert narrowest(index, ("b", "view"), ("acme", "edit"))[1] == EDIT_KEY
    assert len(index.keys) == 6


def test_every_series_leads_to_the_sign_of_life():
    index = SeriesIndex(10)
    narrowest(index, ("acme", "edit"))
    edit, total, contact = (index.numbers[key] for key in (EDIT_KEY, TOTAL_KEY, CONTACT_KEY))
    assert index.parent[[edit, total, contact]].tolist() == [total, contact, NO_SERIES]
    assert index.kind[[edit, total, contact]].tolist() == [FEATURE, TOTAL, CONTACT]


@pytest.mark.parametrize(("feature", "environment"), [("sign_in", "production"), ("edit", "staging"), ("edit", "")])
def test_what_is_no_activity_counts_as_a_sign_of_life(feature, environment):
    index = SeriesIndex(10)
    for _ in range(2):
        assert narrowest(index, ("acme", feature), environments=[environment]) == [CONTACT_KEY]


def test_environments_are_told_apart_event_by_event():
    index = SeriesIndex(10)
    events, environments = [("acme", "edit")] * 3, ["trial", "qa", "production"]
    for _ in range(2):
        assert narrowest(index, *events, environments=environments) == [
            EDIT_KEY._replace(environment="trial"),
            CONTACT_KEY,
            EDIT_KEY,
        ]


def test_beyond_the_cap_a_new_feature_counts_in_the_total_and_is_not_remembered():
    index = SeriesIndex(2)
    flood = [("acme", f"f{n}") for n in range(5)]
    for _ in range(2):
        assert [key.kind for key in narrowest(index, *flood)] == ["feature"] * 2 + ["total"] * 3
    assert len(index.keys) == 4
    assert len(index._names) == 2  # only the size of a process would show it otherwise
    assert narrowest(index, ("b", "f4"))[0].kind == "feature"  # the cap is an account's own
    assert narrowest(index, ("acme", "f4"))[0].kind == "total"


def test_what_is_forgotten_gets_the_same_numbers_again():
    index = SeriesIndex(2)
    narrowest(index, ("acme", "edit"))
    first = len(index.keys)
    for _ in range(2):
        found = narrowest(index, ("acme", "view"), ("b", "edit"), ("acme", "export"))
        assert [key.kind for key in found] == ["feature", "feature", "total"]
        known = dict(index.numbers)
        index.forget(first)
        assert (len(index.keys), b"b" in index.contacts_utf8) == (first, False)
    assert narrowest(index, ("acme", "export"))[0].kind == "feature"
    assert known[SeriesKey("b", "contact")] == first


def test_an_event_is_counted_under_the_version_of_its_local_day():
    policy = ActivityPolicy(
        versions=(
            ActivityVersion(),
            ActivityVersion.model_validate(
                {"from": date(1970, 1, 11), "excluded_features": ["Edit"], "environments": ["production", "qa"]}
            ),
        )
    )
    index, days = SeriesIndex(10, lambda: policy), np.array([9, 10, 9, 10, 9, 10], np.int32)
    events = [("acme", "edit")] * 2 + [("acme", "sign_in")] * 2 + [("acme", "view")] * 2
    environments = ["production"] * 4 + ["qa"] * 2
    for _ in range(2):  # met first, then remembered
        found = columns(*events, environments=environments)
        contact = index.contacts(found)
        series = index.narrowest(found, contact, days)
        assert [index.keys[number] for number in series.tolist()] == [
            EDIT_KEY,
            CONTACT_KEY,
            CONTACT_KEY,
            EDIT_KEY._replace(feature="sign_in"),
            CONTACT_KEY,
            SeriesKey("acme", "feature", "qa", "view"),
        ]
        assert index.refusals(found, contact, days, series == contact) == {
            ("acme", 10, "feature"): 1,
            ("acme", 9, "feature"): 1,
            ("acme", 9, "environment"): 1,
        }


def test_actors_are_told_apart_event_by_event():
    policy = ActivityPolicy(versions=(ActivityVersion(), ActivityVersion(from_=date(1970, 1, 11), actors=["staff"])))
    index, days = SeriesIndex(10, lambda: policy), np.array([9, 10, 9, 10], np.int32)
    found = columns(*[("acme", "edit")] * 4)
    found.actors = ["human", "human", "staff", "staff"]
    contact = index.contacts(found)
    series = index.narrowest(found, contact, days)
    assert [index.keys[number] for number in series.tolist()] == [EDIT_KEY, CONTACT_KEY, CONTACT_KEY, EDIT_KEY]
    assert index.refusals(found, contact, days, series == contact) == {
        ("acme", 10, "actor"): 1,
        ("acme", 9, "actor"): 1,
    }


def test_a_new_policy_holds_from_the_next_batch_on():
    policies = [ActivityPolicy()]
    index = SeriesIndex(10, lambda: policies[-1])
    assert narrowest(index, ("acme", "edit")) == [EDIT_KEY]
    policies.append(ActivityPolicy(versions=(ActivityVersion(excluded_features=["edit"]),)))
    assert narrowest(index, ("acme", "edit"), ("acme", "sign_in")) == [
        CONTACT_KEY,
        EDIT_KEY._replace(feature="sign_in"),
    ]


def test_the_features_of_an_account_are_known_by_name_of_account():
    index = SeriesIndex(10)
    narrowest(index, ("acme", "edit"), ("b", "view"), ("acme", "view"))
    assert [index.keys[number].feature for number in index.features_of("acme")] == ["edit", "view"]
    index.forget(0)
    assert not [*index.features_of("acme"), *index.features_of("nobody")]


def test_many_series_keep_their_parents():
    index = SeriesIndex(10)
    for start in range(0, 300, 7):
        narrowest(index, *((f"a{n}", f"f{n % 5}") for n in range(start, start + 7)))
    kinds = ["contact", "total", "feature"]
    for number, key in enumerate(index.keys):
        assert kinds[index.kind[number]] == key.kind
        if key.kind != "contact":
            assert index.keys[index.parent[number]].account == key.account
            assert kinds.index(index.keys[index.parent[number]].kind) == index.kind[number] - 1
