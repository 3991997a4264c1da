"""How an opportunity ended: the last word on the sale, the first technical decision, and what recurs a year."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.events import OpportunityClosed
from uptake.messages.facts import Fact
from uptake_metrics.deals import annual_change_cents, fold

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def day(number: int) -> date:
    return START.date() + timedelta(days=number)


def fact(on: int, event_type: str, *, received: int | None = None, **fields: Any) -> Fact:
    event: dict[str, Any] = {"id": f"{event_type} {on} {received} {fields}", "type": event_type, "opportunity": "opp-1"}
    event |= {"account": "acme", "occurred_at": START + timedelta(days=on), **fields}
    received_at = START + timedelta(days=on if received is None else received)
    return Fact.model_validate({"source": "crm", "received_at": received_at, "event": event})


def staged(on: int) -> Fact:
    return fact(on, "opportunity.stage_changed", stage=4)


def decided(on: int, outcome: str = "win") -> Fact:
    return fact(on, "trial.decided", outcome=outcome)


def closed(on: int, outcome: str = "won", **fields: Any) -> Fact:
    return fact(on, "opportunity.closed", outcome=outcome, **fields)


def reopened(on: int) -> Fact:
    return fact(on, "opportunity.reopened")


@pytest.mark.parametrize("facts", [[], [staged(0)], [reopened(1)]])
def test_what_never_ended_is_no_deal(facts: list[Fact]) -> None:
    assert fold("opp-1", facts, "UTC") is None


@pytest.mark.parametrize(
    ("facts", "decided_on", "closed_on", "outcome", "concluded"),
    [
        pytest.param([closed(5)], None, 5, "won", 5, id="closed without a decision"),
        pytest.param([staged(0), decided(3)], 3, None, None, 3, id="decided, not closed"),
        pytest.param([decided(3), closed(9, "lost")], 3, 9, "lost", 3, id="decided, then lost"),
        pytest.param([closed(5), decided(9)], 9, 5, "won", 5, id="closed first"),
        pytest.param([decided(3, "loss"), decided(6)], 3, None, None, 3, id="a corrected decision keeps its day"),
        pytest.param([closed(5), closed(7, "lost")], None, 7, "lost", 7, id="the last word holds"),
        pytest.param([closed(7, "lost"), closed(5)], None, 7, "lost", 7, id="by when it happened, not by arrival"),
        pytest.param([closed(5, received=5), closed(5, "lost", received=8)], None, 5, "lost", 5, id="a correction"),
        pytest.param([decided(3), closed(5), reopened(6)], 3, None, None, 3, id="reopened, still decided"),
        pytest.param([closed(5), reopened(6), closed(8)], None, 8, "won", 8, id="closed again"),
        pytest.param([reopened(4), closed(5)], None, 5, "won", 5, id="reopened before"),
    ],
)
def test_how_it_ended(
    facts: list[Fact], decided_on: int | None, closed_on: int | None, outcome: str | None, concluded: int
) -> None:
    deal = fold("opp-1", facts, "UTC")
    assert deal is not None
    assert deal.decided == (None if decided_on is None else day(decided_on))
    assert (deal.close and deal.close.day) == (None if closed_on is None else day(closed_on))
    assert (deal.close and deal.close.said.outcome) == outcome
    assert deal.concluded == day(concluded)


def test_what_is_open_again_has_no_end_and_still_knows_what_it_was() -> None:
    deal = fold("opp-1", [staged(0), closed(1), reopened(2)], "UTC")
    assert deal is not None
    assert (deal.close, deal.concluded, deal.sale) == (None, None, None)
    then = deal.at_end_of(day(1))
    assert then is not None
    assert (then.concluded, then.sale is not None) == (day(1), True)
    assert deal.at_end_of(day(0)) is None


@pytest.mark.parametrize(("outcome", "is_sold"), [("won", True), ("lost", False)])
def test_only_what_is_won_is_a_sale(outcome: str, is_sold: bool) -> None:
    deal = fold("opp-1", [closed(1, outcome)], "UTC")
    assert deal is not None
    assert (deal.sale is not None) == is_sold


def test_days_are_days_of_the_vendor() -> None:
    late = closed(0, occurred_at="2026-03-31T23:30:00Z")
    deal = fold("opp-1", [late], "Europe/Berlin")
    assert deal is not None
    assert deal.concluded == date(2026, 4, 1)


FACTS = [closed(5), reopened(6), closed(8, "lost", kind="new"), decided(7), staged(0), closed(8, "won", received=9)]


@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(FACTS), max_size=6))
def test_any_order_and_any_repetition_give_one_deal(shuffle: random.Random, again: list[Fact]) -> None:
    facts = FACTS + again
    shuffle.shuffle(facts)
    assert fold("opp-1", facts, "UTC") == fold("opp-1", FACTS, "UTC")


@pytest.mark.parametrize(
    ("said", "cents"),
    [
        pytest.param({"kind": "new", "recurring_cents": 120_000}, 120_000, id="new"),
        pytest.param({"kind": "new", "recurring_cents": 120_000, "one_time_cents": 9}, 120_000, id="no one-time fee"),
        pytest.param({"kind": "new", "recurring_cents": 120_000, "years": 3}, 40_000, id="divided by years"),
        pytest.param({"kind": "new", "recurring_cents": 0, "one_time_cents": 500_000}, 0, id="a proof of concept"),
        pytest.param({"kind": "expansion", "recurring_cents": 50_000}, 50_000, id="expansion"),
        pytest.param(
            {"kind": "expansion", "recurring_cents": 50_000, "previous_recurring_cents": 20_000},
            50_000,
            id="an expansion is new as a whole",
        ),
        pytest.param(
            {"kind": "renewal", "recurring_cents": 100, "previous_recurring_cents": 100}, 0, id="flat renewal"
        ),
        pytest.param({"kind": "renewal", "recurring_cents": 130, "previous_recurring_cents": 100}, 30, id="uplift"),
        pytest.param(
            {"kind": "renewal", "recurring_cents": 70, "previous_recurring_cents": 100}, -30, id="contraction"
        ),
        pytest.param(
            {"kind": "renewal", "recurring_cents": 390, "previous_recurring_cents": 300, "years": 3},
            30,
            id="both totals are over the term",
        ),
        pytest.param({"kind": "new", "recurring_cents": 200, "years": 3}, 67, id="rounded up"),
        pytest.param({"kind": "new", "recurring_cents": 100, "years": 3}, 33, id="rounded down"),
        pytest.param({"kind": "new", "recurring_cents": 25, "years": 2}, 12, id="half to even, down"),
        pytest.param({"kind": "new", "recurring_cents": 27, "years": 2}, 14, id="half to even, up"),
        pytest.param({"kind": "new", "recurring_cents": 2**53 - 1}, 2**53 - 1, id="beyond floats"),
        pytest.param({"kind": "new", "recurring_cents": 2**53, "years": 3}, 3_002_399_751_580_331, id="exact"),
        pytest.param({"kind": "renewal", "recurring_cents": 130}, None, id="a renewal of what?"),
        pytest.param({"kind": "new"}, None, id="no amount"),
        pytest.param({"recurring_cents": 100}, None, id="no kind"),
    ],
)
def test_what_recurs_more_a_year(said: dict[str, Any], cents: int | None) -> None:
    event = closed(0, **said).event
    assert isinstance(event, OpportunityClosed)
    assert annual_change_cents(event) == cents
