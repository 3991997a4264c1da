"""One shard in memory: which series there are, who is counted in them, and that an undone change leaves no trace."""

import random
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics import shard as shards
from uptake_metrics.batches import HOUR_US, decoded
from uptake_metrics.columns import Columns
from uptake_metrics.series import NO_SERIES, SeriesKey
from uptake_metrics.shard import Shard, user_hash
from uptake_metrics.userdays import Masks

FRONT = 20_600  # 2026-05-27
TODAY = date(2026, 5, 27)
STORED_AT = datetime(2026, 5, 27, 23, tzinfo=UTC)
EMPTY = Masks(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.uint64))


@pytest.fixture
def columns(event, batches):
    """Events as (account, user, day or instant, feature?, other...) tuples, or as the event builder makes them."""

    def columns(*rows):
        events = [row if isinstance(row, dict) else event(*row) for row in rows]
        return Columns.of(decoded(data, STORED_AT) for _, data in batches(events))

    return columns


def utc(_account):
    return "UTC"


def settled(shard, columns, zone_of=utc):
    change = shard.absorb(columns, zone_of)
    shard.settle(change)
    return change


def mau(shard, series):
    return int(shard.activity.recount([series], FRONT, FRONT).mau[0, 0])


def seen(shard):
    """All that a shard knows, by name: series numbers depend on who came first."""
    held = shard.activity.dump()
    masks = {
        (shard.keys[series], epoch, user): mask
        for series, epoch, user, mask in zip(
            held.series.tolist(), held.epoch.tolist(), held.user.tolist(), held.mask.tolist(), strict=True
        )
    }
    counts = {}
    for key, number in shard.series.items():
        if key.kind == "total":
            run = shard.activity.history(number, shard.activity.first_exact_day, shard.activity.last_exact_day)
            counts[key] = (run.dau.tolist(), run.wau.tolist(), run.mau.tolist())
    return masks, counts, set(shard.keys), dict(shard.zones)


def test_an_event_counts_in_total_by_feature_and_as_a_sign_of_life(columns):
    shard = Shard(3, FRONT)
    change = settled(shard, columns(("acme", "ann", "2026-05-27")))
    assert set(shard.series) == {
        SeriesKey("acme", "contact"),
        SeriesKey("acme", "total", "production"),
        SeriesKey("acme", "feature", "production", "edit"),
    }
    assert mau(shard, shard.total("acme")) == mau(shard, shard.feature("acme", "edit")) == 1
    assert shard.activity.days_of(shard.contact("acme"), shards.CONTACT_USER) == [FRONT]
    assert change.people == {("acme", user_hash("ann"), "ann")}
    assert change.first_day == {"acme": FRONT}
    assert (change.events, len(change.fresh)) == (1, 3)


def test_the_hash_of_a_person_never_changes():
    """It is stored: another value would make everybody a new person."""
    assert user_hash("ann") == 5200682613324210888
    assert user_hash("") == 0x2D06800538D394C2


def test_trial_usage_is_counted_apart(columns, event):
    shard = Shard(3, FRONT)
    settled(
        shard,
        columns(
            event("acme", "ann", "2026-05-27"),
            event("acme", "bob", "2026-05-27", environment="trial"),
            event("acme", "eve", "2026-05-27", environment="trial"),
        ),
    )
    assert mau(shard, shard.total("acme")) == 1
    assert mau(shard, shard.total("acme", "trial")) == 2
    assert mau(shard, shard.feature("acme", "edit", "trial")) == 2


@pytest.mark.parametrize("other", [{"actor": "system"}, {"environment": "staging"}])
def test_what_is_not_counted_is_a_sign_of_life_and_makes_no_series(columns, event, other):
    shard = Shard(3, FRONT)
    change = settled(shard, columns(event("acme", "bot", "2026-05-27", **other)))
    assert list(shard.series) == [SeriesKey("acme", "contact")]
    assert change.people == set()
    assert change.first_day == {"acme": FRONT}


def test_a_flood_of_environments_makes_no_series(columns, event):
    shard = Shard(3, FRONT)
    settled(shard, columns(*(event("acme", "ann", "2026-05-27", environment=f"dev-{n}") for n in range(50))))
    assert len(shard.keys) == 1


def test_counted_and_not_counted_events_of_one_feature_in_one_batch(columns, event):
    shard = Shard(3, FRONT)
    settled(
        shard,
        columns(
            event("acme", "bot", "2026-05-27", actor="system"),
            event("acme", "ann", "2026-05-27"),
            event("acme", "tester", "2026-05-27", environment="staging"),
        ),
    )
    assert mau(shard, shard.total("acme")) == mau(shard, shard.feature("acme", "edit")) == 1


