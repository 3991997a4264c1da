"""What counts as activity on which day, and why the rest does not."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from uptake.config import InvalidConfig, parse
from uptake_metrics import activity
from uptake_metrics.activity import SHIPPED, ActivityPolicy
from uptake_metrics.zones import to_number

FILE = Path(activity.__file__).parent / "shipped" / "activity.yml"
(VERSION,) = SHIPPED.versions


@pytest.mark.parametrize(
    "feature", ["editor", "login-page.opened", "user.signed_in_count", "logins", "export", "登录", " "]
)
def test_work_qualifies(feature):
    assert VERSION.qualifies(feature)


@pytest.mark.parametrize(
    "feature", ["sign_in", "Sign-In", "SIGN IN", " sign.in ", "sign:in", "sign/in", "LOGOUT", "Email.Verified"]
)
def test_signing_in_and_out_is_no_work_however_it_is_spelt(feature):
    assert not VERSION.qualifies(feature)


def test_the_shipped_file_says_what_holds_without_a_file():
    assert parse(FILE.read_text(), ActivityPolicy) == parse("{}", ActivityPolicy) == SHIPPED


@pytest.mark.parametrize(
    ("actor", "environment", "feature", "reason"),
    [
        ("human", "production", "edit", None),
        ("human", "trial", "edit", None),
        ("human", "staging", "edit", "environment"),
        ("human", "", "edit", "environment"),
        ("system", "production", "edit", "actor"),
        ("operator", "production", "edit", "actor"),
        ("staff", "production", "edit", "actor"),
        ("anonymous", "production", "edit", "actor"),
        ("human", "production", "Sign-In", "feature"),
        ("staff", "dev", "sign_in", "actor"),  # one event has one reason, the first
        ("human", "dev", "sign_in", "environment"),
    ],
)
def test_an_event_counts_or_has_a_reason(actor, environment, feature, reason):
    assert VERSION.refusal(actor, environment, feature) == reason


THREE = """
versions:
  - actors: [human]
  - from: 2026-02-01
    actors: [human, staff]
  - from: 2026-02-02
    excluded_features: ["Opened Mail"]
"""


@pytest.mark.parametrize(
    ("day", "number"),
    [("1970-01-02", 0), ("2026-01-31", 0), ("2026-02-01", 1), ("2026-02-02", 2), ("2040-01-01", 2)],
)
def test_a_day_is_judged_by_the_version_in_force_on_it(day, number):
    policy = parse(THREE, ActivityPolicy)
    assert policy.numbers(np.array([to_number(date.fromisoformat(day))], np.int32)).tolist() == [number]


def test_a_version_compares_features_as_they_sound():
    version = parse(THREE, ActivityPolicy).versions[2]
    assert (version.qualifies("opened.mail"), version.qualifies("sign_in")) == (False, True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("versions: []", "at least 1 item"),
        ("versions:\n- actors: [human]\n- actors: [staff]", "needs a 'from'"),
        ("versions:\n- from: 2026-02-01\n- from: 2026-02-01", "needs a 'from' after"),
        ("versions:\n- from: 2026-02-02\n- from: 2026-02-01", "needs a 'from' after"),
        ("versions:\n- environments: [trial]", "line 2.*must hold production"),
        ("versions:\n- environment: [production]", "line 2.*is not known here"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(text, problem):
    with pytest.raises(InvalidConfig, match=problem):
        parse(text, ActivityPolicy)
