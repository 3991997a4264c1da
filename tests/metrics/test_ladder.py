"""The ladder: every edge of every band of every shipped policy, exactly."""

from datetime import date
from fractions import Fraction

import pytest

from uptake_metrics.accounts import Account
from uptake_metrics.config import Config
from uptake_metrics.ladder import NO_STEP, Step, anchor_day, judge, ladder_day
from uptake_metrics.policies import Ladder

QUARTER, HALF, THREE_QUARTERS, FOUR_FIFTHS = Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(4, 5)
POLICIES = Config(None).policies
CE_2022 = POLICIES.policies["ce-2022"][0]


def ladder(*steps: tuple[int, str], anchor: str = "production") -> Ladder:
    bands = [{"day": day, "target": target} for day, target in steps]
    return Ladder.model_validate({"from": "2022-01-01", "anchor": anchor, "steps": bands})


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


DAYS = (-1, 0, 29, 30, 44, 45, 59, 60, 90, 91, 179, 180, 181, 270, 271)


@pytest.mark.parametrize(
    ("policy", "anchor", "targets"),
    [  # by the days above
        ("ce-2022", "production", [None, *[25] * 8, 50, 50, 50, 75, 75, 75]),
        ("future-state", "contract", [*[None] * 11, 75, 75, 75, 75]),
        ("ta-2022", "production", [*[None] * 5, *[80] * 10]),
        ("ta-2023", "production", [*[None] * 7, *[80] * 8]),
        ("digital", "production", [*[None] * 7, *[50] * 5, 80, 80, 80]),
    ],
)
def test_the_target_of_every_shipped_policy_on_every_edge(policy: str, anchor: str, targets: list[int | None]) -> None:
    (shipped,) = POLICIES.policies[policy]
    assert shipped.anchor == anchor
    percents = [None if target is None else Fraction(target, 100) for target in targets]
    assert [judge(shipped, n).target for n in DAYS] == percents


def test_the_table_above_is_about_every_shipped_policy() -> None:
    assert set(POLICIES.policies) == {"ce-2022", "future-state", "ta-2022", "ta-2023", "digital"}


@pytest.mark.parametrize(
    ("policy", "n", "step"),
    [
        ("future-state", 0, Step(None, None, 179, THREE_QUARTERS)),  # nothing is due: no target, no pace, never 0
        ("future-state", 179, Step(None, None, 179, THREE_QUARTERS)),
        ("future-state", 180, Step(THREE_QUARTERS, THREE_QUARTERS, None, None)),
        ("ta-2022", 44, Step(None, None, 44, FOUR_FIFTHS)),
        ("ta-2023", 59, Step(None, None, 59, FOUR_FIFTHS)),
        ("digital", 59, Step(None, None, 59, HALF)),
        ("digital", 60, Step(HALF, HALF / 121, 180, FOUR_FIFTHS)),  # from 0 on day 59
        ("digital", 180, Step(HALF, HALF, 180, FOUR_FIFTHS)),
        ("digital", 181, Step(FOUR_FIFTHS, FOUR_FIFTHS, None, None)),
    ],
)
def test_the_step_says_what_comes_next(policy: str, n: int, step: Step) -> None:
    assert judge(POLICIES.policies[policy][0], n) == step


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
    assert judge(ladder((0, "50 %"), (11, "75 %"), (111, "100 %")), n).pace == pace


def test_the_pace_of_a_band_of_one_day_is_its_target() -> None:
    short = ladder((0, "10 %"), (1, "50 %"), (2, "90 %"))
    assert [judge(short, n).pace for n in range(3)] == [Fraction(1, 10), HALF, Fraction(9, 10)]


@pytest.mark.parametrize("policy", POLICIES.policies)
def test_the_pace_never_falls_and_never_passes_the_target(policy: str) -> None:
    steps = [judge(POLICIES.policies[policy][0], n) for n in range(400)]
    paces = [step.pace for step in steps if step.pace is not None]
    assert paces == sorted(paces)
    assert all((step.pace is None) == (step.target is None) for step in steps)
    assert all(step.pace <= step.target for step in steps if step.pace is not None and step.target is not None)


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
    in_production, contracted = Account("acme", production_date=anchor), Account("acme", contract_start=anchor)
    by_contract = ladder((0, "25 %"), anchor="contract")
    assert ladder_day(CE_2022, in_production, as_of) == ladder_day(by_contract, contracted, as_of) == n
    assert anchor_day(CE_2022, in_production) == anchor_day(by_contract, contracted) == anchor
    assert anchor_day(CE_2022, contracted) is None
