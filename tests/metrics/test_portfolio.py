"""Adoption over many accounts: two means that are never mixed up, and who is in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.kpi import AdoptionKpi
from uptake_metrics.accounts import Account
from uptake_metrics.portfolio import Choice, Member, portfolio_kpis

ALL = Choice()


def member(num: int | None, den: int | None, status: str = "on_target", **account: Any) -> Member:
    """`status` not_started or unknown comes without a value, as in the KPIs."""
    value = num / den if num is not None and den and status not in ("not_started", "unknown") else None
    return Member(
        Account(account=account.pop("account", "acme"), **account),
        AdoptionKpi.model_validate(
            {
                "value": value,
                "num": num,
                "den": den,
                "basis": "purchased",
                "target": 0.5,
                "on_target": None,
                "status": status,
                "n": 100,
                "policy": "ce-2022",
                "pace": None,
                "reason": None if value is not None else "no_seats",
            }
        ),
    )


def test_the_mean_of_ratios_and_the_pooled_ratio_differ() -> None:
    told = portfolio_kpis([member(10, 10), member(100, 1000, "off_target")], ALL)
    assert (told.accounts, told.known, told.mean_ratio, told.reason) == (2, 2, 0.55, None)
    assert told.pooled.model_dump() == {"num": 110, "den": 1010, "value": 0.1089, "reason": None}


def test_the_unknown_are_counted_and_left_out_of_both() -> None:
    members = [
        member(5, 10, "ramping"),
        member(7, None, "unknown"),  # no seats
        member(None, 40, "unknown"),  # no telemetry
        member(30, 40, "not_started"),  # no production date
    ]
    told = portfolio_kpis(members, ALL)
    assert (told.accounts, told.known, told.mean_ratio) == (4, 1, 0.5)
    assert (told.pooled.num, told.pooled.den, told.pooled.value) == (5, 10, 0.5)
    assert told.by_status == {"on_target": 0, "off_target": 0, "ramping": 1, "not_started": 1, "unknown": 2}


@pytest.mark.parametrize("members", [[], [member(7, None, "unknown")]])
def test_nothing_known_is_null_with_a_reason_and_never_a_zero(members: list[Member]) -> None:
    told = portfolio_kpis(members, ALL)
    assert (told.accounts, told.known, told.mean_ratio, told.reason) == (len(members), 0, None, "no_known_account")
    assert (told.pooled.value, told.pooled.reason) == (None, "no_known_account")


def test_a_known_zero_is_a_number() -> None:
    told = portfolio_kpis([member(0, 10, "off_target")], ALL)
    assert (told.known, told.mean_ratio, told.pooled.value) == (1, 0.0, 0.0)


def test_adoption_over_1_is_not_clamped() -> None:
    assert portfolio_kpis([member(30, 10)], ALL).mean_ratio == 3.0


def test_the_mean_is_exact() -> None:
    told = portfolio_kpis([member(1, 3), member(1, 3), member(1, 3), member(1, 10_000)], ALL)
    assert told.mean_ratio == 0.25  # 0.250025
    assert portfolio_kpis([member(1, 10_000), member(0, 7)], ALL).mean_ratio == 0.0001  # half up from 0.00005


MEMBERS = [
    member(1, 2, account="a", owner="dana", region="emea", segment="smb"),
    member(1, 2, "off_target", account="b", owner="dana", region="amer", segment="smb"),
    member(1, 2, account="c", owner="mara", region="emea", segment="large"),
    member(1, None, "unknown", account="d"),
]


@pytest.mark.parametrize(
    ("choice", "accounts"),
    [
        (Choice(), "abcd"),
        (Choice(owner="dana"), "ab"),
        (Choice(region="emea"), "ac"),
        (Choice(segment="smb"), "ab"),
        (Choice(status="on_target"), "ac"),
        (Choice(status="unknown"), "d"),
        (Choice(owner="dana", region="emea"), "a"),
        (Choice(owner="dana", status="on_target", segment="smb", region="emea"), "a"),
        (Choice(owner="nobody"), ""),
        (Choice(owner=""), ""),
    ],
)
def test_a_choice_covers_the_accounts_that_have_every_given_value(choice: Choice, accounts: str) -> None:
    assert "".join(one.account.account for one in MEMBERS if choice.covers(one)) == accounts
    assert portfolio_kpis(MEMBERS, choice).accounts == len(accounts)


KNOWN = st.builds(member, st.integers(0, 500), st.integers(1, 300))
UNKNOWN = st.builds(member, st.none(), st.integers(1, 300), st.just("unknown"))


@given(st.lists(KNOWN | UNKNOWN, max_size=20), st.randoms(use_true_random=False))
def test_order_and_unknown_accounts_change_no_ratio(members: list[Member], shuffle: Any) -> None:
    told = portfolio_kpis(members, ALL)
    known = [one for one in members if one.adoption.value is not None]
    shuffle.shuffle(known)
    alone = portfolio_kpis(known, ALL)
    assert (told.mean_ratio, told.pooled, told.known) == (alone.mean_ratio, alone.pooled, len(known))
    assert sum(told.by_status.values()) == told.accounts == len(members)
