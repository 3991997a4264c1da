"""The numbers of a snapshot that go with an alert event, so that its reader asks nobody. Pure; computes no KPI."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from uptake.messages.kpi import AccountDay, InstanceSnapshot, TeamSnapshot, TrialSnapshot

_TREND_DAYS = (7, 28)
_FEATURES = 100  # of a day; the snapshot has them all
_LAST = 14


def values_of_account(snapshot: AccountDay, history: Sequence[AccountDay] = ()) -> dict[str, Any]:
    """One closed day. `history`: closed days of the account in their order, for the trend."""
    kpis, adoption, usage = snapshot.kpis, snapshot.kpis.adoption, snapshot.kpis.usage
    by_day = {one.kpis.as_of: one for one in history}
    before = {days: by_day.get(kpis.as_of - timedelta(days=days)) for days in _TREND_DAYS}
    return {
        "name": snapshot.name,
        "as_of": kpis.as_of.isoformat(),
        "revision": kpis.revision,
        "data_health": kpis.data_health,
        "last_contact": kpis.last_contact.isoformat() if kpis.last_contact else None,
        "dau": kpis.dau,
        "wau": kpis.wau,
        "mau": kpis.mau,
        "adoption": {"value": adoption.value, "num": adoption.num, "den": adoption.den, "basis": adoption.basis},
        "usage": {"value": usage.value, "num": usage.num, "den": usage.den, "status": usage.status},
        "target": adoption.target,
        "next_target": adoption.next_target,
        "band_end": adoption.band_end,
        "n": adoption.n,
        "policy": adoption.policy,
        "window_days": 30,
        "seats": adoption.den,
        "seats_before": snapshot.seats_before,
        "seats_changed_on": snapshot.seats_changed_on.isoformat() if snapshot.seats_changed_on else None,
        "contract_start": snapshot.contract_start.isoformat() if snapshot.contract_start else None,
        "production_date": snapshot.production_date.isoformat() if snapshot.production_date else None,
        "features": snapshot.features_first_used[:_FEATURES],
        "before": {str(days): _numbers(one) for days, one in before.items() if one is not None},
        "last": [one.kpis.adoption.value for one in history][-_LAST:],
    }


def values_of_trial(snapshot: TrialSnapshot) -> dict[str, Any]:
    trial, usage = snapshot.trial, snapshot.usage
    limits = {"approaching_on", "breached_on", "overlong_on", "policy_on"}
    days = {name: getattr(snapshot, name) for name in sorted(limits)}
    return {
        "name": snapshot.name,
        "revision": snapshot.revision,
        "complexity": trial.complexity,
        "engineer": trial.engineer,
        "started": trial.started.isoformat(),
        "target_days": trial.target_days,
        **{name: day.isoformat() if day else None for name, day in days.items()},
        "outcome": trial.outcome,
        "cycle_days": trial.cycle_days if trial.state == "stopped" else None,  # of a running trial it is already old
        "vendor_zone": snapshot.vendor_zone,
        "usage": {"as_of": usage.as_of.isoformat(), "dau": usage.dau, "wau": usage.wau, "mau": usage.mau}
        if usage is not None
        else None,
    }


def values_of_team(snapshot: TeamSnapshot) -> dict[str, Any]:
    closure = snapshot.team.closure
    return {
        "quarter": snapshot.team.quarter,
        "revision": snapshot.revision,
        "wins": closure.num,
        "concluded": closure.den,
        "closure": {"value": closure.value, "num": closure.num, "den": closure.den},
        "target": closure.target,
        "vendor_zone": snapshot.vendor_zone,
    }


def values_of_instance(snapshot: InstanceSnapshot) -> dict[str, Any]:
    return {
        "account": snapshot.account,
        "since": snapshot.since.isoformat(),
        "revision": snapshot.revision,
    }


def _numbers(snapshot: AccountDay) -> dict[str, Any]:
    kpis = snapshot.kpis
    return {
        "mau": kpis.mau,
        "adoption": [kpis.adoption.num, kpis.adoption.den],
        "usage": [kpis.usage.num, kpis.usage.den],
    }
