"""The use cases of many accounts today, for gauges: from memory alone, in turns of the event loop. Counts nobody."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import date

from uptake.messages.kpi import UseCaseKpi
from uptake.subjects import shard_of
from uptake_metrics.board import Line
from uptake_metrics.config import Config
from uptake_metrics.feature_tally import FeatureTally
from uptake_metrics.features import use_case_kpis, why_unknown

_AT_A_TIME = 50  # accounts: memory of a shard is looked through once for all of them


class UseCaseGauges:
    """Asks `tally` by the taxonomy of `config`."""

    def __init__(self, tally: FeatureTally, config: Config) -> None:
        self._tally = tally
        self._config = config

    async def of(self, lines: Sequence[Line]) -> dict[str, list[UseCaseKpi]]:
        """By account; of a day that memory does not hold, nothing."""
        together = defaultdict[tuple[int, date], list[Line]](list)
        for line in lines:
            together[shard_of(line.account.account), line.kpis.as_of].append(line)
        found: dict[str, list[UseCaseKpi]] = {}
        for (_, day), some in together.items():
            for start in range(0, len(some), _AT_A_TIME):
                found |= self._told(some[start : start + _AT_A_TIME], day)
                await asyncio.sleep(0)
        return found

    def _told(self, lines: Sequence[Line], day: date) -> dict[str, list[UseCaseKpi]]:
        """Accounts of one shard on the same day."""
        taxonomy = self._config.use_cases
        counted = self._tally.mau_now([line.account.account for line in lines], day, taxonomy)
        return {
            line.account.account: use_case_kpis(of, taxonomy, why_unknown(line.kpis, of.total))
            for line in lines
            if (of := counted.get(line.account.account))
        }