def test_an_excluded_feature_makes_nobody_active(columns):
    shard = Shard(3, FRONT)
    settled(shard, columns(("acme", "ann", "2026-05-27", "sign_in"), ("acme", "bob", "2026-05-26", "Sign-Out")))
    assert mau(shard, shard.total("acme")) == 0
    assert shard.feature("acme", "sign_in") is None
    assert shard.activity.days_of(shard.contact("acme"), shards.CONTACT_USER) == [FRONT - 1, FRONT]


def test_beyond_the_cap_a_new_feature_counts_in_the_total_only(columns, monkeypatch):
    monkeypatch.setattr(shards, "MAX_FEATURES", 3)
    shard = Shard(3, FRONT)
    settled(shard, columns(*(("acme", f"u{n}", "2026-05-27", f"f{n}") for n in range(6))))
    assert mau(shard, shard.total("acme")) == 6
    assert sum(key.kind == "feature" for key in shard.keys) == 3
    settled(shard, columns(("other", "ann", "2026-05-27", "f9")))
    assert shard.feature("other", "f9") is not None  # the cap is an account's own


def test_after_a_restart_at_the_cap_the_known_features_go_on(columns, monkeypatch):
    monkeypatch.setattr(shards, "MAX_FEATURES", 2)
    before = Shard(3, FRONT)
    settled(before, columns(("acme", "ann", "2026-05-26", "f0"), ("acme", "ann", "2026-05-26", "f1")))
    after = Shard(3, FRONT)
    after.restore(before.keys, dict(before.zones), before.activity.dump())
    settled(after, columns(("acme", "bob", "2026-05-27", "f1"), ("acme", "bob", "2026-05-27", "f2")))
    assert mau(after, after.feature("acme", "f1")) == 2
    assert after.feature("acme", "f2") is None
    assert mau(after, after.total("acme")) == 2


def test_people_are_named_once_and_again_only_when_the_ring_has_forgotten_them(columns):
    shard = Shard(3, FRONT)
    assert settled(shard, columns(("acme", "ann", "2026-05-27"), ("acme", "ann", "2026-05-26"))).people
    assert not settled(shard, columns(("acme", "ann", "2026-05-25"))).people
    assert settled(shard, columns(("acme", "ann", "2020-01-01"))).people  # older than the ring: nobody knows


def test_the_first_day_is_the_earliest_that_is_new(columns):
    shard = Shard(3, FRONT)
    settled(shard, columns(("acme", "ann", "2026-05-20")))
    change = settled(
        shard,
        columns(
            ("acme", "ann", "2026-05-20"),
            ("acme", "ann", "2026-05-27"),
            ("acme", "ann", "2026-05-22"),
            ("b", "ann", "2026-05-01"),
        ),
    )
    assert change.first_day == {"acme": FRONT - 5, "b": FRONT - 26}


def test_each_account_is_counted_in_its_own_zone(columns):
    zones = {"east": "Pacific/Kiritimati", "west": "Pacific/Pago_Pago", "mid": "UTC"}
    shard = Shard(3, FRONT + 1)
    late = "2026-05-27T10:30:00+00:00"  # the 28th at +14, the 26th at -11
    settled(shard, columns(*((name, "ann", late) for name in zones)), zones.__getitem__)
    days = {name: shard.activity.days_of(shard.contact(name), shards.CONTACT_USER)[0] - FRONT for name in zones}
    assert days == {"east": 1, "mid": 0, "west": -1}
    assert shard.zones == zones


def test_a_zone_stays_until_it_is_recomputed(columns):
    shard = Shard(3, FRONT)
    settled(shard, columns(("acme", "ann", "2026-05-27")))
    change = settled(shard, columns(("acme", "bob", "2026-05-27")), lambda _: "Asia/Tokyo")
    assert shard.zones == {"acme": "UTC"}
    assert change.new_zones == {}


@pytest.mark.parametrize("user", ["Zoë", "Zoe\u0308", "𝕒𝕟𝕟", "عمر", "a\u202eb", "x" * 200, "0", "-1", "NaN"], ids=ascii)
def test_any_id_is_a_person_of_its_own(columns, user):
    shard = Shard(3, FRONT)
    change = settled(shard, columns(("acme", user, "2026-05-27"), ("acme", user + "!", "2026-05-27")))
    assert mau(shard, shard.total("acme")) == 2
    assert (("acme", user_hash(user), user)) in change.people


