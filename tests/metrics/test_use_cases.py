"""Which features belong to which use cases."""

from pathlib import Path

import pytest

from uptake.config import InvalidConfig, parse
from uptake_metrics import use_cases
from uptake_metrics.use_cases import UseCases

FILE = Path(use_cases.__file__).parent / "shipped" / "use_cases.yml"
TAXONOMY = parse(
    """
use_cases:
  review:
    title: Code review
    features: [merge, "review.*", "*/tests"]
  quality:
    features: ["*/tests", "lint*er", "c++"]
""",
    UseCases,
)


@pytest.mark.parametrize(
    ("feature", "found"),
    [
        ("merge", ("review",)),
        ("merged", ()),
        ("Merge", ()),
        ("a.merge", ()),
        ("review.", ("review",)),
        ("review.open", ("review",)),
        ("review.two\nlines", ("review",)),
        ("reviewXopen", ()),
        ("snuba/tests", ("review", "quality")),
        ("tests", ()),
        ("linter", ("quality",)),
        ("lint-runner", ("quality",)),
        ("c++", ("quality",)),
        ("ccc", ()),
        ("", ()),
    ],
)
def test_a_feature_belongs_to_every_use_case_that_names_it(feature, found):
    assert TAXONOMY.of(feature) == found


def test_nothing_is_a_taxonomy_too():
    assert (UseCases().names, UseCases().of("merge")) == ((), ())


def test_what_was_looked_up_makes_no_difference():
    again = UseCases.model_validate(TAXONOMY.model_dump())
    assert TAXONOMY.of("merge")
    assert again == TAXONOMY


@pytest.mark.parametrize("text", ["use_cases: {a: {features: []}}", "use_cases: {'A b': {features: [x]}}", "cases: {}"])
def test_a_taxonomy_that_says_nothing_is_refused(text):
    with pytest.raises(InvalidConfig):
        parse(text, UseCases)


def test_the_shipped_taxonomy_fits_a_developer_tool():
    shipped = parse(FILE.read_text(), UseCases)
    assert {"source-control", "review", "ci-cd", "planning", "packages", "security", "operations"} < set(shipped.names)
    assert all(one.title for one in shipped.use_cases.values())
    assert shipped.of("prometheus/.github") == ("ci-cd",)
    assert shipped.of("merge_request.opened") == ("source-control", "review")
