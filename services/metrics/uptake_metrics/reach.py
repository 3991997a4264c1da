"""Which published days a change of configuration can alter: of whom, and from when on. Pure; marks and judges nothing.

Nothing that differs may be left out; what is marked in vain is evaluated again and found to be the same. Of
`activity.yml` nothing is here: it judges events when they are counted, and no published value asks it again.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Self

from uptake_metrics.accounts import Account, Stated
from uptake_metrics.policies import Policies
from uptake_metrics.use_cases import UseCases

_JUDGED_BY = ("policy", "segment")  # what of an account `Policies.in_force` looks at

Chosen = tuple[str | None, str | None, tuple[tuple[str, tuple[Stated, ...]], ...]]


@dataclass(frozen=True, slots=True)
class Content:
    """All that published values take from configuration files."""

    policies: Policies
    use_cases: UseCases

    def text(self) -> str:
        """To be kept; the same for the same content."""
        policies = self.policies.model_dump(by_alias=True)
        for name, versions in self.policies.policies.items():
            for version, kept in zip(versions, policies["policies"][name], strict=True):
                for step, kept_step in zip(version.steps, kept["steps"], strict=True):
                    kept_step["target"] = _percent(step.target)
        return json.dumps({"policies": policies, "use_cases": self.use_cases.model_dump()}, default=str)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Null of what nobody wrote, or no longer understands."""
        try:
            found = json.loads(text)
            return cls(Policies.model_validate(found["policies"]), UseCases.model_validate(found["use_cases"]))
        except (ValueError, KeyError):
            return None


def of_policies(old: Policies, new: Policies) -> Callable[[Account], date | None]:
    """Of an account: the first day on which the two choose otherwise for it; null: on none.

    What is chosen for an account can change on the days that a file names, and on those that its facts name.
    """
    dated = {date.min, *(day for day, _ in old.dated() | new.dated())}

    @cache  # most accounts were never anything else than their segment says
    def first_day(chosen: Chosen) -> date | None:
        policy, segment, history = chosen
        account = Account("", policy=policy, segment=segment, history=history)
        days = dated | {stated.since for _, statements in history for stated in statements}
        differ = (day for day in sorted(days) if old.in_force(account, day) != new.in_force(account, day))
        return next(differ, None)

    def of(account: Account) -> date | None:
        history = tuple(one for one in account.history if one[0] in _JUDGED_BY)
        return first_day((account.policy, account.segment, history))

    return of


def of_use_cases(old: UseCases, new: UseCases, features: Iterable[str]) -> set[str] | None:
    """Those of `features` that belong elsewhere by now: whoever never used one of them has the same numbers as before.

    Null: everybody's numbers are others, since the list of use cases is.
    """
    if old.names != new.names:
        return None
    return {feature for feature in features if old.of(feature) != new.of(feature)}


def _percent(share: Fraction) -> str:
    """As a file may state it, exactly: nine decimals of a percent are all that a file can say."""
    return f"{Decimal(share.numerator * 100) / share.denominator:f} %"
