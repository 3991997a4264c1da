"""A password changed at the broker by reload: services end or are refused, and go on with the new secret."""

import asyncio

import pytest

from tests.faults import checks
from tests.faults.injections import rotate

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("role", ["ingestion", "metrics", "alerting"])
async def test_a_password_is_rotated(start, rng, role, monkeypatch):
    """Between the broker's reload and the new secret file, the service starts and fails; the others go on."""
    uptake = await start()
    await asyncio.sleep(rng.uniform(2, 4))
    rotate(uptake.cluster, role)
    await asyncio.sleep(rng.uniform(4, 8))
    own = uptake.cluster.replicas(role)
    for kept in own:
        assert await uptake.cluster.problems(kept.name) != {}, f"{kept.name} works with a password that is no more"
    others = [kept for kept in uptake.services if kept not in own]
    checks.no_crash(others)
    uptake.cluster.hand_out(role)
    await uptake.recovers()
    for kept in own:
        assert kept.ends, f"{kept.name} was never started anew"
        kept.ends.clear()  # a wrong password is an error in the settings, and may end with any code
    await uptake.is_exact()
