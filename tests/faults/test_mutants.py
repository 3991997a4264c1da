"""The harness must see what it is for: with one promise of the code broken, the same faults fail against the model."""

import asyncio
import re

import pytest

from tests.faults import mutants
from tests.faults.injections import freeze, kill

pytestmark = pytest.mark.faults

MODEL = "acknowledged and not counted|counted and never sent|not one number|acknowledged events and processed"
BOOKS = "'balanced': False"
POSITIONS = "positions that went back"
CLUSTERS = 4


async def killed(uptake, service):
    for _ in range(10):
        await asyncio.sleep(0.8)
        await kill(*uptake.cluster.replicas(service))
        await asyncio.sleep(1.2)


async def frozen(uptake, service):
    """Longer than a lease, in turns: each wakes up in the middle of what the other has done meanwhile."""
    for _ in range(3):
        for replica in uptake.cluster.replicas(service):
            await freeze([replica], 9)
            await asyncio.sleep(3)
    await kill(*uptake.cluster.replicas(service))  # what is stored is what counts


@pytest.mark.parametrize(
    ("mutant", "fault", "service", "says"),
    [
        (mutants.RAW_ACKNOWLEDGED_FIRST, killed, "ingestion", MODEL),
        (mutants.ROW_MOVED_FIRST, killed, "metrics", MODEL),
        (mutants.COUNTS_NOT_COMPARED, frozen, "metrics", f"{MODEL}|{BOOKS}|{POSITIONS}"),
        (mutants.CURSOR_NOT_COMPARED, frozen, "alerting", POSITIONS),
    ],
    ids=lambda value: value.name.replace(" ", "-") if isinstance(value, mutants.Mutant) else "",
)
async def test_a_mutant_is_caught(start, tmp_path, mutant, fault, service, says):
    """Whether a fault meets the gap is up to the machine: one of a few clusters has to show it."""
    packages = mutant.grow(tmp_path / "mutant")
    shown = ""
    for _ in range(CLUSTERS):
        uptake = await start(rate=300, packages=packages)
        await fault(uptake, service)
        try:
            await uptake.is_exact()
        except AssertionError as error:
            shown = str(error)
            break
    assert re.search(says, shown), shown or "all clusters were exact without the promise"
