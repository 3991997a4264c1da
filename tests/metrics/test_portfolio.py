"""Adoption over many accounts: two means that are never mixed up, and who is in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from uptake.messages.kpi import AccountKpis
from uptake_metrics.accounts import Account
from uptake_metrics.portfolio import Choice, Member, PortfolioKpis, portfolio_kpis


def member(num: int | None, den: int | None, status: str = "on_target", **account: Any) -> Member:
    """`status` not_started or unknown comes without a value, as in the KPIs."""
    value = num / den if num is not None and den and status not in ("not_started", "unknown") else None
    adoption = {"value": value, "num": num, "den": den, "basis": "purchased", "target": 0.5, "on_target": None}
    adoption |= {"status": status, "n": 100, "policy": "ce-2022", "pace": None}
    adoption |= {"reason": None if value is not None else "no_seats"}
    usage = {"value": None, "num": None, "den": None, "status": account.pop("usage", "unknown"), "provisional": False}
    usage |= {"reason": "no_telemetry", "dau_mau_point": None, "usage_30_30": None}
    stands, health = account.pop("lifecycle", "production"), account.pop("data_health", "fresh")
    told = Account(account=account.pop("account", "acme"), **account)
    kpis = {"account": told.account, "as_of": "2026-05-10", "time_zone": "UTC", "partial": False, "revision": 0}
    kpis |= {"data_health": health, "last_contact": None, "dau": None, "wau": None, "mau": None, "reason": None}
    return Member(told, AccountKpis.model_validate(kpis | {"usage": usage, "adoption": adoption}), stands)


def told_of(members: list[Member]) -> PortfolioKpis:
    return portfolio_kpis(member.kpis.adoption for member in members)


def test_the_mean_of_ratios_and_the_pooled_ratio_differ() -> None:
    told = told_of([member(10, 10), member(100, 1000, "off_target")])
    assert (told.accounts, told.known, told.mean_ratio, told.reason) == (2, 2, 0.55, None)
    assert told.pooled.model_dump() == {"num": 110, "den": 1010, "value": 0.1089, "reason": None}


def test_the_unknown_are_counted_and_left_out_of_both() -> None:
    members = [
        member(5, 10, "ramping"),
        member(7, None, "unknown"),  # no seats
        member(None, 40, "unknown"),  # no telemetry
        member(30, 40, "not_started"),  # no production date
    ]
    told = told_of(members)
    assert (told.accounts, told.known, told.mean_ratio) == (4, 1, 0.5)
    assert (told.pooled.num, told.pooled.den, told.pooled.value) == (5, 10, 0.5)
    assert told.by_status == {"on_target": 0, "off_target": 0, "ramping": 1, "not_started": 1, "unknown": 2}


@pytest.mark.parametrize("members", [[], [member(7, None, "unknown")]])
def test_nothing_known_is_null_with_a_reason_and_never_a_zero(members: list[Member]) -> None:
    told = told_of(members)
    assert (told.accounts, told.known, told.mean_ratio, told.reason) == (len(members), 0, None, "no_known_account")
    assert (told.pooled.value, told.pooled.reason) == (None, "no_known_account")


def test_a_known_zero_is_a_number() -> None:
    told = told_of([member(0, 10, "off_target")])
    assert (told.known, told.mean_ratio, told.pooled.value) == (1, 0.0, 0.0)


def test_adoption_over_1_is_not_clamped() -> None:
    assert told_of([member(30, 10)]).mean_ratio == 3.0


def test_the_mean_is_exact() -> None:
    told = told_of([member(1, 3), member(1, 3), member(1, 3), member(1, 10_000)])
    assert told.mean_ratio == 0.25  # 0.250025
    assert told_of([member(1, 10_000), member(0, 7)]).mean_ratio == 0.0001  # half up from 0.00005


MEMBERS = [
    member(1, 2, account="a", owner="dana", region="emea", segment="smb", name="Straße", usage="healthy"),
    member(1, 2, "off_target", account="b", owner="dana", region="amer", segment="smb", lifecycle="ramping"),
    member(1, 2, account="c", owner="mara", region="emea", segment="large", data_health="stale"),
    member(1, None, "unknown", account="d", lifecycle="churned", name="The A Company"),
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
        (Choice(lifecycle="ramping"), "b"),
        (Choice(lifecycle="trial"), ""),
        (Choice(usage="healthy"), "a"),
        (Choice(usage="unknown", lifecycle="production"), "c"),
        (Choice(data_health="stale"), "c"),
        (Choice(data_health="fresh", owner="dana"), "ab"),
        (Choice(q="A"), "ad"),
        (Choice(q="STRASSE"), "a"),
        (Choice(q="company"), "d"),
        (Choice(q=""), "abcd"),
        (Choice(q="zz"), ""),
    ],
)
def test_a_choice_covers_the_accounts_that_have_every_given_value(choice: Choice, accounts: str) -> None:
    assert "".join(one.account.account for one in MEMBERS if choice.covers(one)) == accounts


@pytest.mark.parametrize("misspelt", [{"regoin": "emea"}, {"status": "fine"}, {"lifecycle": "old"}, {"usage": "ok"}])
def test_a_choice_that_is_none_is_refused(misspelt: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Choice.model_validate(misspelt)


KNOWN = st.builds(member, st.integers(0, 500), st.integers(1, 300))
UNKNOWN = st.builds(member, st.none(), st.integers(1, 300), st.just("unknown"))


@given(st.lists(KNOWN | UNKNOWN, max_size=20), st.randoms(use_true_random=False))
def test_order_and_unknown_accounts_change_no_ratio(members: list[Member], shuffle: Any) -> None:
    told = told_of(members)
    known = [one for one in members if one.kpis.adoption.value is not None]
    shuffle.shuffle(known)
    alone = told_of(known)
    assert (told.mean_ratio, told.pooled, told.known) == (alone.mean_ratio, alone.pooled, len(known))
    assert sum(told.by_status.values()) == told.accounts == len(members)
