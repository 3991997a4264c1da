"""Which ids name one person: the newest statement of a pair stands, and a person has one id."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.events import UserLinked, UserUnlinked
from uptake_metrics.links import canonical, in_force

AT = "2026-05-01T00:00:00Z"


def said(word, user, other):
    kind = {"link": UserLinked, "unlink": UserUnlinked}[word]
    return kind(id="n", type=f"user.{word}ed", occurred_at=AT, account="acme", user=user, other=other)


@pytest.mark.parametrize(
    ("statements", "pairs"),
    [
        ([], ()),
        ([("link", "a", "b")], (("a", "b"),)),
        ([("link", "a", "b"), ("link", "a", "b")], (("a", "b"),)),
        ([("link", "a", "b"), ("link", "b", "a")], (("b", "a"),)),
        ([("link", "a", "b"), ("unlink", "a", "b")], ()),
        ([("link", "a", "b"), ("unlink", "b", "a")], ()),
        ([("unlink", "a", "b"), ("link", "a", "b")], (("a", "b"),)),
        ([("link", "a", "b"), ("unlink", "a", "b"), ("link", "a", "b")], (("a", "b"),)),
        ([("link", "a", "a")], ()),
        ([("unlink", "x", "y")], ()),
        ([("link", "a", "b"), ("link", "b", "c"), ("unlink", "a", "b")], (("b", "c"),)),
    ],
)
def test_the_newest_statement_of_a_pair_stands(statements, pairs):
    assert in_force(said(*one) for one in statements) == pairs


@pytest.mark.parametrize(
    ("pairs", "known_by"),
    [
        ((), {}),
        ((("a", "b"),), {"b": "a"}),
        ((("a", "b"), ("b", "c")), {"b": "a", "c": "a"}),
        ((("b", "c"), ("a", "b")), {"b": "a", "c": "a"}),
        ((("a", "b"), ("b", "c"), ("c", "a")), {"b": "a", "c": "a"}),
        ((("a", "c"), ("b", "c")), {"a": "b", "c": "b"}),
        ((("a", "b"), ("c", "d")), {"b": "a", "d": "c"}),
        ((("a", "b"), ("c", "d"), ("d", "b")), {"a": "c", "b": "c", "d": "c"}),
    ],
)
def test_a_person_goes_by_the_id_that_the_others_are_linked_to(pairs, known_by):
    assert canonical(pairs) == known_by


IDS = st.sampled_from("abcdefg")


@given(st.lists(st.tuples(IDS, IDS)))
def test_who_is_one_person_does_not_depend_on_the_order_of_links(pairs):
    groups = [{name} for name in "abcdefg"]
    for user, other in pairs:
        one, two = (next(group for group in groups if name in group) for name in (user, other))
        if one is not two:
            groups.remove(two)
            one |= two
    known_by = canonical(tuple(pairs))
    for group in groups:
        assert len({known_by.get(name, name) for name in group}) == 1
        assert known_by.get(min(group), min(group)) in group


def test_a_long_chain_is_one_person():
    ids = [f"u{n}" for n in range(20_000)]
    assert set(canonical(tuple(pairwise(ids))).values()) == {"u0"}
    assert set(canonical(tuple((above, name) for name, above in pairwise(ids))).values()) == {"u19999"}