@pytest.mark.parametrize("first_ones", [0, 1, 5])
def test_undo_leaves_no_trace(columns, event, first_ones):
    """Of user-days, series, zones, features against the cap: the shard is as if the batch had never come."""
    known = [event("acme", f"u{n}", f"2026-05-{27 - n}") for n in range(first_ones)]
    batch = columns(
        event("acme", "u0", "2026-05-27"),
        event("acme", "eve", "2026-05-02", "export"),
        event("new", "ann", "2026-05-27"),
        event("new", "ann", "2026-05-27", "sign_in"),
        event("acme", "bot", "2026-05-27", actor="system"),
        event("acme", "old", "2020-02-02"),
        event("acme", "bob", "2026-05-27", environment="trial"),
    )
    shard, other = Shard(3, FRONT), Shard(3, FRONT)
    for one in (shard, other):
        if known:
            settled(one, columns(*known))
    shard.undo(shard.absorb(batch, lambda _: "Asia/Tokyo"))
    assert seen(shard) == seen(other)
    after = columns(event("new", "ann", "2026-05-20"), event("new", "bob", "2026-05-21", "export"))
    ours, theirs = settled(shard, after), settled(other, after)
    assert ours.new_series == theirs.new_series
    assert ours.new_zones == theirs.new_zones
    assert ours.people == theirs.people
    assert seen(shard) == seen(other)
    assert mau(shard, shard.total("new")) == 2  # a recount looks at every slot, also at those left behind
    booked = seen(shard)
    shard.activity.rebook()
    assert seen(shard) == booked


def test_undone_features_do_not_use_up_the_cap(columns, monkeypatch):
    monkeypatch.setattr(shards, "MAX_FEATURES", 2)
    shard = Shard(3, FRONT)
    for n in range(4):
        shard.undo(shard.absorb(columns(("acme", "ann", "2026-05-27", f"x{n}")), utc))
    settled(shard, columns(("acme", "ann", "2026-05-27", "edit")))
    assert shard.feature("acme", "edit") is not None


rows = st.tuples(
    st.sampled_from(["acme", "b", "c"]),
    st.sampled_from(["ann", "bob", "eve", "Zoë"]),
    st.integers(0, 60),
    st.sampled_from(["edit", "view", "sign_in"]),
    st.sampled_from([{}, {}, {"actor": "system"}, {"environment": "trial"}, {"environment": "qa"}]),
)


