"""Which features are work."""

import pytest

from uptake_metrics.activity import EXCLUDED_FEATURES, qualifies


@pytest.mark.parametrize(
    "feature", ["editor", "login-page.opened", "user.signed_in_count", "logins", "export", "登录", " "]
)
def test_work_qualifies(feature):
    assert qualifies(feature)


@pytest.mark.parametrize(
    "feature", ["sign_in", "Sign-In", "SIGN IN", " sign.in ", "sign:in", "sign/in", "LOGOUT", "Email.Verified"]
)
def test_signing_in_and_out_is_no_work_however_it_is_spelt(feature):
    assert not qualifies(feature)


def test_the_shipped_policy_is_written_the_way_names_are_compared():
    assert not any(map(qualifies, EXCLUDED_FEATURES))
