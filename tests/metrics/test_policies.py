"""Which ladder judges an account on a day, who chose it, and what a file must not say."""

from datetime import date
from fractions import Fraction
from typing import Any

import pytest

from uptake.config import InvalidConfig, parse
from uptake_metrics.accounts import Account, Stated
from uptake_metrics.policies import Policies

TEXT = """\
default: old
segments:
  - {from: 2026-04-01, segment: digital, policy: quick}
  - {from: 2026-07-01, segment: digital, policy: null}
  - {from: 2026-05-01, segment: bank, policy: slow}
policies:
  old:
    - {from: 2022-01-01, anchor: production, steps: [{day: 0, target: 25 %}]}
    - from: 2026-05-15
      anchor: contract
      steps:
        - {day: 0, target: 0.30}
        - {day: 90, target: 0.85}
  quick:
    - {from: 2026-06-01, anchor: production, steps: [{day: 0, target: 50 %}]}
  slow:
    - {from: 2022-01-01, anchor: production, steps: [{day: 0, target: 10%}]}
"""
POLICIES = parse(TEXT, Policies)


@pytest.mark.parametrize(
    ("attributes", "day", "policy", "source", "version"),
    [
        ({}, "2026-05-14", "old", "default", "2022-01-01"),
        ({}, "2026-05-15", "old", "default", "2026-05-15"),  # the new version judges its own day, and none before
        ({}, "2019-01-01", "old", "default", "2022-01-01"),  # the first version reaches back
        ({"segment": "elsewhere"}, "2026-05-14", "old", "default", "2022-01-01"),
        ({"segment": "digital"}, "2026-03-31", "old", "default", "2022-01-01"),
        ({"segment": "digital"}, "2026-04-01", "quick", "segment", "2026-06-01"),
        ({"segment": "digital"}, "2026-06-30", "quick", "segment", "2026-06-01"),
        ({"segment": "digital"}, "2026-07-01", "old", "default", "2026-05-15"),  # given back
        ({"segment": "bank"}, "2026-05-01", "slow", "segment", "2022-01-01"),
        ({"segment": "bank", "policy": "quick"}, "2026-05-01", "quick", "account", "2026-06-01"),  # its own wins
        ({"policy": "nobody-knows"}, "2026-05-01", "nobody-knows", "account", None),
    ],
)
def test_a_day_is_judged_by_what_was_in_force_on_it(
    attributes: dict[str, Any], day: str, policy: str, source: str, version: str | None
) -> None:
    found = POLICIES.in_force(Account("acme", **attributes), date.fromisoformat(day))
    assert (found.policy, found.source) == (policy, source)
    assert (found.ladder.since.isoformat() if found.ladder else None) == version


def test_an_account_that_changes_its_segment_keeps_the_ladder_of_its_past() -> None:
    moved = (Stated(date(2026, 1, 1), "digital"), Stated(date(2026, 5, 20), "bank"))
    account = Account("acme", segment="bank", history=(("segment", moved),))
    found = [POLICIES.in_force(account, date(2026, 5, day)).policy for day in (19, 20)]
    assert found == ["quick", "slow"]


def test_an_account_that_gets_a_policy_of_its_own_keeps_the_ladder_of_its_past() -> None:
    stated = (Stated(date(2026, 1, 1), None), Stated(date(2026, 5, 20), "slow"))
    account = Account("acme", policy="slow", history=(("policy", stated),))
    found = [POLICIES.in_force(account, date(2026, 5, day))[:2] for day in (19, 20)]
    assert found == [("old", "default"), ("slow", "account")]


def test_the_default_may_change_from_a_day_on() -> None:
    dated = "default: [{from: 2022-01-01, policy: old}, {from: 2026-05-01, policy: slow}]"
    policies = parse(TEXT.replace("default: old", dated), Policies)
    days = [date(2021, 1, 1), date(2026, 4, 30), date(2026, 5, 1)]
    assert [policies.in_force(Account("acme"), day).policy for day in days] == ["old", "old", "slow"]


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("25 %", Fraction(1, 4)),
        ("25%", Fraction(1, 4)),
        ("0.25", Fraction(1, 4)),
        ("0.85", Fraction(17, 20)),  # no binary fraction
        ("12.5 %", Fraction(1, 8)),
        ("1", Fraction(1)),
        ("200 %", Fraction(2)),
        ("2", Fraction(2)),
    ],
)
def test_a_target_is_what_is_written_exactly(written: str, target: Fraction) -> None:
    policies = parse(TEXT.replace("0.85", written), Policies)
    assert policies.policies["old"][1].steps[1].target == target


@pytest.mark.parametrize(
    "written",
    ["0", "0 %", "2.01", "201 %", "-0.25", "true", "~", ".nan", ".inf", "1/4", "1e-1", "1e99999999", "x", "[1]"],
)
def test_a_target_that_is_no_share_is_refused_with_its_line(written: str) -> None:
    with pytest.raises(InvalidConfig, match=r"^line 13: policies\.old\.1\.steps\.1\.target: .* such as 0\.25 or 25 %$"):
        parse(TEXT.replace("0.85", written), Policies)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("default: old\n", "", "line 1: default: is missing"),
        ("default: old\n", "default: no\n", "line 1: default: "),
        ("default: old", "default: gone", "line 1: default.0.policy: names a policy that this file does not have"),
        ("policy: quick}", "policy: gone}", "line 3: segments.0.policy: names a policy that this file does not have"),
        ("2026-07-01", "2026-04-01", "line 4: segments.1.from: must be after the segment's assignment before it"),
        ("2026-07-01", "2026-03-01", "line 4: segments.1.from: must be after the segment's assignment before it"),
        ("2026-05-15", "2022-01-01", "line 9: policies.old.1.from: must be after the version before it"),
        ("2026-05-15", "2021-05-15", "line 9: policies.old.1.from: must be after the version before it"),
        ("2026-05-15", "soon", "line 9: policies.old.1.from: "),
        ("2026-05-15", "2026-05-15T10:00:00Z", "line 9: policies.old.1.from: "),
        ("from: 2026-05-15\n", "until: 2026-05-15\n", "line 9: policies.old.1.from: is missing"),
        ("anchor: contract", "anchor: kickoff", "line 10: policies.old.1.anchor: "),
        ("day: 90", "day: 0", "line 13: policies.old.1.steps.1.day: must be after the step before it"),
        ("day: 90", "day: -1", "line 13: policies.old.1.steps.1.day: "),
        ("day: 90", "day: 1.5", "line 13: policies.old.1.steps.1.day: "),
        ("day: 90", "day: 90, day: 91", "line 13: day stands twice"),
        ("[{day: 0, target: 50 %}]", "[]", "line 15: policies.quick.0.steps: "),
        ("    - {from: 2022-01-01, anchor: production, steps: [{day: 0, target: 10%}]}\n", "    []\n", "line 16: "),
        ("  quick:\n", "  old:\n", "line 14: old stands twice"),
        ("  quick:\n", "  Quick One:\n", "line 14: policies.Quick One"),
        ("default: old", "default: ]", "line 1: not YAML"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_the_line(old: str, new: str, problem: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidConfig) as refused:
        parse(TEXT.replace(old, new, 1), Policies)
    assert str(refused.value).startswith(problem)


def test_an_empty_file_does_not_mean_no_policies() -> None:
    """An editor that empties the file before it writes must not have everybody judged anew in between."""
    with pytest.raises(InvalidConfig):
        parse("", Policies)
