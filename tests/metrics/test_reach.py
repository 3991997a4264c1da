"""What a change of configuration reaches, against every day of some months."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics.accounts import Account, Stated
from uptake_metrics.config import Config
from uptake_metrics.policies import Policies
from uptake_metrics.reach import Content, of_policies, of_use_cases
from uptake_metrics.use_cases import UseCases

FIRST = date(2026, 1, 1)
DAYS = [date.min, *(FIRST + timedelta(days=n) for n in range(-2, 45))]
NAMES = st.sampled_from(["a", "b"])
DAY = st.integers(0, 40).map(lambda n: FIRST + timedelta(days=n))


def dated(value):
    return st.dictionaries(DAY, value, min_size=1, max_size=3).map(lambda found: sorted(found.items()))


LADDERS = dated(st.sampled_from(["10 %", "50 %"])).map(
    lambda versions: [
        {"from": day, "anchor": "production", "steps": [{"day": 0, "target": target}]} for day, target in versions
    ]
)
POLICIES = st.builds(
    lambda a, b, default, segments: Policies.model_validate(
        {
            "policies": {"a": a, "b": b},
            "default": [{"from": day, "policy": name} for day, name in default],
            "segments": [{"from": day, "segment": "big", "policy": name} for day, name in segments],
        }
    ),
    LADDERS,
    LADDERS,
    dated(NAMES),
    dated(NAMES | st.none()),
)
ACCOUNTS = st.builds(
    lambda policies, segments: Account(
        "acme",
        policy=policies[-1][1],
        segment=segments[-1][1],
        history=(
            ("policy", tuple(Stated(day, name) for day, name in policies)),
            ("segment", tuple(Stated(day, name) for day, name in segments)),
            ("plan", (Stated(FIRST, "gold"),)),
        ),
    ),
    dated(NAMES | st.none() | st.just("unknown")),
    dated(st.sampled_from(["big", None])),
)


@given(POLICIES, POLICIES, ACCOUNTS)
def test_the_first_day_is_the_first_that_is_judged_otherwise(old: Policies, new: Policies, account: Account) -> None:
    differ = [day for day in DAYS if old.in_force(account, day) != new.in_force(account, day)]
    assert of_policies(old, new)(account) == min(differ, default=None)


@given(POLICIES, st.fractions(0, 2).map(lambda share: f"{float(share):.9f}"))
def test_content_is_kept_to_the_last_digit(policies: Policies, target: str) -> None:
    for share in (target, f"{target} %"):
        if float(target):
            text = {"from": FIRST, "anchor": "contract", "steps": [{"day": 0, "target": share}]}
            exact = Policies.model_validate({"default": "x", "policies": {"x": [text]}})
            content = Content(exact, UseCases.model_validate({"use_cases": {"one": {"features": ["a*"]}}}))
            assert Content.read(content.text()) == content
    content = Content(policies, Config(None).use_cases)
    assert Content.read(content.text()) == content


def test_the_shipped_content_is_kept_too() -> None:
    content = Content(Config(None).policies, Config(None).use_cases)
    assert Content.read(content.text()) == content


@pytest.mark.parametrize("text", ["", "{}", '{"policies": 1, "use_cases": 2}', '{"policies": {}}'])
def test_what_nobody_wrote_is_no_content(text: str) -> None:
    assert Content.read(text) is None


@pytest.mark.parametrize(
    ("old", "new", "reached"),
    [
        ({"one": ["a"]}, {"one": ["a"]}, set()),
        ({"one": ["a"]}, {"one": ["a", "b"]}, {"b"}),
        ({"one": ["a*"]}, {"one": ["ab"]}, {"a"}),
        ({"one": ["a"], "two": ["b"]}, {"one": ["b"], "two": ["a"]}, {"a", "b"}),
        ({"one": ["a"]}, {"one": ["a"], "two": ["zz"]}, None),
        ({"one": ["a"], "two": ["b"]}, {"two": ["b"], "one": ["a"]}, None),  # they are listed in the order of the file
        ({"one": ["a"]}, {}, None),
    ],
)
def test_features_that_belong_elsewhere(
    old: dict[str, list[str]], new: dict[str, list[str]], reached: set[str] | None
) -> None:
    def taxonomy(found: dict[str, list[str]]) -> UseCases:
        return UseCases.model_validate({"use_cases": {name: {"features": of} for name, of in found.items()}})

    assert of_use_cases(taxonomy(old), taxonomy(new), ["a", "ab", "b", "c"]) == reached
