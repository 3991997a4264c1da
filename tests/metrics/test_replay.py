"""What a shard that is counted anew says, and how that compares with what is stored and what is held in memory."""

from datetime import UTC, datetime

import numpy as np
import pytest

from uptake_metrics import archive
from uptake_metrics.activity import ActivityPolicy, ActivityVersion
from uptake_metrics.batches import decode_all
from uptake_metrics.replay import Replay, compare, drifted
from uptake_metrics.series import SeriesKey
from uptake_metrics.shard import CONTACT_USER, Shard, user_hash
from uptake_metrics.userdays import UserDays
from uptake_metrics.zones import to_number

NOW = datetime(2026, 8, 25, 12, tzinfo=UTC)
TODAY = to_number(NOW.date())
KEYS = [
    SeriesKey("acme", "contact"),
    SeriesKey("acme", "total", "production"),
    SeriesKey("acme", "feature", "production", "edit"),
]


def masks(*rows):
    series, users, days = zip(*rows, strict=True) if rows else ((), (), ())
    hashes = [user if isinstance(user, int) else user_hash(user) for user in users]
    return archive.fold(UserDays(np.array(series, np.int32), np.array(hashes, np.uint64), np.array(days, np.int32)))


def same(one, other):
    return all(np.array_equal(getattr(one, c), getattr(other, c)) for c in ("series", "epoch", "user", "mask"))


def user_day(user, day):
    """In every series."""
    return [(0, CONTACT_USER, day), (1, user, day), (2, user, day)]


@pytest.fixture
def replay(batches, event):
    """Ann was active today and 200 days ago, bob yesterday; the log says so in two parts, and some of it twice."""
    replay = Replay(0, TODAY + 1, KEYS, {"acme": "UTC"}, lambda _: "UTC")
    ann, bob, old = (
        event("acme", "ann", NOW),
        event("acme", "bob", "2026-08-24"),
        event("acme", "ann", datetime(2026, 2, 6, tzinfo=UTC)),
    )
    for part in ([ann, old], [bob, ann, old]):
        replay.take(decode_all([(data, NOW) for _, data in batches(part)]))
    return replay


TOLD = masks(*user_day("ann", TODAY), *user_day("bob", TODAY - 1), *user_day("ann", TODAY - 200))


def test_every_user_day_of_the_log_is_counted_once_whatever_its_age(replay):
    assert same(replay.masks(), TOLD)
    assert same(replay.masks(), TOLD)  # asking changes nothing
    assert (replay.new_series, replay.new_zones) == ({}, {})


def test_series_that_nobody_stored_are_told(event, batches):
    replay = Replay(0, TODAY + 1, KEYS[:1], {"acme": "UTC"}, lambda _: "Asia/Tokyo")
    replay.take(decode_all([(data, NOW) for _, data in batches([event("acme", "ann", NOW)])]))
    assert replay.new_series == {1: KEYS[1], 2: KEYS[2]}
    assert replay.new_zones == {}


BOLT = [SeriesKey("bolt", "contact"), SeriesKey("bolt", "total", "production")]


def test_series_stored_meanwhile_are_numbered_as_the_store_does(replay, event, batches):
    """Two accounts that nobody had seen; the log has them in another order than the store."""
    cove = [SeriesKey("cove", "contact"), SeriesKey("cove", "total", "production")]
    assert replay.adopt([*KEYS, *BOLT, *cove], {"acme": "UTC", "bolt": "UTC", "cove": "Asia/Tokyo"})
    late = datetime(2026, 8, 24, 20, tzinfo=UTC)  # the 25th in Tokyo
    events = [event("cove", "cid", late, "login"), event("bolt", "bob", late, "login")]
    replay.take([one for one in decode_all([(data, NOW) for _, data in batches(events)])])
    assert (replay.new_series, replay.new_zones) == ({}, {})
    assert same(archive.since(replay.masks(), TODAY), masks(*user_day("ann", TODAY), (5, CONTACT_USER, TODAY)))
    assert [key.account for key in replay.shard.keys] == ["acme"] * 3 + ["bolt"] * 2 + ["cove"] * 2


