"""What a file of rule tests may say, and on which line it is wrong."""

import pytest

from uptake import config
from uptake.config import InvalidConfig
from uptake.rule_tests import RuleTests, expanded

FILE = """\
rules: shipped
tests:
- name: one
  account: {account: acme}
  start: 2026-02-01
  series: {mau: "24x3"}
  expect: [{day: 2026-02-03, rule: usage-unhealthy, state: ok}]
"""
TRIAL = """\
rules: shipped
tests:
- name: two
  trial: {opportunity: o1, account: acme, stage_4: 2026-02-02}
  start: 2026-02-02
  days: 25
  expect: []
  notices: []
"""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("24", (24,)),
        ("24 26", (24, 26)),
        ("24x3", (24, 24, 24)),
        ("24 _ 0x2", (24, None, 0, 0)),
        ("_x2 7", (None, None, 7)),
    ],
)
def test_a_series_is_one_value_a_day(text, values):
    assert expanded(text) == values


@pytest.mark.parametrize("text", ["", "x3", "24x", "24x0", "-1", "2.5", "24,25", "__", "24x4001", "1x3000 1x3000", "²"])
def test_what_is_no_series(text):
    with pytest.raises(ValueError, match=r"neither a number|has no day|more than"):
        expanded(text)


def test_a_test_covers_the_days_of_its_series_or_of_its_clock():
    (one,), (two,) = config.parse(FILE, RuleTests).tests, config.parse(TRIAL, RuleTests).tests
    assert (one.length, str(one.last)) == (3, "2026-02-03")
    assert (two.length, str(two.last)) == (25, "2026-02-26")
    assert (one.notices, two.notices) == (None, ())  # null: whatever; none: nobody may be told


@pytest.mark.parametrize(
    ("text", "was", "instead", "said"),
    [
        (FILE, "mau:", "maus:", "line 6: tests.0.series.mau: is missing"),
        (FILE, '"24x3"', '"24x3", foo: "1x3"', "line 6: tests.0.series.foo: is not known here"),
        (FILE, '"24x3"', '"24x3", dau: "1x2"', "line 6: tests.0.series: dau has 2 days and mau 3"),
        (FILE, '"24x3"', '"24x3", dau: "1x2 25"', "line 6: tests.0.series: dau of day 3 is 25: with mau 24 at most 24"),
        (FILE, '"24x3"', '"1x3", userdays28: "29x3"', "line 6: tests.0.series: userdays28 of day 1 is 29"),
        (FILE, "account: acme", "account: acme, colour: red", "line 4: tests.0.account.colour: is not known here"),
        (FILE, "rule: usage-unhealthy", "rule: usage-unhealthy, to: x", "line 7: tests.0.expect.0.to: is not known"),
        (FILE, "day: 2026-02-03", "day: 2026-02-04", "2026-02-04 lies outside of 2026-02-01 to 2026-02-03"),
        (FILE, "state: ok", "state: fine", "line 7: tests.0.expect.0.state: must be 'ok'"),
        (FILE, '  series: {mau: "24x3"}\n', "", "an account needs series"),
        (FILE, "  start:", "  days: 3\n  start:", "days is for trials"),
        (TRIAL, "  days: 25\n", "", "a trial has no series: days says how long the clock runs"),
        (TRIAL, "  notices: []\n", "", "expects nothing: give expect or notices"),
        (TRIAL, "  trial:", "  account: {account: acme}\n  trial:", "needs either an account or a trial"),
        (TRIAL, "  notices:", "  reminders:", "line 8: tests.0.reminders: is not known here"),
    ],
)
def test_whatever_is_wrong_is_named_with_its_line(text, was, instead, said):
    assert was in text
    with pytest.raises(InvalidConfig) as error:
        config.parse(text.replace(was, instead), RuleTests)
    assert str(error.value).startswith("line ")
    assert said in str(error.value)


def test_two_tests_of_one_name_could_not_be_told_apart():
    with pytest.raises(InvalidConfig, match="two tests are called one"):
        config.parse(FILE + FILE.split("tests:\n")[1], RuleTests)


@pytest.mark.parametrize("start", ["0001-01-01", "1989-12-31", "2201-01-01", "9999-12-31"])
def test_a_start_is_of_our_time(start):
    with pytest.raises(InvalidConfig, match="start must lie between 1990 and 2200"):
        config.parse(FILE.replace("start: 2026-02-01", f"start: {start}").replace("2026-02-03", start), RuleTests)
