"""Which alerts a silence covers, and which silences are refused."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from uptake_alerting.silences import Matcher, Silence, Silences, parse_matcher, refusal

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACME = {"account": "acme", "rule": "adoption-below-target", "severity": "warning"}


@pytest.mark.parametrize(
    ("text", "covers"),
    [
        ("account=acme", True),
        ("account=other", False),
        ("account!=other", True),
        ("account!=acme", False),
        ("region=emea", False),
        ("region!=emea", True),
        ("region=", True),
    ],
)
def test_a_matcher_asks_for_a_value_or_for_any_other(text, covers):
    assert parse_matcher(text).covers(ACME) is covers
    assert str(parse_matcher(f" {text} ")) == text


@pytest.mark.parametrize("text", ["", "account", "=acme", "Account=acme", "account~acme", "a b=c"])
def test_what_is_no_matcher_is_said_so(text):
    with pytest.raises(ValueError, match="is no matcher: write NAME=VALUE"):
        parse_matcher(text)


@pytest.mark.parametrize(
    ("matchers", "covers"),
    [
        (["account=acme", "severity=warning"], True),
        (["account=acme", "severity=critical"], False),
        ([], False),
    ],
)
def test_all_matchers_have_to_agree_and_none_is_no_silence(matchers, covers):
    silence = Silence("s1", tuple(map(parse_matcher, matchers)), NOW, NOW + HOUR)
    assert silence.covers(ACME) is covers


@pytest.mark.parametrize(("at", "active"), [(-1, False), (0, True), (3599, True), (3600, False)])
def test_it_is_in_force_from_its_start_until_before_its_end(at, active):
    silence = Silence("s1", (Matcher("account", "=", "acme"),), NOW, NOW + HOUR)
    assert silence.is_active(NOW + timedelta(seconds=at)) is active


@pytest.mark.parametrize(
    ("matchers", "start", "end", "why"),
    [
        (["account=acme"], 0, 1, None),
        (["account=acme", "severity!=critical"], 0, 24 * 30, None),
        (["account=acme"], -100, 24 * 30, None),
        ([], 0, 1, "at least one matcher must ask for a value"),
        (["account!=acme"], 0, 1, "at least one matcher must ask for a value"),
        (["account="], 0, 1, "at least one matcher must ask for a value"),
        (["account=acme", "account=blue"], 0, 1, "two matchers ask for different values"),
        (["account=" + "x" * 201], 0, 1, "longer than 200 characters"),
        (["account=acme"], 1, 1, "it ends before it starts"),
        (["account=acme"], -2, 0, "it is over already"),
        (["account=acme"], 0, 24 * 30 + 1, "longer than 30 days"),
    ],
)
def test_a_silence_is_refused_with_the_reason(matchers, start, end, why):
    said = refusal(list(map(parse_matcher, matchers)), NOW + start * HOUR, NOW + end * HOUR, NOW)
    assert said is None if why is None else why in said


@pytest.mark.parametrize("seed", range(20))
def test_many_cover_what_each_of_them_covers(seed):
    dice = random.Random(seed)
    names, values = ("account", "rule", "region"), ("", "a", "b", "c")

    def silence(number):
        matchers = [Matcher(name, dice.choice(["=", "!="]), dice.choice(values)) for name in dice.sample(names, 2)]
        return Silence(str(number), tuple(matchers), NOW, NOW + dice.choice([timedelta(), HOUR]))

    some = [silence(number) for number in range(60)]
    many = Silences(some)
    for _ in range(30):
        labels = {name: dice.choice(values[1:]) for name in dice.sample(names, dice.randint(1, 3))}
        plain = [one.id for one in some if one.is_active(NOW) and one.covers(labels)]
        assert sorted(plain) == sorted(one.id for one in many.covering(labels, NOW))
