"""Correlation of two columns, by hand and by what must always hold."""

from fractions import Fraction
from statistics import correlation as textbook

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from uptake_metrics.correlation import Habits, ranks

SHARES = st.integers(0, 60).map(lambda users: Fraction(users, 60))
PAIRS = st.lists(st.tuples(SHARES, SHARES), min_size=8, max_size=20)


def correlated(saturation, usage):
    """Zeros are left out, as they are by whoever asks."""
    named = {place: Fraction(one) for place, one in enumerate(saturation) if one}
    return Habits([Fraction(one) for one in usage]).with_saturation(named)


@pytest.mark.parametrize(
    ("saturation", "usage", "pearson", "spearman"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8], 1, 1),
        ([1, 2, 3, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1], -1, -1),
        # Means 4.5 and 4.5; sums of products 42 - 2 = 40 and of squares 42: 40 / 42. The ranks are the values.
        ([1, 2, 3, 4, 5, 6, 7, 8], [2, 1, 3, 4, 5, 6, 8, 7], 0.9524, 0.9524),
        # One account of eight uses it, and has the best habit: products 3.5, squares 0.875 and 42.
        ([0, 0, 0, 0, 0, 0, 0, 1], [1, 2, 3, 4, 5, 6, 7, 8], 0.5774, 0.5774),
        # Growing, but not evenly: 294 / sqrt(2226 * 42), and the ranks go together exactly.
        ([0, 1, 4, 9, 16, 25, 36, 49], [1, 2, 3, 4, 5, 6, 7, 8], 0.9615, 1),
        # Ties: 17.5 / sqrt(8.875 * 42); of the ranks 2.5 2.5 2.5 2.5 5.5 5.5 7 8 it is 36.5 / sqrt(36.5 * 42).
        ([0, 0, 0, 0, 1, 1, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8], 0.9064, 0.9322),
        ([1, 2, 1, 2, 1, 2, 1, 2], [1, 1, 2, 2, 1, 1, 2, 2], 0, 0),
    ],
)
def test_by_hand(saturation, usage, pearson, spearman):
    assert correlated(saturation, usage) == (pearson, spearman, 8, None)


def test_under_eight_accounts_nothing_is_said():
    assert correlated(range(7), range(7)) == (None, None, 7, "too_few_accounts")
    assert correlated([], []) == (None, None, 0, "too_few_accounts")
    assert correlated(range(8), range(8)).reason is None


@pytest.mark.parametrize(
    ("saturation", "usage"), [([0] * 8, range(8)), ([1] * 8, range(8)), (range(8), [3] * 8), ([0] * 8, [3] * 8)]
)
def test_a_constant_side_has_no_correlation(saturation, usage):
    assert correlated(saturation, usage) == (None, None, 8, "constant")


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0, 3.0])).tolist() == [4, 1, 4, 2, 4]
    assert ranks(np.array([])).tolist() == []


def test_an_account_that_is_named_with_nothing_is_like_one_that_is_not_named():
    usage = [Fraction(n) for n in (3, 1, 4, 1, 5, 9, 2, 6)]
    some = {0: Fraction(1, 2), 5: Fraction(1, 3)}
    assert Habits(usage).with_saturation(some) == Habits(usage).with_saturation({**some, 2: Fraction(0)})


@given(PAIRS)
def test_it_is_what_the_textbook_says(pairs):
    saturation, usage = zip(*pairs, strict=True)
    assume(len(set(saturation)) > 1 and len(set(usage)) > 1)
    found = correlated(saturation, usage)
    values = [[float(one) for one in side] for side in (saturation, usage)]
    places = [[sum(o < one for o in side) + (side.count(one) + 1) / 2 for one in side] for side in values]
    assert found.pearson == pytest.approx(textbook(*values), abs=1e-4)
    assert found.spearman == pytest.approx(textbook(*places), abs=1e-4)


@given(PAIRS)
def test_it_lies_within_its_bounds_and_is_symmetric(pairs):
    saturation, usage = zip(*pairs, strict=True)
    found, turned = correlated(saturation, usage), correlated(usage, saturation)
    assert (found.n, found.reason) == (turned.n, turned.reason) == (len(pairs), found.reason)
    if found.reason is None:
        assert found.pearson == pytest.approx(turned.pearson, abs=1e-4)
        assert found.spearman == pytest.approx(turned.spearman, abs=1e-4)
        assert -1 <= found.pearson <= 1
        assert -1 <= found.spearman <= 1


@given(PAIRS)
def test_spearman_knows_only_the_order(pairs):
    saturation, usage = zip(*pairs, strict=True)
    squared = [one**2 for one in saturation]
    assert correlated(squared, usage).spearman == correlated(saturation, usage).spearman


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_accounts_means_nothing(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    found, again = (correlated(*zip(*some, strict=True)) for some in (pairs, shuffled))
    assert found.reason == again.reason
    if found.reason is None:
        assert found.pearson == pytest.approx(again.pearson, abs=1e-4)
        assert found.spearman == pytest.approx(again.spearman, abs=1e-4)
