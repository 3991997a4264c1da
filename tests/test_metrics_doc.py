"""docs/metrics.md: every example runs, every number is there, and the code that is named for it exists."""

import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from uptake.messages.kpi import AccountKpis, AdoptionKpi, Trial, UsageKpi
from uptake_metrics.portfolio import PortfolioKpis
from uptake_metrics.team import ClosureKpi, NewAcvKpi, TeamKpis, TrialsKpi

DOCUMENT = Path(__file__).parent.parent / "docs" / "metrics.md"
NUMBERS: tuple[type[BaseModel], ...] = (
    AccountKpis,
    UsageKpi,
    AdoptionKpi,
    Trial,
    TrialsKpi,
    ClosureKpi,
    NewAcvKpi,
    TeamKpis,
    PortfolioKpis,
)

WHO = {"account", "opportunity", "engineer", "executive"}  # no numbers


def document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def examples() -> Iterator[tuple[str, str]]:
    """The heading and the text of each Python block; all of them are examples."""
    heading = ""
    for part in re.split(r"^(#+ .*)$", document(), flags=re.MULTILINE):
        if part.startswith("#"):
            heading = part.lstrip("# ")
        for block in re.findall(r"^```python\n(.*?)^```", part, flags=re.MULTILINE | re.DOTALL):
            yield heading, block


EXAMPLES = list(examples())


def test_every_example_gives_what_it_says() -> None:
    """In the order of the text: a section goes on with what the ones before it have built."""
    built: dict[str, Any] = {}
    said: list[str] = []
    for heading, block in EXAMPLES:
        parsed = doctest.DocTestParser().get_doctest(block, built, heading, str(DOCUMENT), 0)
        assert parsed.examples
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(parsed, out=said.append, clear_globs=False)
        built |= parsed.globs
    assert not said, "".join(said)


def test_most_sections_have_an_example() -> None:
    assert len(EXAMPLES) >= 20


def code_names() -> list[str]:
    return sorted(set(re.findall(r"`(uptake(?:_[a-z]+)?(?:\.\w+)+)`", document())))


@pytest.mark.parametrize("name", code_names())
def test_the_code_that_is_named_exists(name: str) -> None:
    module, rest = name, list[str]()
    while True:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    for step in rest:
        found = getattr(found, step)


@pytest.mark.parametrize("message", NUMBERS, ids=lambda one: one.__name__)
def test_every_number_of_an_answer_is_defined(message: type[BaseModel]) -> None:
    text = document()
    assert [field for field in message.model_fields.keys() - WHO if f"`{field}`" not in text] == []


def test_every_link_within_the_document_leads_to_a_heading() -> None:
    text = document()
    headings = {
        re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)
    }
    assert [anchor for anchor in re.findall(r"\]\(#([^)]*)\)", text) if anchor not in headings] == []
