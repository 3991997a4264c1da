"""The taxonomy of use cases: which features belong to which. A lens on counts, not a count; pure, no I/O.

Source: the domain definition, section "Activity": a use case is a set of features, the taxonomy is editable data.
"""

import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Annotated

from pydantic import Field

from uptake.messages.fields import Label, Slug
from uptake.section import Section

_REMEMBERED = 50_000  # features; one is matched against every pattern only once


class UseCase(Section):
    """`features`: names as they stand in events; a `*` stands for any text."""

    title: Label | None = None
    features: Annotated[tuple[Label, ...], Field(min_length=1)]


class UseCases(Section):
    """By name. A feature may belong to several; one that belongs to none counts in the account's totals only."""

    use_cases: dict[Slug, UseCase] = Field(default_factory=dict, max_length=100)  # each snapshot names all

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.use_cases)

    def of(self, feature: str) -> tuple[str, ...]:
        """The use cases that a feature belongs to, in the order of the file."""
        return self._match(feature)

    @cached_property
    def _match(self) -> Callable[[str], tuple[str, ...]]:
        patterns = [(name, _pattern(one.features)) for name, one in self.use_cases.items()]

        @lru_cache(maxsize=_REMEMBERED)
        def match(feature: str) -> tuple[str, ...]:
            return tuple(name for name, pattern in patterns if pattern.fullmatch(feature))

        return match


def _pattern(features: tuple[str, ...]) -> re.Pattern[str]:
    texts = (".*".join(map(re.escape, feature.split("*"))) for feature in features)
    return re.compile("|".join(texts), re.DOTALL)
