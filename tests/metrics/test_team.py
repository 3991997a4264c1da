"""The numbers of the team: every boundary of a quarter, a share, a percentile and a sum."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.facts import Fact
from uptake.messages.kpi import NewAcvKpi, TeamKpis, TrialsKpi
from uptake_metrics import deals, trials
from uptake_metrics.team import days_of, quarter_of, team_kpis

START = datetime(2026, 7, 6, 12, tzinfo=UTC)  # in 2026Q3
Q3 = "2026Q3"


class Story:
    """One opportunity and its facts; `on` is in days from START."""

    def __init__(self, account: str = "acme") -> None:
        self.whose = {"opportunity": "opp", "account": account}
        self.facts: list[Fact] = []

    def add(self, on: float, event_type: str, **fields: Any) -> "Story":
        at = START + timedelta(days=on)
        event = {"id": str(len(self.facts)), "type": event_type, "occurred_at": at, **self.whose, **fields}
        self.facts.append(Fact.model_validate({"source": "crm", "received_at": at, "event": event}))
        return self

    def stage(self, on: float, stage: int = 4, **fields: Any) -> "Story":
        return self.add(on, "opportunity.stage_changed", stage=stage, **fields)

    def decided(self, on: float, outcome: str = "win") -> "Story":
        return self.add(on, "trial.decided", outcome=outcome)

    def closed(self, on: float, outcome: str = "won", **fields: Any) -> "Story":
        return self.add(on, "opportunity.closed", outcome=outcome, **fields)

    def reopened(self, on: float) -> "Story":
        return self.add(on, "opportunity.reopened")


def kpis(stories: Sequence[Story], quarter: str = Q3, zone: str = "UTC") -> TeamKpis:
    named = {f"opp-{number}": story.facts for number, story in enumerate(stories)}
    clocks = [trials.fold(name, facts, zone) for name, facts in named.items()]
    ends = [deals.fold(name, facts, zone) for name, facts in named.items()]
    return team_kpis(quarter, [clock for clock in clocks if clock], {end.opportunity: end for end in ends if end})


def lasting(*days: int, complexity: str = "standard") -> list[Story]:
    return [Story().stage(0, complexity=complexity).decided(number) for number in days]


@pytest.mark.parametrize(
    ("day", "quarter"),
    [
        ("2026-01-01", "2026Q1"),
        ("2026-03-31", "2026Q1"),
        ("2026-04-01", "2026Q2"),
        ("2026-06-30", "2026Q2"),
        ("2026-07-01", "2026Q3"),
        ("2026-09-30", "2026Q3"),
        ("2026-10-01", "2026Q4"),
        ("2026-12-31", "2026Q4"),
        ("0009-12-31", "0009Q4"),
    ],
)
def test_the_quarter_of_a_day(day: str, quarter: str) -> None:
    assert quarter_of(date.fromisoformat(day)) == quarter


NO_TRIALS = TrialsKpi(n=0, within=0, share=None, met=None, median_days=None, p90_days=None, reason="no_trials_stopped")


def test_a_quarter_without_anything_is_null_with_reasons() -> None:
    none = kpis([])
    assert (none.quarter, none.standard, none.complex) == (Q3, NO_TRIALS, NO_TRIALS)
    assert none.closure.model_dump() == {
        "num": 0,
        "den": 0,
        "value": None,
        "target": 0.8,
        "met": None,
        "reason": "none_concluded",
    }
    assert none.new_acv == NewAcvKpi(
        currency=None, cents=0, net_cents=0, customers=0, opportunities=0, products=0, reason="nothing_won"
    )


@pytest.mark.parametrize(
    ("days", "within", "share", "met"),
    [
        pytest.param([21], 1, 1.0, True, id="21 days are within"),
        pytest.param([22], 0, 0.0, False, id="22 are not"),
        pytest.param([1, 22], 1, 0.5, False, id="a half is no majority"),
        pytest.param([1, 2, 22], 2, 0.6667, True, id="two of three"),
        pytest.param([1, 22, 23], 1, 0.3333, False, id="one of three"),
        pytest.param([1] * 51 + [22] * 50, 51, 0.505, True, id="barely more"),
        pytest.param([1] * 50 + [22] * 50, 50, 0.5, False, id="exactly a half of many"),
    ],
)
def test_standard_trials_need_a_majority_within_21_days(days: list[int], within: int, share: float, met: bool) -> None:
    standard = kpis(lasting(*days)).standard
    assert (standard.n, standard.within, standard.share, standard.met) == (len(days), within, share, met)
    assert standard.reason is None


@pytest.mark.parametrize(
    ("days", "within", "share", "met"),
    [([30], 1, 1.0, True), ([31], 0, 0.0, False), ([3, 30], 2, 1.0, True), ([3, 30, 31], 2, 0.6667, False)],
)
def test_complex_trials_need_all_within_30_days(days: list[int], within: int, share: float, met: bool) -> None:
    told = kpis(lasting(*days, complexity="complex"))
    assert (told.complex.n, told.complex.within, told.complex.share, told.complex.met) == (
        len(days),
        within,
        share,
        met,
    )
    assert told.standard == NO_TRIALS


def test_a_trial_is_judged_by_its_last_complexity() -> None:
    told = kpis([Story().stage(0).stage(20, complexity="complex").decided(28)])
    assert (told.standard.n, told.complex.n, told.complex.met) == (0, 1, True)


@pytest.mark.parametrize(
    ("days", "median", "p90"),
    [
        ([7], 7, 7),
        ([4, 9], 6.5, 9),
        ([9, 1, 5], 5, 9),
        ([1, 2, 3, 10], 2.5, 10),
        (range(1, 11), 5.5, 9),
        (range(1, 12), 6, 10),
        (range(1, 21), 10.5, 18),
        ([0, 0], 0, 0),
    ],
)
def test_median_and_nearest_rank_90th_percentile(days: Sequence[int], median: float, p90: int) -> None:
    standard = kpis(lasting(*days)).standard
    assert (standard.median_days, standard.p90_days) == (median, p90)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40))
def test_nine_in_ten_did_not_exceed_the_90th_percentile(days: list[int]) -> None:
    p90 = kpis(lasting(*days)).standard.p90_days
    assert p90 in days
    assert 10 * sum(number <= p90 for number in days) >= 9 * len(days)
    assert 10 * sum(number < p90 for number in days) < 9 * len(days)


def test_a_skipped_stage_counts_as_a_trial_but_not_in_the_medians() -> None:
    skipped = Story().stage(-3, 3).stage(0, 5)
    standard = kpis([*lasting(10, 12), skipped]).standard
    assert (standard.n, standard.within, standard.median_days, standard.p90_days) == (3, 3, 11, 12)
    only = kpis([Story().stage(-3, 3).stage(0, 5)]).standard
    assert (only.n, only.share, only.median_days, only.p90_days) == (1, 1.0, None, None)
    assert only.reason == "all_skipped_stage_4"


@pytest.mark.parametrize(
    ("story", "n"),
    [
        pytest.param(Story().stage(0), 0, id="running"),
        pytest.param(Story().stage(0).stage(3, 2), 0, id="paused"),
        pytest.param(Story().stage(0).decided(5, "abandoned"), 1, id="abandoned"),
        pytest.param(Story().stage(0).stage(5, 5), 1, id="left forward"),
        pytest.param(Story().stage(0).closed(5, "lost"), 1, id="closed"),
        pytest.param(Story().stage(-20).decided(0), 1, id="started in the quarter before"),
        pytest.param(Story().stage(-20).decided(-6), 0, id="stopped in the quarter before"),
        pytest.param(Story().stage(80).decided(86), 1, id="stopped on the last day"),
        pytest.param(Story().stage(80).decided(87), 0, id="stopped on the day after"),
    ],
)
def test_a_trial_belongs_to_the_quarter_of_its_stop(story: Story, n: int) -> None:
    assert kpis([story]).standard.n == n


def test_the_quarter_begins_at_midnight_of_the_vendor() -> None:
    story = Story().stage(-20).decided(-5.55)  # 2026-06-30 22:48 in UTC, an hour into July in Berlin
    assert (kpis([story]).standard.n, kpis([story], zone="Europe/Berlin").standard.n) == (0, 1)


LAST_HOUR = (datetime(2026, 6, 30, 23, 30, tzinfo=UTC) - START) / timedelta(days=1)  # of 2026Q2 in UTC


@pytest.mark.parametrize(
    ("zone", "on", "quarter"),
    [
        ("UTC", LAST_HOUR, "2026Q2"),
        ("Asia/Tokyo", LAST_HOUR, "2026Q3"),  # 1 July, 08:30
        ("America/Los_Angeles", LAST_HOUR, "2026Q2"),
        ("America/Los_Angeles", LAST_HOUR + 7 / 24, "2026Q2"),  # 1 July 06:30 in UTC, there 30 June 23:30
        ("America/Los_Angeles", LAST_HOUR + 8 / 24, "2026Q3"),
    ],
)
def test_everything_of_the_last_hour_is_in_the_quarter_of_the_vendor(zone: str, on: float, quarter: str) -> None:
    story = Story().stage(-20).decided(on).closed(on, kind="new", recurring_cents=100, currency="EUR")
    for name in ("2026Q2", "2026Q3"):
        told = kpis([story], name, zone)
        counted = told.standard.n, told.closure.num, told.closure.den, told.new_acv.cents
        assert counted == ((1, 1, 1, 100) if name == quarter else (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("quarter", "first", "last"),
    [
        ("2026Q1", "2026-01-01", "2026-03-31"),
        ("2026Q2", "2026-04-01", "2026-06-30"),
        ("2026Q3", "2026-07-01", "2026-09-30"),
        ("2026Q4", "2026-10-01", "2026-12-31"),
        ("9999Q4", "9999-10-01", "9999-12-31"),
    ],
)
def test_the_days_of_a_quarter(quarter: str, first: str, last: str) -> None:
    assert days_of(quarter) == (date.fromisoformat(first), date.fromisoformat(last))


Q4 = "2026Q4"
NEXT = 90  # days after START: in 2026Q4


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(lambda one: one.decided(NEXT, "loss"), id="another outcome"),
        pytest.param(lambda one: one.closed(NEXT, "lost"), id="lost after all"),
        pytest.param(lambda one: one.closed(NEXT, kind="new", recurring_cents=7, currency="USD"), id="another amount"),
        pytest.param(lambda one: one.reopened(NEXT).stage(NEXT, 4, complexity="complex"), id="tried again"),
        pytest.param(lambda one: one.reopened(NEXT).stage(NEXT, 2), id="back to the beginning"),
    ],
)
@pytest.mark.parametrize("decided", [True, False])
def test_what_happens_later_changes_no_past_quarter(later: Callable[[Story], Story], decided: bool) -> None:
    def story() -> Story:
        begun = Story().stage(0)
        begun = begun.decided(5) if decided else begun
        return begun.closed(9, kind="new", recurring_cents=100, currency="EUR", products=["core"])

    assert kpis([later(story())]) == kpis([story()])


def test_a_correction_dated_into_a_past_quarter_changes_it() -> None:
    told = Story().stage(0).decided(5).closed(9, kind="new", recurring_cents=100, currency="EUR")
    assert (kpis([told]).closure.num, kpis([told]).new_acv.cents) == (1, 100)
    told.decided(5, "loss").closed(9, kind="new", recurring_cents=70, currency="EUR")
    assert (kpis([told]).closure.num, kpis([told]).new_acv.cents) == (0, 70)


def test_a_trial_that_is_tried_again_stops_in_both_quarters() -> None:
    story = Story().stage(0).closed(10, "lost").reopened(NEXT).decided(NEXT + 5)
    (first, second) = (kpis([story], quarter) for quarter in (Q3, Q4))
    assert (first.standard.n, first.standard.median_days) == (1, 10)
    assert (second.standard.n, second.standard.median_days) == (1, 15)
    assert ((first.closure.num, first.closure.den), (second.closure.num, second.closure.den)) == ((0, 1), (1, 1))


@pytest.mark.parametrize(
    ("story", "num", "den"),
    [
        pytest.param(Story().stage(0).decided(5, "win"), 1, 1, id="technical win"),
        pytest.param(Story().stage(0).decided(5, "loss"), 0, 1, id="technical loss"),
        pytest.param(Story().stage(0).decided(5, "abandoned"), 0, 1, id="abandoned"),
        pytest.param(Story().stage(0).decided(5).closed(9, "lost"), 1, 1, id="a win whose deal is lost still counts"),
        pytest.param(Story().stage(0).closed(5, "won"), 0, 1, id="closed without a decision is not won"),
        pytest.param(Story().stage(0).closed(5).decided(9), 1, 1, id="decided after the close"),
        pytest.param(Story().stage(0).closed(5).reopened(6), 0, 0, id="reopened"),
        pytest.param(Story().stage(0).decided(5).closed(6).reopened(7), 1, 1, id="reopened, yet decided"),
        pytest.param(Story().stage(0).decided(5, "loss").decided(9, "win"), 1, 1, id="a corrected outcome"),
        pytest.param(Story().stage(0).stage(5, 5), 0, 0, id="left forward, not concluded"),
        pytest.param(Story().stage(-20).stage(-10, 5).decided(0), 1, 1, id="concluded after its clock had stopped"),
        pytest.param(Story().stage(-20).decided(-10).closed(5), 0, 0, id="concluded in the quarter before"),
        pytest.param(Story().stage(0), 0, 0, id="running"),
        pytest.param(Story().stage(0, 3).closed(5), 0, 0, id="never in stage 4"),
        pytest.param(Story().stage(0, 3).decided(3).closed(5), 0, 0, id="decided, but never in stage 4"),
        pytest.param(Story().stage(-3, 3).stage(0, 5).closed(5), 0, 0, id="skipped stage 4"),
        pytest.param(Story().stage(0).stage(2, 3).decided(5), 1, 1, id="back in stage 3"),
        pytest.param(Story().stage(-3, 3).stage(0, 5).decided(5), 0, 0, id="skipped stage 4, then decided"),
        pytest.param(Story().stage(-3, 3).decided(-1).stage(0, 5), 0, 0, id="decided in stage 3, then beyond 4"),
        pytest.param(Story().stage(0, 5).stage(2, 4).decided(5), 1, 1, id="skipped, then tried after all"),
        pytest.param(Story().stage(-20, 3).decided(-10).stage(0), 1, 1, id="decided the quarter before it entered"),
        pytest.param(Story().stage(0).decided(5).stage(9, 5).stage(12, 7), 1, 1, id="went on to the end"),
    ],
)
def test_technical_closure_counts_what_concluded(story: Story, num: int, den: int) -> None:
    closure = kpis([story]).closure
    assert (closure.num, closure.den) == (num, den)
    assert (closure.reason is None) == (closure.value is not None) == (den > 0)


@pytest.mark.parametrize(
    ("wins", "losses", "value", "met"),
    [(4, 1, 0.8, True), (79, 21, 0.79, False), (80, 20, 0.8, True), (3203, 801, 0.8, False), (0, 1, 0.0, False)],
)
def test_closure_is_met_from_exactly_80_percent(wins: int, losses: int, value: float, met: bool) -> None:
    clock, lost = (
        trials.fold("o", s.facts, "UTC") for s in (Story().stage(0).decided(1), Story().stage(0).decided(1, "loss"))
    )
    end = deals.fold("o", Story().stage(0).decided(1).facts, "UTC")
    assert clock is not None
    assert lost is not None
    assert end is not None
    closure = team_kpis(Q3, [clock] * wins + [lost] * losses, {"o": end}).closure
    assert (closure.value, closure.met, closure.target) == (value, met, 0.8)


NEW: dict[str, Any] = {"kind": "new", "recurring_cents": 100, "currency": "EUR"}


def won(on: float = 0, cents: int | None = 100, account: str = "acme", kind: str | None = "new", **more: Any) -> Story:
    return Story(account=account).closed(on, kind=kind, recurring_cents=cents, **{"currency": "EUR", **more})


@pytest.mark.parametrize(
    ("stories", "cents", "net"),
    [
        pytest.param([won(), won(kind="expansion", cents=50)], 150, 150, id="new and expansion"),
        pytest.param([won(), won(kind="renewal", cents=130, previous_recurring_cents=100)], 130, 130, id="the uplift"),
        pytest.param(
            [won(), won(kind="renewal", cents=70, previous_recurring_cents=100)], 100, 70, id="contraction is net only"
        ),
        pytest.param(
            [won(kind="renewal", cents=70, previous_recurring_cents=100)], 0, -30, id="nothing but contraction"
        ),
        pytest.param(
            [won(), Story().closed(0, "lost", kind="new", recurring_cents=9, currency="USD")], 100, 100, id="lost"
        ),
        pytest.param([won(), won().reopened(3)], 100, 100, id="reopened"),
        pytest.param([won(cents=100, years=3)] * 3, 99, 99, id="rounded deal by deal"),
        pytest.param([won(), won(-6, cents=7), won(87, cents=7)], 100, 100, id="other quarters"),
    ],
)
def test_new_acv_adds_what_is_new(stories: list[Story], cents: int, net: int) -> None:
    acv = kpis(stories).new_acv
    assert (acv.cents, acv.net_cents, acv.currency, acv.reason) == (cents, net, "EUR", None)


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        pytest.param(won(currency="USD"), "mixed_currencies", id="another currency"),
        pytest.param(won(currency=None), "incomplete_deals", id="no currency"),
        pytest.param(won(cents=None), "incomplete_deals", id="no amount"),
        pytest.param(won(kind=None), "incomplete_deals", id="no kind"),
        pytest.param(won(kind="renewal"), "incomplete_deals", id="a renewal of what?"),
    ],
)
def test_what_cannot_be_added_is_null_with_its_reason_and_still_counted(story: Story, reason: str) -> None:
    acv = kpis([won(), story]).new_acv
    assert (acv.currency, acv.cents, acv.net_cents, acv.reason) == (None, None, None, reason)
    assert acv.opportunities == 2


@pytest.mark.parametrize(
    ("later", "cents", "net", "opportunities"),
    [
        pytest.param(lambda one: one, 0, 0, 0, id="nothing"),
        pytest.param(lambda one: one.reopened(NEXT), -100, -100, 0, id="open again"),
        pytest.param(lambda one: one.reopened(NEXT).closed(NEXT + 1, "lost"), -100, -100, 0, id="lost in the end"),
        pytest.param(
            lambda one: one.reopened(NEXT).closed(NEXT + 1, **NEW | {"recurring_cents": 130}), 30, 30, 0, id="more"
        ),
        pytest.param(
            lambda one: one.reopened(NEXT).closed(NEXT + 1, **NEW | {"recurring_cents": 60}), -40, -40, 0, id="less"
        ),
        pytest.param(lambda one: one.reopened(NEXT).closed(NEXT + 1, **NEW), 0, 0, 0, id="the same"),
        pytest.param(lambda one: one.closed(NEXT, **NEW | {"recurring_cents": 130}), 30, 30, 0, id="a correction"),
    ],
)
def test_of_a_reopened_deal_a_quarter_tells_what_earlier_ones_did_not(
    later: Callable[[Story], Story], cents: int, net: int, opportunities: int
) -> None:
    story = later(Story().closed(9, **NEW))
    first, second = (kpis([story], quarter).new_acv for quarter in (Q3, Q4))
    assert (first.cents, first.opportunities, first.customers) == (100, 1, 1)
    assert (second.cents, second.net_cents, second.opportunities, second.customers) == (cents, net, opportunities, 0)


def test_a_deal_won_again_after_a_quarter_of_being_open_is_won_again_by_the_same_customer() -> None:
    story = Story().closed(-30, **NEW).reopened(0).closed(NEXT, **NEW)
    told = [kpis([story], quarter).new_acv for quarter in ("2026Q2", Q3, Q4)]
    assert [one.cents for one in told] == [100, -100, 100]
    assert [one.opportunities for one in told] == [1, 0, 1]
    assert [one.customers for one in told] == [1, 0, 0]


def test_a_reopened_contraction_gives_back_in_the_net_only() -> None:
    story = Story().closed(9, kind="renewal", recurring_cents=70, previous_recurring_cents=100, currency="EUR")
    second = kpis([story.reopened(NEXT)], Q4).new_acv
    assert (second.cents, second.net_cents) == (0, 30)


def test_what_an_earlier_quarter_could_not_tell_leaves_no_difference_to_tell() -> None:
    story = Story().closed(9, kind="new", currency="EUR").closed(NEXT, **NEW)
    assert (kpis([story]).new_acv.reason, kpis([story], Q4).new_acv.reason) == ("incomplete_deals", "incomplete_deals")


def test_a_deal_in_another_currency_than_before_is_not_added() -> None:
    story = Story().closed(9, **NEW).closed(NEXT, **NEW | {"currency": "USD"})
    assert (kpis([story]).new_acv.cents, kpis([story], Q4).new_acv.reason) == (100, "mixed_currencies")


ENDS = st.lists(
    st.tuples(st.integers(-400, 400), st.sampled_from(["won", "lost", "reopened"]), st.integers(-500, 500)), max_size=6
)


@given(st.lists(ENDS, max_size=3))
def test_the_quarters_add_up_to_what_is_won_in_the_end(many: list[list[tuple[int, str, int]]]) -> None:
    stories = [Story() for _ in many]
    for story, ends in zip(stories, many, strict=True):
        for on, what, cents in ends:
            story.reopened(on) if what == "reopened" else story.closed(on, what, **NEW | {"recurring_cents": cents})
    named = (deals.fold("o", story.facts, "UTC") for story in stories)
    sold = [deal.sale.recurring_cents or 0 for deal in named if deal and deal.sale]
    told = [kpis(stories, f"{year}Q{number}").new_acv for year in range(2025, 2028) for number in range(1, 5)]
    assert sum(one.net_cents or 0 for one in told) == sum(sold)
    assert sum(one.cents or 0 for one in told) == sum(max(cents, 0) for cents in sold)


def test_customers_opportunities_and_products() -> None:
    acv = kpis(
        [
            won(account="acme", products=["core", "core", "audit"]),
            won(account="acme", products=["core"]),
            won(account="bolt", kind="expansion", products=["audit"]),
            won(-30, account="cato"),  # a customer since the quarter before
            won(account="cato"),
            won(account="dune"),
            won(90, account="dune"),
        ]
    ).new_acv
    assert (acv.customers, acv.opportunities, acv.products) == (2, 5, 4)
