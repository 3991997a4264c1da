"""The KPIs of any account on any day: joins what facts say, what was counted, and the clock. Computes none itself.

The one way from a tally to `AccountKpis`: lists, history, snapshots and gauges all go through it.
"""

from collections.abc import Callable
from datetime import datetime

from uptake.messages.kpi import AccountKpis, AdoptionKpi
from uptake_metrics.config import Config
from uptake_metrics.freshness import turns_at
from uptake_metrics.kpis import account_kpis, adoption_kpi, heard_of
from uptake_metrics.policies import Policies
from uptake_metrics.register import Register
from uptake_metrics.tally import Tallied


class Evaluation:
    """Reads `register` and `config`; keeps nothing."""

    def __init__(self, register: Register, config: Config, clock: Callable[[], datetime]) -> None:
        self._register = register
        self.config = config
        self._clock = clock

    def kpis(self, name: str, tallied: Tallied, revision: int = 0, policies: Policies | None = None) -> AccountKpis:
        """All numbers of the day that was tallied, under the policies in force or, to see the difference, others."""
        account = self._register.account(name)
        policies = policies or self.config.policies
        told = self._register.told(name, tallied.day)
        return account_kpis(
            account, tallied.day, tallied.counts, tallied.last_contact, self._clock(), revision, policies, told
        )

    def adoption(self, name: str, tallied: Tallied, policies: Policies | None = None) -> AdoptionKpi:
        """The adoption of `kpis` alone, for whoever asks of many days."""
        account, told = self._register.account(name), self._register.told(name, tallied.day)
        policies = policies or self.config.policies
        return adoption_kpi(account, tallied.day, tallied.counts, tallied.last_contact, self._clock(), policies, told)

    def turns_at(self, name: str, tallied: Tallied) -> datetime | None:
        """When the numbers of the open day that was tallied may be others though nothing more arrives; null: never."""
        told = self._register.told(name, tallied.day)
        return turns_at(heard_of(self._register.account(name), tallied.last_contact, told), self._clock())
