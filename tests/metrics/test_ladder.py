"""The ladder as data: every edge of every band, exactly."""

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest

from uptake_metrics.accounts import Account
from uptake_metrics.ladder import CE_2022, NO_STEP, POLICIES, Band, Step, judge, ladder_day

QUARTER, HALF, THREE_QUARTERS = Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)


@pytest.mark.parametrize(
    ("n", "step"),
    [
        (None, NO_STEP),
        (-1, NO_STEP),
        (0, Step(QUARTER, Fraction(0), 90, HALF)),
        (45, Step(QUARTER, Fraction(1, 8), 90, HALF)),
        (90, Step(QUARTER, QUARTER, 90, HALF)),
        (91, Step(HALF, QUARTER + QUARTER / 90, 180, THREE_QUARTERS)),
        (129, Step(HALF, QUARTER + QUARTER * 39 / 90, 180, THREE_QUARTERS)),
        (180, Step(HALF, HALF, 180, THREE_QUARTERS)),
        (181, Step(THREE_QUARTERS, HALF + QUARTER / 90, 270, THREE_QUARTERS)),
        (270, Step(THREE_QUARTERS, THREE_QUARTERS, 270, THREE_QUARTERS)),
        (271, Step(THREE_QUARTERS, THREE_QUARTERS, None, None)),
        (5000, Step(THREE_QUARTERS, THREE_QUARTERS, None, None)),
    ],
)
def test_ce_2022_on_every_edge(n: int | None, step: Step) -> None:
    assert judge(CE_2022, n) == step


@pytest.mark.parametrize(
    ("n", "pace"),
    [
        (0, Fraction(0)),
        (5, HALF / 2),
        (10, HALF),
        (11, HALF + QUARTER / 100),
        (110, THREE_QUARTERS),
        (111, Fraction(1)),
    ],
)
def test_the_pace_bends_where_the_bands_are_uneven(n: int, pace: Fraction) -> None:
    uneven = (Band(0, HALF), Band(11, THREE_QUARTERS), Band(111, Fraction(1)))
    assert judge(replace(CE_2022, steps=uneven), n).pace == pace


def test_the_pace_never_falls_and_never_passes_the_target() -> None:
    steps = [judge(CE_2022, n) for n in range(400)]
    paces = [step.pace for step in steps if step.pace is not None]
    assert paces == sorted(paces)
    assert all(step.pace is not None and step.target is not None and step.pace <= step.target for step in steps)


@pytest.mark.parametrize(
    ("anchor", "as_of", "n"),
    [
        (date(2026, 1, 1), date(2026, 1, 1), 0),
        (date(2026, 1, 1), date(2025, 12, 31), -1),
        (date(2028, 2, 1), date(2028, 3, 1), 29),  # over a 29th of February
        (None, date(2026, 1, 1), None),
    ],
)
def test_the_days_are_counted_from_the_anchor(anchor: date | None, as_of: date, n: int | None) -> None:
    assert ladder_day(CE_2022, Account("acme", production_date=anchor), as_of) == n
    assert ladder_day(replace(CE_2022, anchor="contract"), Account("acme", contract_start=anchor), as_of) == n


def test_policies_are_found_by_name() -> None:
    assert POLICIES == {"ce-2022": CE_2022}
