"""Where an account stands on its way from trial to renewal, by facts alone. It counts nobody and reads no clock.

Source: the domain definition, "The ladder" (ramping) and its words: a customer engineer owns an account from trial to
renewal. Days are the account's local days.
"""

from datetime import date
from typing import Literal

from uptake_metrics.accounts import Account
from uptake_metrics.kpis import RAMPING_DAYS
from uptake_metrics.zones import local_day

Lifecycle = Literal["trial", "onboarding", "ramping", "production", "churned", "unknown"]


def lifecycle(account: Account, day: date, has_running_trial: bool) -> Lifecycle:
    """The first that holds, from the end backwards.

    `churned`: the day on which it left has come. `ramping`: fewer than 30 days in production, which is as long as the
    MAU window still holds days before it; then `production`. `onboarding`: a contract that has begun, or a day that is
    set for production and lies ahead. `trial`: an opportunity whose trial runs. Else `unknown`: no fact says.
    """
    if account.churned_at and local_day(account.churned_at, account.time_zone) <= day:
        return "churned"
    if account.production_date and account.production_date <= day:
        return "ramping" if (day - account.production_date).days < RAMPING_DAYS else "production"
    if account.production_date or (account.contract_start and account.contract_start <= day):
        return "onboarding"
    return "trial" if has_running_trial else "unknown"
