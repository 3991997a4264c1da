"""`uptake portfolio`: what it asks, and that its two ratios are told apart."""

import json
from typing import Any

import pytest

PORTFOLIO = "/api/v1/portfolio"
ANSWER: dict[str, Any] = {
    "accounts": 3,
    "known": 2,
    "mean_ratio": 0.55,
    "reason": None,
    "by_status": {"on_target": 1, "unknown": 2},
}
ANSWER |= {"pooled": {"num": 110, "den": 1010, "value": 0.1089, "reason": None}}
NOTHING = ANSWER | {"known": 0, "mean_ratio": None, "reason": "no_known_account"}
NOTHING |= {"pooled": {"num": 0, "den": 0, "value": None, "reason": "no_known_account"}}


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ([], {}),
        (["--as-of", "2026-05-10"], {"as_of": ["2026-05-10"]}),
        (
            ["--owner", "dana", "--region", "emea", "--segment", "smb", "--status", "off_target"],
            {"owner": ["dana"], "region": ["emea"], "segment": ["smb"], "status": ["off_target"]},
        ),
    ],
)
def test_json_is_the_answer_as_it_came(fake: Any, arguments: list[str], query: dict[str, list[str]], ask: Any) -> None:
    fake.answers[PORTFOLIO] = (200, ANSWER)
    result = ask("portfolio", *arguments, "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps(ANSWER) + "\n")
    assert fake.gets == [(PORTFOLIO, query)]


def test_both_ratios_are_shown_by_name(shown: Any) -> None:
    assert shown(PORTFOLIO, ANSWER, "portfolio") == [
        "accounts 3, adoption known of 2",
        "mean of ratios 55.0 %",
        "pooled ratio 10.8 % 110/1010",
        "on_target 1",
        "unknown 2",
    ]


def test_the_unknown_is_a_dash_with_its_reason(shown: Any) -> None:
    lines = shown(PORTFOLIO, NOTHING, "portfolio")
    assert "mean of ratios – no_known_account" in lines
    assert "pooled ratio – no_known_account" in lines


@pytest.mark.parametrize("arguments", [["--as-of", "today"], ["--status", "fine"]])
def test_wrong_usage_is_exit_code_2(fake: Any, arguments: list[str], ask: Any) -> None:
    assert (ask("portfolio", *arguments).exit_code, fake.gets) == (2, [])