@given(st.lists(rows, min_size=1, max_size=40), st.randoms(use_true_random=False), st.integers(1, 7))
def test_any_order_any_split_any_repeats_give_one_state(event, batches, table, rng, size):
    def columns_of(part):
        events = [event(a, u, str(date.fromordinal(TODAY.toordinal() - age)), f, **o) for a, u, age, f, o in part]
        return Columns.of(decoded(data, STORED_AT) for _, data in batches(events))

    at_once, bit_by_bit = Shard(3, FRONT), Shard(3, FRONT)
    settled(at_once, columns_of(table))
    repeated = table + rng.choices(table, k=len(table) // 2)
    rng.shuffle(repeated)
    for start in range(0, len(repeated), size):
        part = columns_of(repeated[start : start + size])
        if rng.random() < 0.3:
            bit_by_bit.undo(bit_by_bit.absorb(part, utc))
        settled(bit_by_bit, part)
    assert seen(bit_by_bit) == seen(at_once)


def test_a_restored_shard_says_the_same(columns, event):
    rng = random.Random(7)
    shard = Shard(3, FRONT)
    for _ in range(5):
        some = [
            event(rng.choice("abc"), f"u{rng.randrange(9)}", f"2026-05-{rng.randrange(1, 28):02}", rng.choice("xy"))
            for _ in range(40)
        ]
        settled(shard, columns(*some))
    again = Shard(3, FRONT)
    again.restore(shard.keys, dict(shard.zones), shard.activity.dump())
    assert seen(again) == seen(shard)


def test_a_shard_without_anything_restores():
    shard = Shard(3, FRONT)
    shard.restore([], {}, EMPTY)
    assert shard.total("acme") is None
    assert shard.contact("acme") is None


def hours(change):
    return {hour: list(zip(c.series.tolist(), c.events.tolist(), strict=True)) for hour, c in change.hours.items()}


@pytest.fixture
def received(batches):
    """Events as batches that came in one hour."""

    def received(hour, *events):
        at = f'"received_at":{hour * HOUR_US + 5}'.encode()
        return [decoded(data.replace(b'"received_at":0', at), STORED_AT) for _, data in batches(events)]

    return received


def test_every_event_is_booked_in_the_hour_it_was_received_in(event, received):
    """Also what is no activity, known already, or nobody's."""
    acme, other = event("acme", "ann", "2026-05-27"), event("b", "ann", "2020-01-01", "sign_in")
    nobodys, robots = event("", "ann", "2026-05-27", instance="i"), event("b", "bot", "2026-05-27", actor="system")
    early, late = received(7, acme, acme, robots), received(8, acme, nobodys, other, nobodys)
    shard = Shard(3, FRONT)
    for _ in range(2):
        found = hours(settled(shard, Columns.of(early + late + early)))
        acme_series, other_series = shard.contact("acme"), shard.contact("b")
        assert found == {
            7: [(acme_series, 4), (other_series, 2)],
            8: sorted([(NO_SERIES, 2), (acme_series, 1), (other_series, 1)]),
        }
    assert hours(settled(shard, Columns.of(late))).keys() == {8}


def test_a_shard_that_only_got_what_is_nobodys_books_it(event, received):
    nobodys = event("", "ann", "2026-05-27", instance="i-1")
    assert hours(settled(Shard(3, FRONT), Columns.of(received(5, nobodys)))) == {5: [(NO_SERIES, 1)]}


def test_nothing_is_no_change():
    change = settled(Shard(3, FRONT), Columns.of([]))
    assert (len(change.fresh), change.events, change.hours, change.first_day) == (0, 0, {}, {})


def followed(follower, change):
    return follower.follow(list(change.new_series.values()), change.new_zones, change.fresh)


@given(st.lists(st.lists(rows, min_size=1, max_size=10), min_size=1, max_size=6), st.booleans())
def test_a_shard_that_follows_another_says_the_same(event, batches, parts, zoned):
    def zone_of(account):
        return {"b": "Pacific/Kiritimati", "c": "America/New_York"}.get(account, "UTC") if zoned else "UTC"

    leader, follower = Shard(3, FRONT - 40), Shard(3, FRONT - 40)  # all that is newer lies ahead of the front
    for part in parts:
        events = [event(a, u, str(date.fromordinal(TODAY.toordinal() - age)), f, **o) for a, u, age, f, o in part]
        change = settled(leader, Columns.of(decoded(data, STORED_AT) for _, data in batches(events)), zone_of)
        assert followed(follower, change) == change.first_day.keys()
    assert seen(follower) == seen(leader)
    assert (follower.keys, follower.zones) == (leader.keys, leader.zones)
    booked = seen(follower)
    follower.activity.rebook()
    assert seen(follower) == booked
    assert followed(follower, change) == set()  # what it knows already is no news


def test_a_shard_that_followed_can_take_over(columns):
    leader, follower, batch = Shard(3, FRONT), Shard(3, FRONT), columns(("new", "eve", "2026-05-26", "export"))
    followed(follower, settled(leader, columns(("acme", "ann", "2026-05-27"))))
    follower.undo(follower.absorb(batch, utc))
    ours, theirs = settled(follower, batch), settled(leader, batch)
    assert ours.new_series == theirs.new_series
    assert seen(follower) == seen(leader)


@given(st.lists(rows, min_size=1, max_size=40), st.integers(1, 9))
def test_whoever_is_active_in_a_series_is_active_in_the_wider_ones(event, batches, table, size):
    """An event that is known in the narrowest series ends there; it must not be missing in another."""
    shard = Shard(3, FRONT)
    for start in range(0, len(table), size):
        part = table[start : start + size]
        events = [event(a, u, str(date.fromordinal(TODAY.toordinal() - age)), f, **o) for a, u, age, f, o in part]
        settled(shard, Columns.of(decoded(data, STORED_AT) for _, data in batches(events)))
    days = {(shard.keys[number], user): set(shard.activity.days_of(number, user))
            for number, user in zip(*(column.tolist() for column in held(shard)), strict=True)}  # fmt: skip
    for (key, user), on in days.items():
        if key.kind == "feature":
            assert on <= days[key._replace(kind="total", feature=""), user]
        if key.kind == "total":
            assert on <= days[SeriesKey(key.account, "contact"), shards.CONTACT_USER]


def held(shard):
    masks = shard.activity.dump()
    return masks.series, masks.user


def test_many_people_in_many_zones_are_counted_as_one_by_one(columns):
    """At once, most of them live: the days of all zones come from one comparison."""
    zones = ["UTC", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Pago_Pago"]
    rng = random.Random(4)
    events = [
        (f"a{n % 9}", f"u{n % 31}", f"2026-05-{rng.choice([3, 25, 26, 27, 27]):02}T{rng.randrange(24):02}:30:00+00:00")
        for n in range(300)
    ]
    at_once, one_by_one = Shard(3, FRONT), Shard(3, FRONT)
    settled(at_once, columns(*events), lambda account: zones[int(account[1:]) % 4])
    for row in events:
        settled(one_by_one, columns(row), lambda account: zones[int(account[1:]) % 4])
    assert seen(at_once) == seen(one_by_one)
