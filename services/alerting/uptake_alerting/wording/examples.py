"""An alert of each kind of subject as it might be, to look at the words of a rule before it ever fired. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from uptake.messages.alerts import AlertData
from uptake_alerting.fold import ONE_SHOT
from uptake_alerting.rules import Rule
from uptake_alerting.wording.sentences import NEXT_STEPS, summary

_ACCOUNT: Mapping[str, Any] = {
    "name": "Acme Corp",
    "as_of": "2026-05-03",
    "data_health": "fresh",
    "last_contact": "2026-05-03",
    "dau": 6,
    "wau": 15,
    "mau": 24,
    "adoption": {"value": 0.24, "num": 24, "den": 100, "basis": "purchased"},
    "usage": {"value": 0.25, "num": 168, "den": 672, "status": "concerning"},
    "target": 0.5,
    "next_target": 0.75,
    "band_end": 180,
    "n": 122,
    "policy": "ce-2022",
    "window_days": 30,
    "seats": 100,
    "seats_before": None,
    "seats_changed_on": None,
    "contract_start": "2025-12-01",
    "production_date": "2026-01-01",
    "features": ["deploy"],
    "before": {
        "7": {"mau": 26, "adoption": [26, 100], "usage": [180, 728]},
        "28": {"mau": 31, "adoption": [31, 100], "usage": [260, 868]},
    },
    "last": [0.24],
}
_TRIAL: Mapping[str, Any] = {
    "name": "Acme Corp",
    "complexity": "standard",
    "started": "2026-04-10",
    "target_days": 21,
    "breached_on": "2026-05-02",
    "cycle_days": None,
    "outcome": None,
    "usage": {"as_of": "2026-05-03", "dau": 2, "wau": 5, "mau": 8},
}
_TEAM: Mapping[str, Any] = {
    "quarter": "2026Q2",
    "closure": {"value": 0.7, "num": 7, "den": 10},
    "target": 0.8,
}
_INSTANCE: Mapping[str, Any] = {"account": None, "since": "2026-05-02T09:00:00Z"}
_OF_KIND: Mapping[str, tuple[str, str | None, Mapping[str, Any]]] = {
    "account": ("acme", "acme", _ACCOUNT),
    "trial": ("opp-1", "acme", _TRIAL),
    "team": ("2026Q2", None, _TEAM),
    "instance": ("installation-1", None, _INSTANCE),
}
#: What is different where the rule fires, and where it is over.
_FIRING: Mapping[str, Mapping[str, Any]] = {
    "seats-exceeded": {"mau": 110, "adoption": {"value": 1.1, "num": 110, "den": 100, "basis": "purchased"}},
    "account-dormant": {
        "mau": 0,
        "adoption": {"value": 0.0, "num": 0, "den": 100, "basis": "purchased"},
        "usage": {"value": None, "num": 0, "den": 0, "status": "unknown"},
    },
    "telemetry-silent": {"data_health": "stale", "last_contact": "2026-04-28"},
    "production-overdue": {"production_date": None, "n": None, "target": None, "next_target": None},
    "trial-approaching": {"started": "2026-04-18", "breached_on": "2026-05-10"},
    "trial-overlong": {"started": "2026-04-02", "breached_on": "2026-04-24"},
    "trial-policy": {"started": "2026-02-02", "breached_on": "2026-02-24"},
}
_OVER: Mapping[str, Mapping[str, Any]] = {
    "adoption-below-target": {"mau": 52, "adoption": {"value": 0.52, "num": 52, "den": 100, "basis": "purchased"}},
    "adoption-step-up-at-risk": {"mau": 76, "adoption": {"value": 0.76, "num": 76, "den": 100, "basis": "purchased"}},
    "usage-unhealthy": {"usage": {"value": 0.35, "num": 236, "den": 672, "status": "healthy"}},
    "closure-below-target": {"closure": {"value": 0.8, "num": 8, "den": 10}},
    "instance-unattributed": {"account": "acme"},
}
_TRIAL_OVER = {"cycle_days": 24, "outcome": "win", "breached_on": None, "usage": None}
_CLEARED = {"trial": "trial_stopped", "instance": "mapped"}


def example(rule: Rule, now: datetime, *, over: bool = False) -> AlertData:
    """Of a rule in force, owned by somebody; `over`: its end. Raises KeyError of a rule that is built in."""
    subject, account, base = _OF_KIND[rule.subject_kind]
    moved = (_OVER if over else _FIRING).get(rule.name, {})
    stopped = _TRIAL_OVER if over and rule.subject_kind == "trial" else {}
    values = {**base, **moved, **stopped, "terms": rule.terms}
    state: Literal["firing", "resolved", "closed"] = "resolved" if over else "firing"
    cleared = (rule.clear.is_ if rule.clear else None) or _CLEARED.get(rule.subject_kind, "cleared")
    reason = cleared if over else "firing"
    if rule.one_shot:
        state, reason = "closed", ONE_SHOT
    return AlertData(
        episode="0123456789abcdef",
        number=1,
        rule=rule.name,
        subject_kind=rule.subject_kind,
        subject=subject,
        account=account,
        region="International",
        severity=rule.severity,
        state=state,
        reason=reason,
        since=(now - timedelta(days=3)).date(),
        fired_at=now - timedelta(hours=8),
        detected_at=now,
        owner="ce-1",
        summary=summary(rule.name, subject, values, state, reason, rule.annotations),
        next_step=rule.annotations.get("next_step") or NEXT_STEPS.get(rule.name, ""),
        values=values,
        labels=rule.labels,
        annotations=rule.annotations,
    )
