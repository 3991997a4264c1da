"""Features and use cases against plain sets; saturation, breadth, first use and calendar months as tables."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics import archive, growth
from uptake_metrics.features import (
    FeatureDays,
    Users,
    breadth,
    daily_users,
    first_days,
    mau_calendar,
    overall,
    people,
    saturation,
    use_case_kpis,
    users,
)
from uptake_metrics.series import SeriesKey
from uptake_metrics.use_cases import UseCases
from uptake_metrics.userdays import Masks, UserDays
from uptake_metrics.zones import to_day, to_number

TAXONOMY = UseCases.model_validate(
    {
        "use_cases": {
            "review": {"title": "Review", "features": ["merge", "comment"]},
            "quality": {"features": ["comment", "test*"]},
            "unused": {"features": ["nothing"]},
        }
    }
)
FEATURES = ("merge", "comment", "test.unit", "other")
ACCOUNTS = ("acme", "b")
LAST = to_number(date(2026, 5, 31))
EVENTS = st.sets(
    st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(FEATURES), st.integers(1, 6), st.integers(LAST - 70, LAST)),
    max_size=60,
)


def days_of(events):
    """What a shard holds of (account, feature, user, day)."""
    keys = [SeriesKey(account, "total", "production") for account in ACCOUNTS]
    keys += [SeriesKey(account, "feature", "production", feature) for account in ACCOUNTS for feature in FEATURES]
    rows = sorted(
        {(keys.index(SeriesKey(a, "feature", "production", f)), user, day) for a, f, user, day in events}
        | {(ACCOUNTS.index(a), user, day) for a, _, user, day in events}
    )
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    series, user, day = (np.array(column, np.int64) for column in columns)
    found = archive.fold(UserDays(series.astype(np.int32), user.astype(np.uint64), day.astype(np.int32)))
    return FeatureDays(keys, found)


@given(EVENTS, st.sampled_from([1, 7, 30]), st.integers(LAST - 40, LAST))
def test_people_are_counted_once_in_each_feature_use_case_and_total(events, width, last):
    found = users(days_of(events), last - width + 1, last, TAXONOMY)
    assert set(found) == set(ACCOUNTS)
    for account in ACCOUNTS:
        mine = {(f, user) for a, f, user, day in events if a == account and last - width < day <= last}
        by_feature = {feature: {user for f, user in mine if f == feature} for feature in FEATURES}
        by_use_case = {name: {user for f, user in mine if name in TAXONOMY.of(f)} for name in TAXONOMY.names}
        assert found[account] == Users(
            len({user for _, user in mine}),
            {feature: len(some) for feature, some in by_feature.items() if some},
            {name: len(some) for name, some in by_use_case.items() if some},
        )


@given(EVENTS, st.sampled_from(["review", "quality", "unused", "unknown"]))
def test_the_list_behind_a_use_case_is_as_long_as_its_count(events, use_case):
    mine = days_of({event for event in events if event[0] == "acme"})
    found = people(mine, LAST - 29, LAST, lambda key: use_case in TAXONOMY.of(key.feature))
    assert len(found) == users(mine, LAST - 29, LAST, TAXONOMY)["acme"].use_cases.get(use_case, 0)


@given(EVENTS)
def test_the_first_use_is_the_oldest_day_of_a_feature(events):
    assert first_days(days_of(events)) == {
        SeriesKey(account, "feature", "production", feature): to_day(min(day for *_, day in of_both))
        for account in ACCOUNTS
        for feature in FEATURES
        if (of_both := [event for event in events if event[:2] == (account, feature)])
    }


@given(EVENTS, st.integers(LAST - 40, LAST), st.integers(0, 40))
def test_the_days_of_one_account_at_once_are_those_of_each_day(events, first, more):
    mine = days_of({event for event in events if event[0] == "acme"})
    places = [n for n, key in enumerate(mine.keys) if key.account == "acme"]
    series = np.searchsorted(places, mine.masks.series).astype(np.int32)
    masks = Masks(series, mine.masks.epoch, mine.masks.user, mine.masks.mask)
    of_acme = FeatureDays([mine.keys[n] for n in places], masks)
    assert daily_users(of_acme, first, first + more, TAXONOMY) == [
        users(of_acme, last - 29, last, TAXONOMY)["acme"] for last in range(first, first + more + 1)
    ]


@pytest.mark.parametrize(
    ("part", "mau", "unknown", "expected"),
    [
        (1, 3, None, (0.3333, 1, 3, None)),
        (0, 3, None, (0, 0, 3, None)),
        (3, 3, None, (1, 3, 3, None)),
        (0, 0, "no_active_users", (None, 0, 0, "no_active_users")),
        (0, 0, "no_telemetry", (None, None, None, "no_telemetry")),
        (0, 0, "no_feature_counts", (None, None, None, "no_feature_counts")),
    ],
)
def test_saturation_is_a_share_of_the_active_or_unknown(part, mau, unknown, expected):
    found = saturation(part, mau, unknown)
    assert (found.value, found.num, found.den, found.reason) == expected


def test_use_cases_and_breadth_of_a_window():
    """Ann reviews and tests, Bob only reviews, Cid does something else."""
    found = Users(3, {"merge": 2, "test.unit": 1, "other": 1}, {"review": 2, "quality": 1})
    assert [(one.use_case, one.mau, one.saturation.value) for one in use_case_kpis(found, TAXONOMY, None)] == [
        ("review", 2, 0.6667),
        ("quality", 1, 0.3333),
        ("unused", 0, 0.0),
    ]
    wide = breadth(found, TAXONOMY, None)
    assert (wide.used, wide.of, wide.per_user.num, wide.per_user.den, wide.per_user.value) == (2, 3, 3, 3, 1)


def test_nobody_active_is_known_and_nothing_heard_is_not():
    assert (breadth(Users(), TAXONOMY, "no_active_users").used, breadth(Users(), TAXONOMY, "no_telemetry").used) == (
        0,
        None,
    )
    assert [one.mau for one in use_case_kpis(Users(), TAXONOMY, "no_active_users")] == [0, 0, 0]
    assert [one.mau for one in use_case_kpis(Users(), TAXONOMY, "no_telemetry")] == [None] * 3
    assert breadth(Users(), UseCases(), "no_active_users").of == 0


def test_over_accounts_the_mean_is_of_ratios_and_counts_who_does_not_use_it():
    accounts = [({"review": 1}, 2), ({"review": 3, "quality": 1}, 3), ({}, 5), ({"b": 1, "a": 1}, 1)]
    assert [(one.name, one.accounts, one.users, one.mean_saturation) for one in overall(accounts, ["unused"])] == [
        ("unused", 0, 0, 0.0),
        ("review", 2, 4, 0.375),  # (1/2 + 3/3) / 4
        ("a", 1, 1, 0.25),
        ("b", 1, 1, 0.25),
        ("quality", 1, 1, 0.0833),
    ]
    assert overall([], ["unused"])[0].mean_saturation is None


@given(EVENTS)
def test_a_calendar_month_has_as_many_users_as_growth_finds_active(events):
    masks = archive.as_one(days_of({event for event in events if event[0] == "acme"}).masks)
    months = growth.movements(masks, date(2026, 3, 1), date(2026, 5, 1))
    assert [mau_calendar(masks, one.month) for one in months] == [len(one.active) for one in months]


def test_a_calendar_month_ends_with_its_last_day():
    first, last = date(2026, 2, 1), date(2026, 2, 28)
    around = [first - timedelta(1), first, last, last + timedelta(1)]
    found = days_of({("acme", "merge", user, to_number(day)) for user, day in enumerate(around, 1)})
    assert mau_calendar(archive.as_one(found.masks), first) == 2
