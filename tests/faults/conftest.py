"""A cluster under faults, and which of these tests run: without `--faults`, a short selection."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scenario import Uptake

_TOLD = "measured"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Not skipped but deselected: nobody is to read "skipped" and wonder what is missing on this machine."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:  # clients of a server that was killed leave their sockets to the garbage collector
        item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
    if config.getoption("--faults"):
        return
    long = [item for item in items if item.get_closest_marker("faults")]
    items[:] = [item for item in items if not item.get_closest_marker("faults")]
    config.hook.pytest_deselected(items=long)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What everything in a test is drawn from: the data, the producers and the schedule of faults."""
    seed: int = request.config.option.seed
    request.node.add_report_section("setup", "replay", f"./dev test --faults --seed {seed} -k {request.node.name}")
    return seed


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A figure for the end of the run's output, whether the test passes or fails."""
    return lambda text: request.node.user_properties.append((_TOLD, f"{request.node.name}: {text}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = dict.fromkeys(text for report in reports for name, text in report.user_properties if name == _TOLD)
    if told:
        terminalreporter.section("measured")
        for text in told:
            terminalreporter.line(text)


@pytest.fixture
def rng(seed: int) -> random.Random:
    """The schedule of faults."""
    return random.Random(f"{seed} faults")


@pytest.fixture
async def start(
    tmp_path: Path, free_port: Callable[[], int], seed: int
) -> AsyncIterator[Callable[..., Awaitable[Uptake]]]:
    """Starts a cluster with its producers; ends all of it."""
    started: list[Uptake] = []

    async def begin(**options: Any) -> Uptake:
        uptake = Uptake(tmp_path / f"cluster-{len(started)}", free_port(), seed, **options)
        started.append(uptake)
        await uptake.start()
        return uptake

    yield begin
    for uptake in started:
        await uptake.close()
