"""Which usage counts as activity, and which is only a sign of life. Decides on names alone; no I/O."""

import re

_SEPARATORS = re.compile(r"[\s./:-]+")

#: The shipped activity policy: signing in or out, passwords and e-mail verification are not work.
EXCLUDED_FEATURES = frozenset(
    {
        "email_verification",
        "email_verified",
        "login",
        "logout",
        "password_change",
        "password_changed",
        "password_reset",
        "sign_in",
        "sign_out",
        "signed_in",
        "signed_out",
        "signin",
        "signout",
        "verify_email",
    }
)
COUNTED_ACTOR = "human"
PRODUCTION, TRIAL = "production", "trial"
#: Environments that are counted, each apart from the other.
COUNTED_ENVIRONMENTS = frozenset({PRODUCTION, TRIAL})


def qualifies(feature: str) -> bool:
    """Whether using `feature` makes a person active (the domain definition "Activity")."""
    return _SEPARATORS.sub("_", feature.strip().lower()) not in EXCLUDED_FEATURES
