"""Who wins, what is said of a peer that fails, and how it looks."""

import pytest

from tests.bench import frame, table
from tests.bench.frame import Contestant, Measure, absent


def contestant(*figures: float, name: str = "them", at_least: float | None = None) -> Contestant:
    left = list(figures)
    return Contestant(name, lambda: left.pop(0), at_least)


def measure(ours: Contestant, *peers: Contestant, higher: bool = True, limit: float | None = None) -> Measure:
    return Measure("name", "title", "u", higher, ours, peers, limit)


@pytest.mark.parametrize(
    ("higher", "ours", "theirs", "ratio"),
    [(True, 6.0, 2.0, 3.0), (False, 2.0, 6.0, 3.0), (True, 2.0, 4.0, 0.5), (False, 4.0, 2.0, 0.5)],
)
def test_a_ratio_above_one_means_that_we_are_better(higher, ours, theirs, ratio):
    found = frame.compete(measure(contestant(ours), contestant(theirs), higher=higher), 1)
    assert found["peers"][0]["ratio"] == ratio


def test_the_median_counts_and_every_run_is_told():
    found = frame.compete(measure(contestant(1.0, 9.0, 2.0), contestant(1.0, 1.0, 5.0)), 3)
    assert (found["ours"]["median"], found["ours"]["runs"]) == (2.0, [1.0, 9.0, 2.0])
    assert found["peers"][0]["ratio"] == 2.0


def test_everyone_runs_in_turn_and_every_other_round_backwards():
    heard = []
    ours, first, last = (contestant(1, 1, 1, name=name) for name in ("ours", "first", "last"))
    frame.compete(measure(ours, first, last), 3, heard.append)
    assert heard == ["ours", "first", "last", "last", "first", "ours", "ours", "first", "last"]


@pytest.mark.parametrize(("at_least", "holds"), [(None, True), (2.0, True), (2.1, False)])
def test_a_peer_has_to_be_beaten_by_as_much_as_is_asked(at_least, holds):
    found = frame.compete(measure(contestant(4.0), contestant(2.0, at_least=at_least)), 1)
    assert found["peers"][0]["holds"] is found["holds"] is holds


@pytest.mark.parametrize(
    ("higher", "limit", "holds"), [(True, 3.0, True), (True, 3.1, False), (False, 3.0, True), (False, 2.9, False)]
)
def test_our_own_limit_holds_whatever_the_peers_do(higher, limit, holds):
    assert frame.compete(measure(contestant(3.0), higher=higher, limit=limit), 1)["holds"] is holds


def test_a_peer_that_cannot_be_started_is_told_and_does_not_hold():
    found = frame.compete(measure(contestant(1.0, 1.0), absent("them", "no such package")), 2)
    assert found["peers"][0]["error"] == "RuntimeError: no such package"
    assert (found["peers"][0]["ratio"], found["holds"]) == (None, False)


def test_without_us_nothing_holds():
    found = frame.compete(measure(absent("uptake", "broken"), contestant(1.0)), 1)
    assert (found["peers"][0]["ratio"], found["holds"]) == (None, False)


def test_the_table_tells_figures_bounds_and_errors():
    found = frame.compete(measure(contestant(1234.5, 1200.0, 1300.0), absent("them", "gone", 2), limit=1000.0), 3)
    assert list(table.rows(found)) == [
        ("title", "1,234 (1,200-1,300) u", "", "", ">= 1,000 u", "yes"),
        ("title", "1,234 (1,200-1,300) u", "them: error: RuntimeError: gone", "", "2x", "no"),
    ]


def test_a_measure_that_never_ran_is_told():
    assert list(table.rows(frame.broken("name", "no server"))) == [("name", "error: no server", "", "", "", "no")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.0123"), (0.5, "0.5"), (9.876, "9.88"), (50.0, "50"), (12_345.6, "12,346")],
)
def test_figures_have_three_digits_that_mean_something(value, shown):
    assert table.number(value) == shown
