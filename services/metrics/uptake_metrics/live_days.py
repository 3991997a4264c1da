"""The local days of live instants in all zones at once, told by the midnights around the front. Counts nothing."""

from typing import Final

import numpy as np

from uptake_metrics.userdays import I32, I64
from uptake_metrics.zones import day_start, local_days, to_day

#: Midnights before the front: it is the newest day anywhere, and live events of the west are up to two days behind it.
BEHIND: Final = 2
_MIDNIGHTS: Final = BEHIND + 2


class LiveDays:
    """Zones have codes, in the order in which they were met."""

    def __init__(self) -> None:
        self.zones: dict[str, int] = {}
        self._front = -1
        self._midnights: I64 = np.empty((_MIDNIGHTS, 0), np.int64)  # where the days from `front - BEHIND` on begin

    def code(self, zone: str) -> int:
        return self.zones.setdefault(zone, len(self.zones))

    def days(self, instants_us: I64, zones: I32, front: int) -> I32:
        """The local day of each instant in the zone of that code; `front` is where most of them are expected."""
        self._look_around(front)
        begun = (self._midnights.take(zones, axis=1) <= instants_us).sum(axis=0, dtype=np.int32)
        days: I32 = begun + np.int32(front - BEHIND - 1)
        elsewhere = np.flatnonzero((begun == 0) | (begun == _MIDNIGHTS))
        if len(elsewhere):
            self._compute(days, elsewhere, instants_us, zones)
        return days

    def _look_around(self, front: int) -> None:
        if front != self._front or len(self.zones) != self._midnights.shape[1]:
            days = range(front - BEHIND, front + 2)
            starts = [[day_start(to_day(day), zone).timestamp() for zone in self.zones] for day in days]
            self._midnights = (np.array(starts) * 1_000_000).astype(np.int64)  # whole seconds, exact in a float
            self._front = front

    def _compute(self, days: I32, rows: I64, instants_us: I64, zones: I32) -> None:
        for zone, code in self.zones.items():
            here = rows[zones[rows] == code]
            if len(here):
                days[here] = local_days(instants_us[here], zone)
