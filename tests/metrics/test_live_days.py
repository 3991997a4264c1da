"""Days of many zones at once against the one definition of a local day, zone by zone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uptake_metrics.live_days import LiveDays
from uptake_metrics.zones import local_days

DAY_US = 86_400_000_000
FRONT = 20_600
ZONES = ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "America/St_Johns", "Africa/Cairo"]

offsets = st.one_of(st.integers(-3 * DAY_US, 2 * DAY_US), st.integers(-20_000 * DAY_US, 400 * DAY_US))


@settings(deadline=None)  # the first instant of a zone builds its table
@given(
    events=st.lists(st.tuples(offsets, st.sampled_from(ZONES)), max_size=30), front=st.integers(FRONT - 1, FRONT + 1)
)
def test_every_instant_has_the_day_of_its_zone(events, front):
    live = LiveDays()
    instants = np.array([FRONT * DAY_US + offset for offset, _ in events], np.int64)
    zones = np.array([live.code(zone) for _, zone in events], np.int32)
    found = live.days(instants, zones, front)
    assert found.tolist() == [local_days(instants[n : n + 1], zone).item() for n, (_, zone) in enumerate(events)]


@pytest.mark.parametrize("zone", ZONES)
def test_midnight_is_the_next_day(zone):
    live = LiveDays()
    codes = np.array([live.code("UTC"), live.code(zone)], np.int32)[[1, 1]]
    for day in range(FRONT - 4, FRONT + 3):
        near = np.arange((day - 1) * DAY_US, (day + 2) * DAY_US, 900_000_000, dtype=np.int64)
        midnight = near[np.searchsorted(local_days(near, zone), day)]
        assert live.days(np.array([midnight - 1, midnight]), codes, FRONT).tolist() == [day - 1, day]


def test_the_midnights_follow_the_front_and_new_zones():
    live = LiveDays()
    noon = np.array([FRONT * DAY_US + DAY_US // 2], np.int64)
    assert live.days(noon, np.array([live.code("UTC")], np.int32), FRONT).tolist() == [FRONT]
    assert live.days(noon + 30 * DAY_US, np.array([live.code("UTC")], np.int32), FRONT + 30).tolist() == [FRONT + 30]
    assert live.days(noon, np.array([live.code("Pacific/Kiritimati")], np.int32), FRONT + 30).tolist() == [FRONT + 1]
