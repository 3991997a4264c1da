"""User-days of linked ids become those of one person, and nobody else's."""

import numpy as np

from uptake_metrics import archive
from uptake_metrics.aliases import aliases
from uptake_metrics.shard import user_hash
from uptake_metrics.userdays import UserDays


def masks(*rows):
    series, users, days = zip(*rows, strict=True)
    hashes = np.array([user_hash(user) for user in users], np.uint64)
    return archive.fold(UserDays(np.array(series, np.int32), hashes, np.array(days, np.int32)))


def same(one, other):
    return all(
        np.array_equal(getattr(one, column), getattr(other, column)) for column in ("series", "epoch", "user", "mask")
    )


def test_an_account_without_links_has_no_aliases():
    assert aliases(()) is None


def test_linked_ids_are_one_person_in_every_series():
    raw = masks((0, "ann", 100), (0, "bob", 101), (0, "eve", 100), (1, "bob", 30), (1, "eve", 30), (1, "bob", 101))
    merged = aliases((("ann", "bob"),)).merged(raw)
    assert same(
        merged,
        masks((0, "ann", 100), (0, "ann", 101), (0, "eve", 100), (1, "ann", 30), (1, "eve", 30), (1, "ann", 101)),
    )


def test_the_users_are_those_of_the_links_and_the_persons_have_names():
    linked = aliases((("ann", "bob"), ("bob", "carl")))
    assert linked.users.tolist() == sorted(user_hash(name) for name in ("ann", "bob", "carl"))
    assert set(linked.persons.tolist()) == {user_hash("ann")}
    assert linked.names == {user_hash("ann"): "ann"}


def test_who_is_not_linked_stays():
    users = np.array([0, user_hash("bob"), user_hash("eve"), 2**64 - 1], np.uint64)
    expected = [0, user_hash("ann"), user_hash("eve"), 2**64 - 1]
    assert aliases((("ann", "bob"),)).persons_of(users).tolist() == expected
