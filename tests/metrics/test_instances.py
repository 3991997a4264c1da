"""Whose an installation is, when it was heard and what it pinged: the same in every order, from the beginning on."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest

from uptake_metrics.instances import Aggregate, Instances, span
from uptake_metrics.zones import day_start

DAY = date(2026, 5, 10)
END = datetime(2026, 5, 11, tzinfo=UTC)


def utc(_account):
    return "UTC"


def learnt(*facts):
    instances = Instances()
    instances.learn(facts, utc)
    return instances


@pytest.fixture
def said(fact):
    """Three installations that move between two accounts, with heartbeats and pings among the mappings."""
    return [
        fact("instance.mapped", "2026-01-01T00:00:00Z", instance="i-1", account="acme"),
        fact("instance.mapped", "2026-02-01T00:00:00Z", instance="i-1", account="bolt", environment="trial"),
        fact("instance.mapped", "2026-01-05T00:00:00Z", instance="i-2", account="bolt"),
        fact("instance.mapped", "2026-03-05T00:00:00Z", instance="i-2", account="acme"),
        *(fact("instance.heartbeat", f"2026-05-{n:02}T07:00:00Z", instance="i-1") for n in (3, 9, 10, 12)),
        fact("usage.ping", "2026-05-09T08:00:00Z", instance="i-2", day="2026-05-08", mau=10),
        fact("usage.ping", "2026-05-09T09:00:00Z", instance="i-2", day="2026-05-08", mau=12),
        fact("usage.ping", "2026-05-10T09:00:00Z", account="acme", day="2026-05-09", mau=20, registered=30),
        fact("instance.heartbeat", "2026-05-10T07:00:00Z", instance="unknown"),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_order_and_every_repeat_say_the_same(said, seed):
    rng = random.Random(seed)
    shuffled = said + rng.choices(said, k=6)
    rng.shuffle(shuffled)
    expected, found = learnt(*said), learnt(*shuffled)
    assert found == expected
    assert (found.account_of("i-1"), found.account_of("i-2"), found.account_of("unknown")) == ("bolt", "acme", None)
    assert (found.of_account("acme"), found.of_account("bolt")) == (["i-2"], ["i-1"])
    assert found.mapped["i-1"].environment == "trial"
    assert found.unlike(expected) == set()
    assert found.unlike(learnt(*said[1:])) == (set() if found == learnt(*said[1:]) else {"acme", "bolt"})
    assert learnt(*said[:-1]).unlike(expected) == {"acme", "bolt"}


def test_what_was_said_before_the_mapping_belongs_to_the_account(said):
    found = learnt(*said)
    told = found.told("bolt", DAY, END)
    assert (told.heartbeat, told.pinged, told.ping) == (datetime(2026, 5, 10, 7, tzinfo=UTC), None, None)
    told = found.told("acme", DAY, END)
    assert (told.heartbeat, told.pinged) == (None, datetime(2026, 5, 10, 9, tzinfo=UTC))
    assert found.told("acme", DAY, END - timedelta(days=1)).pinged == datetime(2026, 5, 9, 9, tzinfo=UTC)
    assert found.told("nobody", DAY, END) == Instances().told("acme", DAY, END)


def test_the_newest_statement_about_a_day_counts_and_stands_for_eight_days(said):
    found = learnt(*said)
    pings = {n: found.told("acme", date(2026, 5, n), END).ping for n in range(7, 18)}
    assert pings[7] is None
    assert pings[8] == Aggregate(date(2026, 5, 8), 12, 12, None, None)
    assert pings[9] == pings[16] == Aggregate(date(2026, 5, 9), 20, 20, None, 30)
    assert pings[17] is None


@pytest.mark.parametrize(
    ("pings", "expected"),
    [
        ([{"instance": "i-1", "mau": 5, "dau": 2}], (5, 5, 2, None)),
        (
            [{"instance": "i-1", "mau": 5, "dau": 2}, {"instance": "i-2", "mau": 7, "registered": 9}],
            (7, 12, None, None),
        ),
        ([{"instance": "i-1", "mau": 5}, {"account": "acme", "mau": 6, "dau": 3}], (6, 6, 3, None)),
        ([{"instance": "i-1", "mau": 5}, {"instance": "i-1", "account": "acme", "mau": 6}], (6, 6, None, None)),
        ([{"instance": "i-1", "account": "acme", "mau": 6}, {"instance": "i-1", "mau": 5}], (5, 5, None, None)),
        ([{"instance": "i-1", "account": "bolt", "mau": 6}, {"instance": "i-2", "mau": 5}], (5, 5, None, None)),
        ([{"instance": "i-1", "mau": 0}, {"instance": "i-2", "mau": 5}], (5, 5, None, None)),
    ],
)
def test_several_installations_of_one_account_only_bound_its_people(fact, pings, expected):
    mapped = [fact("instance.mapped", instance=name, account="acme") for name in ("i-1", "i-2")]
    said = [fact("usage.ping", f"2026-05-11T0{n}:00:00Z", day=DAY, **ping) for n, ping in enumerate(pings)]
    assert learnt(*mapped, *said).told("acme", DAY, END).ping == Aggregate(DAY, *expected)


NOW = datetime(2026, 5, 12, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "at", "fields", "moved"),
    [
        ("instance.heartbeat", "2026-05-12T11:00:00Z", {"instance": "i-1"}, {}),  # its day is open
        ("instance.heartbeat", "2026-05-11T23:00:00Z", {"instance": "i-1"}, {"bolt": date(2026, 5, 11)}),
        ("instance.heartbeat", "2026-05-10T07:00:00Z", {"instance": "i-1"}, {}),  # known
        ("instance.heartbeat", "2026-05-11T23:00:00Z", {"instance": "unknown"}, {}),
        ("usage.ping", "2026-05-12T01:00:00Z", {"instance": "i-2", "day": DAY, "mau": 1}, {"acme": DAY}),
        ("usage.ping", "2026-05-05T01:00:00Z", {"account": "new", "day": DAY, "mau": 1}, {"new": date(2026, 5, 5)}),
        ("usage.ping", "2026-05-12T01:00:00Z", {"instance": "unknown", "day": DAY, "mau": 1}, {}),
        ("instance.mapped", "2026-05-12T01:00:00Z", {"instance": "i-1", "account": "acme"}, {"acme": 0, "bolt": 0}),
        ("instance.mapped", "2026-05-12T01:00:00Z", {"instance": "unknown", "account": "acme"}, {"acme": 0}),
        ("license.issued", "2026-05-12T01:00:00Z", {"license": "l", "account": "acme", "seats": 4}, {}),
    ],
)
def test_exactly_the_closed_days_that_can_change_are_named(said, fact, kind, at, fields, moved):
    expected = {name: day or date(1970, 1, 1) for name, day in moved.items()}
    assert learnt(*said).moved([fact(kind, at, **fields)], utc, NOW) == expected


def test_the_board_looks_once_a_local_day(said, fact):
    found = learnt(*said)

    def touched(at):
        return found.learn([fact("instance.heartbeat", at, instance="i-1")], lambda _: "Asia/Tokyo")

    assert touched("2026-05-12T14:59:00Z") == set()  # the 12th in Tokyo, as the one before
    assert touched("2026-05-12T15:00:00Z") == {"bolt"}
    assert touched("2026-05-12T15:01:00Z") == set()
    assert touched("2026-05-11T15:01:00Z") == {"bolt"}  # late
    assert day_start(date(2026, 5, 13), "Asia/Tokyo") == datetime(2026, 5, 12, 15, tzinfo=UTC)


def test_when_each_was_first_and_last_heard_of(said):
    spans = {name: span(heard) for name, heard in learnt(*said).heard().items()}
    assert spans["i-1"] == (datetime(2026, 5, 3, 7, tzinfo=UTC), datetime(2026, 5, 12, 7, tzinfo=UTC))
    assert spans["i-2"] == (datetime(2026, 5, 9, 8, tzinfo=UTC), datetime(2026, 5, 9, 9, tzinfo=UTC))
    assert spans["unknown"] == (datetime(2026, 5, 10, 7, tzinfo=UTC),) * 2
