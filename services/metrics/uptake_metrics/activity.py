"""The activity policy: which usage counts as activity on a day, and which is a sign of life only. Pure; no I/O.

Source: the domain definition, section "Activity".
"""

import re
from collections.abc import Iterable
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from uptake.messages.fields import Day, Slug
from uptake.section import Section
from uptake_metrics.userdays import I32, I64
from uptake_metrics.zones import to_number

_SEPARATORS = re.compile(r"[\s./:-]+")
PRODUCTION, TRIAL = "production", "trial"
HUMAN = "human"
ERASED = "erased"  # the actor of what an erased person did afterwards; no producer can say so

#: Those that a producer may name.
Actor = Literal["human", "system", "operator", "staff", "anonymous"]
#: Why an event is a sign of life only; the first that applies.
Refusal = Literal["actor", "environment", "feature", "erased"]


def spelt_alike(feature: str) -> str:
    """One text for `Sign-In`, `sign in` and `sign.in`."""
    return _SEPARATORS.sub("_", feature.strip().lower())


def _all_spelt_alike(features: Iterable[str]) -> frozenset[str]:
    return frozenset(map(spelt_alike, features))


def _with_production(environments: frozenset[str]) -> frozenset[str]:
    if PRODUCTION not in environments:
        raise ValueError(f"must hold {PRODUCTION}: all KPIs are about it")
    return environments


class ActivityVersion(Section):
    """What counts on the local days from `from` on. Features are compared however they are spelt."""

    model_config = ConfigDict(populate_by_name=True)

    from_: Day | None = Field(default=None, alias="from")
    actors: frozenset[Actor] = frozenset({"human"})
    environments: Annotated[frozenset[Slug], AfterValidator(_with_production)] = frozenset({PRODUCTION, TRIAL})
    excluded_features: Annotated[frozenset[str], AfterValidator(_all_spelt_alike)] = frozenset(
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

    def qualifies(self, feature: str) -> bool:
        """Whether using `feature` makes a person active."""
        return spelt_alike(feature) not in self.excluded_features

    def refusal(self, actor: str, environment: str, feature: str) -> Refusal | None:
        """Null for a qualifying event: the domain definition "Activity"."""
        if actor not in self.actors:
            return "erased" if actor == ERASED else "actor"
        if environment not in self.environments:
            return "environment"
        return None if self.qualifies(feature) else "feature"


class ActivityPolicy(Section):
    """Versions in the order of their days; the first also holds for all days before it."""

    versions: tuple[ActivityVersion, ...] = Field(default=(ActivityVersion(),), min_length=1)

    @model_validator(mode="after")
    def _versions_are_in_order(self) -> Self:
        days = [version.from_ for version in self.versions]
        if None in days[1:] or any(after <= (before or date.min) for before, after in pairwise(days) if after):
            raise ValueError("each version but the first needs a 'from' after that of the one before")
        return self

    def numbers(self, days: I32) -> I64:
        """Which of `versions` is in force on each of these days since 1970."""
        return np.searchsorted(self._later, days, side="right").astype(np.int64)

    @cached_property
    def environments(self) -> frozenset[str]:
        """Those that any version counts, each apart from the others."""
        return frozenset().union(*(version.environments for version in self.versions))

    @cached_property
    def _later(self) -> I32:
        return np.array([to_number(version.from_) for version in self.versions[1:] if version.from_], np.int32)


#: What `shipped/activity.yml` says.
SHIPPED = ActivityPolicy()


def shipped() -> ActivityPolicy:
    return SHIPPED
