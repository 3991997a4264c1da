"""The week of one engineer in words: accounts the worst first, alerts that came and went, trials. Pure."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction

from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountDay, TrialSnapshot
from uptake_alerting.wording.sentences import target
from uptake_alerting.wording.text import Notice, percent, short

_ACCOUNTS, _ALERTS, _TRIALS = 15, 10, 10  # that are named; the rest is counted
_STANDING = {"off_target": 0, "unknown": 1, "ramping": 2, "not_started": 3, "on_target": 4}
_HABIT = {"poor": 0, "concerning": 1, "unknown": 2, "healthy": 3}


def weekly(
    person: str,
    monday: date,
    accounts: Sequence[AccountDay],
    trials: Sequence[TrialSnapshot],
    alerts: Sequence[AlertData],
    now: datetime,
) -> Notice | None:
    """`accounts` and `trials` are those of the person, `alerts` what was open within the last seven days; null where
    there is nothing to say."""
    if not (accounts or trials or alerts):
        return None
    since = now - timedelta(days=7)
    opened = [one for one in alerts if one.fired_at is not None and one.fired_at > since]
    over = [one for one in alerts if one.state in ("resolved", "closed")]
    off = sum(one.kpis.adoption.status == "off_target" for one in accounts)
    headline = (
        f"Week of {monday} for {short(person)}: {len(accounts)} accounts, {off} off target; {len(trials)} running "
        f"trials; {len(alerts) - len(over)} open alerts, {len(opened)} new, {len(over)} over"
    )
    lines = [
        *_some("account", [_of_account(one) for one in sorted(accounts, key=_worst_first)], _ACCOUNTS),
        *_some("trial", [_of_trial(one) for one in sorted(trials, key=_longest_first)], _TRIALS),
        *_some("new alert", [f"New: {one.summary}" for one in opened if one not in over], _ALERTS),
        *_some("alert that is over", [f"Over: {one.summary}" for one in over], _ALERTS),
    ]
    return Notice(headline, tuple(lines))


def _worst_first(one: AccountDay) -> tuple[int, Fraction, int, str]:
    adoption = one.kpis.adoption
    missing = Fraction(0)
    if adoption.num is not None and adoption.den and adoption.target is not None:
        missing = Fraction(adoption.num, adoption.den) - Fraction(str(adoption.target))
    return _STANDING[adoption.status], missing, _HABIT[one.kpis.usage.status], one.account


def _longest_first(one: TrialSnapshot) -> tuple[date, str]:
    return one.breached_on or date.max, one.trial.opportunity


def _of_account(one: AccountDay) -> str:
    adoption, usage = one.kpis.adoption, one.kpis.usage
    parts = [f"adoption {_share(adoption.num, adoption.den, adoption.reason)}"]
    if adoption.target is not None:
        parts.append(f"target {target(adoption.target)}, {adoption.status.replace('_', ' ')}")
    parts.append(f"usage {_share(usage.num, usage.den, usage.reason, bare=True)}")
    if one.kpis.data_health != "fresh":
        parts.append(f"data {one.kpis.data_health}")
    return f"{short(one.name or one.account)}: {'; '.join(parts)}"


def _share(num: int | None, den: int | None, reason: str | None, *, bare: bool = False) -> str:
    """Never 0 for what nobody knows: the reason stands there."""
    if num is None or not den or reason is not None:
        return f"unknown ({(reason or 'unknown').replace('_', ' ')})"
    share = percent(Fraction(num, den))
    return share if bare else f"{share} ({num}/{den})"


def _of_trial(one: TrialSnapshot) -> str:
    told = f"Trial {short(one.trial.opportunity)} of {short(one.name or one.trial.account)}: since {one.trial.started}"
    due = f", {one.trial.target_days} days over from {one.breached_on}" if one.breached_on else ", paused"
    return told + due


def _some(what: str, lines: Sequence[str], most: int) -> Iterator[str]:
    yield from lines[:most]
    if len(lines) > most:
        more = len(lines) - most
        yield f"And {more} more {what}{'' if more == 1 or what.endswith('over') else 's'}."