def test_what_it_numbered_itself_begins_again_when_the_store_has_grown(replay, event, batches):
    replay.take(decode_all([(data, NOW) for _, data in batches([event("eve", "eve", NOW)])]))
    replay.reached = 9
    assert replay.adopt(KEYS, {"acme": "UTC"})  # the store still lacks it, and has nothing else
    assert {key.account for key in replay.new_series.values()} == {"eve"}
    assert replay.reached == 9
    assert not replay.adopt([*KEYS, *BOLT], {"acme": "UTC", "bolt": "UTC"})
    assert (replay.reached, replay.new_series, len(replay.masks())) == (0, {}, 0)
    assert replay.shard.keys == [*KEYS, *BOLT]


def test_a_zone_that_changed_meanwhile_lets_it_begin_again(replay):
    assert not replay.adopt(KEYS, {"acme": "Asia/Tokyo"})
    assert (replay.reached, len(replay.masks())) == (0, 0)
    assert replay.shard.zones == {"acme": "Asia/Tokyo"}


@pytest.mark.parametrize(
    ("stored", "covered_from", "told"),
    [
        pytest.param(TOLD, 0, {}, id="equal"),
        pytest.param(masks(), 0, {"acme": (9, 0, TODAY - 200)}, id="all of it is missing"),
        pytest.param(masks(), TODAY - 100, {"acme": (6, 0, TODAY - 1)}, id="what is not covered is not missing"),
        pytest.param(
            archive.merge(TOLD, masks((1, "ghost", TODAY - 70))), 0, {"acme": (0, 1, TODAY - 70)}, id="one is too many"
        ),
        pytest.param(
            archive.merge(masks((2, "ghost", TODAY)), archive.discard(TOLD, masks((1, "bob", TODAY - 1)))),
            0,
            {"acme": (1, 1, TODAY - 1)},
            id="one of each",
        ),
    ],
)
def test_what_differs_from_the_store(replay, stored, covered_from, told):
    found = compare(replay, archive.since(stored, covered_from), None, covered_from)
    assert found.accounts == told
    assert bool(found) == bool(told)
    right = archive.merge(archive.discard(archive.since(stored, covered_from), found.extra), found.missing)
    assert same(right, archive.since(TOLD, covered_from))


def test_people_are_those_whose_days_in_a_total_were_missing(replay):
    found = compare(replay, archive.discard(TOLD, masks((1, "bob", TODAY - 1), (2, "ann", TODAY))), None, 0)
    assert found.people(KEYS) == {("acme", user_hash("bob"))}
    assert found.series == [1, 2]


def test_what_only_memory_has_wrong(replay):
    held = Shard(0, TODAY + 1)
    held.restore(KEYS, {"acme": "UTC"}, archive.since(TOLD, TODAY - 60))
    assert not compare(replay, TOLD, held.activity, 0)
    held.activity.add(np.array([1], np.int32), np.array([7], np.uint64), np.array([TODAY], np.int32))
    found = compare(replay, TOLD, held.activity, 0)
    assert found.accounts == {"acme": (0, 1, TODAY)}
    assert (len(found.missing), len(found.extra)) == (0, 0)  # the store is right


def test_counts_are_compared_with_their_masks():
    held = Shard(0, TODAY + 1)
    held.restore(KEYS, {"acme": "UTC"}, archive.since(TOLD, TODAY - 60))
    assert drifted(held.activity) == 0
    held.activity._book._rows[0, 50, 0] += 1
    assert drifted(held.activity) == 1
    held.activity.rebook()
    assert drifted(held.activity) == 0


def test_the_log_is_counted_anew_under_the_policy_of_today(batches, event):
    """How a past version that changed comes to count for what was counted before."""
    strict = ActivityPolicy(versions=(ActivityVersion(excluded_features=["Edit"]),))
    replay = Replay(0, TODAY + 1, KEYS, {"acme": "UTC"}, lambda _: "UTC", lambda: strict)
    replay.take(decode_all([(data, NOW) for _, data in batches([event("acme", "ann", NOW)])]))
    stored = masks(*user_day("ann", TODAY))
    assert same(replay.masks(), masks((0, CONTACT_USER, TODAY)))
    assert same(compare(replay, stored, None, 0).extra, masks((1, "ann", TODAY), (2, "ann", TODAY)))
