"""The formula and the inputs of every number of a day, in words and values that a person can recompute it from.

It computes no number: each value comes from the one function that defines it, and stands beside that function's inputs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from uptake.messages.facts import Fact
from uptake.messages.fields import Day, Instant, Message
from uptake.messages.kpi import AccountKpis
from uptake_metrics import archive, freshness
from uptake_metrics.accounts import Account
from uptake_metrics.freshness import Heard
from uptake_metrics.kpis import CONCERNING_ABOVE, HEALTHY_ABOVE, NOBODY, RAMPING_DAYS, Counts, usage_days
from uptake_metrics.policies import InForce
from uptake_metrics.seats import in_force
from uptake_metrics.userdays import WINDOWS, Masks
from uptake_metrics.zones import DAY, day_start, to_number

KNOWN_IF = {
    "no_telemetry": "an event, heartbeat or ping of the account arrives, and its telemetry tier is not `none`",
    "no_recent_ping": "a usage.ping tells of the day, or of one of the seven before",
    "no_daily_counts": "usage events arrive: pings do not tell who came on which day",
    "no_closed_day": "the first of its days closes",
    "no_active_users": "one user is active in the 30 days",
    "no_production_date": "account.updated names a production_date that is not after this day",
    "no_contract_start": "account.updated names a contract_start that is not after this day",
    "no_seats": "a production licence is in force at the end of the day, or seats_basis `addressable` with a number",
    "unknown_policy": "policies.yml has a policy of this name",
    "no_step_yet": "the ladder reaches its first step",
    "several_installations": "user events arrive, or one ping for the whole account",
}


class Window(Message):
    """Local days, both included, and the UTC instants at which the first begins and the last ends (exclusive)."""

    first_day: Day
    last_day: Day
    days: int
    begins_at: Instant
    ends_at: Instant


class DayCount(Message):
    """One day of the 30: who was active on it, and how many of them were not on any earlier day of the 30."""

    day: Day
    dau: int
    newcomers: int


class Number(Message):
    """One number: how it is made, of what, and, when it is null, why and what would make it known."""

    name: str
    value: Any
    exact: str | None
    formula: str
    inputs: dict[str, Any]
    window: Window | None
    reason: str | None
    known_if: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """All that the numbers of the day were made of. `account` is as it was on the day; `masks` are its 30 days."""

    kpis: AccountKpis
    account: Account
    counts: Counts | None
    masks: Masks
    heard: Heard
    judged_at: datetime
    chosen: InForce
    mau_calendar: int | None
    facts: Sequence[Fact]


def numbers(known: Known) -> list[Number]:
    """Each number of the day, the counts first."""
    every = (_dau, _wau, _mau, _mau_calendar, _usage, _adoption, _seats, _ladder_day, _target, _pace, _data_health)
    return [number(known) for number in every]


def daily(masks: Masks, counts: Counts, as_of: date) -> list[DayCount]:
    """The 30 days: their DAU, and how many people each brings to the MAU, which is the sum of the newcomers."""
    first = as_of - DAY * (WINDOWS[-1] - 1)
    reached = [0] + [
        len(archive.active(masks, to_number(first), to_number(first) + passed)) for passed in range(WINDOWS[-1])
    ]
    return [
        DayCount(day=first + DAY * place, dau=dau, newcomers=reached[place + 1] - reached[place])
        for place, dau in enumerate(counts.dau_30)
    ]


def _number(
    name: str,
    value: Any,
    formula: str,
    inputs: dict[str, Any],
    reason: str | None = None,
    window: Window | None = None,
    exact: str | None = None,
) -> Number:
    known_if = KNOWN_IF.get(reason or "") if value is None else None
    return Number(
        name=name,
        value=value,
        exact=exact if value is not None else None,
        formula=formula,
        inputs={key: plain(input) for key, input in inputs.items()},
        window=window,
        reason=reason if value is None else None,
        known_if=known_if,
    )


def _window(known: Known, days: int) -> Window:
    zone, last = known.kpis.time_zone, known.kpis.as_of
    first = last - DAY * (days - 1)
    return Window(
        first_day=first,
        last_day=last,
        days=days,
        begins_at=day_start(first, zone),
        ends_at=day_start(last + DAY, zone),
    )


def _people(known: Known, window: str) -> dict[str, Any]:
    """Where the number comes from: a ping, or counted people, each of whom is in a list of the account."""
    kpis = known.kpis
    if kpis.source_of_counts == "pings":
        return {
            "source": "pings",
            "ping_day": kpis.ping_day,
            "mau_at_most": kpis.mau_at_most,
            "registered": kpis.registered,
        }
    return {"source": kpis.source_of_counts, "list": f"users?as_of={kpis.as_of}&window={window}"}


def _counted(known: Known) -> Counts | None:
    """The counts where they are what the numbers come from."""
    return (known.counts or NOBODY) if known.kpis.source_of_counts == "events" else None


def _count(known: Known, name: str, days: int, formula: str, by_day: list[DayCount] | None = None) -> Number:
    inputs = _people(known, name) | ({"days": by_day} if by_day else {})
    return _number(name, getattr(known.kpis, name), formula, inputs, known.kpis.reason, _window(known, days))


def _dau(known: Known) -> Number:
    return _count(known, "dau", 1, "distinct users with a qualifying event on the local day")


def _wau(known: Known) -> Number:
    return _count(known, "wau", 7, "distinct users on any of the 7 local days")


def _mau(known: Known) -> Number:
    counts = _counted(known)
    by_day = daily(known.masks, counts, known.kpis.as_of) if counts else None
    return _count(known, "mau", 30, "distinct users on any of the 30 local days = sum of newcomers by day", by_day)


def _mau_calendar(known: Known) -> Number:
    formula = "distinct users on any day of the calendar month up to this one; never alerted on"
    reason = known.kpis.reason or "no_daily_counts"
    return _number("mau_calendar", known.mau_calendar, formula, {}, reason, _window(known, known.kpis.as_of.day))


def _usage(known: Known) -> Number:
    usage, counts = known.kpis.usage, _counted(known)
    days, young = usage_days(known.account, known.kpis.as_of)
    return _number(
        "usage",
        usage.value,
        "user-days / (days x MAU): the mean DAU of the days, over the MAU; healthy above 0.30, concerning above 0.20",
        {
            "days": days,
            "days_since_production_only": young,
            "dau": counts and counts.dau_30[-days:],
            "user_days": usage.num,
            "mau": known.kpis.mau,
            "days_x_mau": usage.den,
            "healthy_above": HEALTHY_ABOVE,
            "concerning_above": CONCERNING_ABOVE,
            "status": usage.status,
            "provisional": usage.provisional,
            "dau_mau_point": usage.dau_mau_point,
            "usage_30_30": usage.usage_30_30,
        },
        usage.reason,
        _window(known, days),
        f"{usage.num}/{usage.den}",
    )


def _adoption(known: Known) -> Number:
    adoption = known.kpis.adoption
    return _number(
        "adoption",
        adoption.value,
        f"MAU / seats; on target when it is at least the target; ramping while the ladder day is under {RAMPING_DAYS}",
        {
            "mau": adoption.num,
            "seats": adoption.den,
            "target": adoption.target,
            "ladder_day": adoption.n,
            "on_target": adoption.on_target,
            "status": adoption.status,
        },
        adoption.reason,
        _window(known, 30),
        f"{adoption.num}/{adoption.den}",
    )


def _seats(known: Known) -> Number:
    adoption = known.kpis.adoption
    held = {one.license: one.seats for one in in_force(known.account, known.kpis.as_of)}
    formula = {
        "purchased": "sum of the seats on production licences in force at the end of the local day",
        "addressable": "addressable developers, while a production licence is in force or none was ever recorded",
        "none": "no seats are counted for this account",
    }[adoption.basis]
    inputs = {
        "basis": adoption.basis,
        "in_force": held,
        "addressable": known.account.addressable,
        "at_last_instant_before": day_start(known.kpis.as_of + DAY, known.kpis.time_zone),
    }
    return _number("seats", adoption.den, formula, inputs, "no_seats")


def _ladder_day(known: Known) -> Number:
    adoption, ladder = known.kpis.adoption, known.chosen.ladder
    field = "contract_start" if ladder and ladder.anchor == "contract" else "production_date"
    reason = f"no_{field}" if ladder else "unknown_policy"
    return _number(
        "ladder_day",
        adoption.n,
        "as_of - anchor, in local days",
        {"as_of": known.kpis.as_of, "anchor": adoption.anchor, "anchor_is": field if ladder else None},
        reason,
    )


def _ladder(known: Known) -> dict[str, Any]:
    adoption, ladder = known.kpis.adoption, known.chosen.ladder
    return {
        "policy": adoption.policy,
        "version_from": adoption.policy_version,
        "chosen_by": adoption.policy_source,
        "ladder_day": adoption.n,
        "steps": [{"day": band.day, "target": str(band.target)} for band in ladder.steps] if ladder else None,
        "band_end": adoption.band_end,
        "next_target": adoption.next_target,
    }


def _why_no_target(known: Known) -> str:
    adoption, ladder = known.kpis.adoption, known.chosen.ladder
    if ladder is None:
        return "unknown_policy"
    if adoption.n is None or adoption.n < 0:
        return "no_contract_start" if ladder.anchor == "contract" else "no_production_date"
    return "no_step_yet"


def _target(known: Known) -> Number:
    return _number(
        "target",
        known.kpis.adoption.target,
        "target of the last step whose day is not after the ladder day; none before day 0",
        _ladder(known),
        _why_no_target(known),
    )


def _pace(known: Known) -> Number:
    return _number(
        "pace",
        known.kpis.adoption.pace,
        "the target when it is due only at the end of its band: before + (target - before) x (ladder day - b) / "
        "(band end - b), where before is the target of the step before (0 in the first) and b the day before the band "
        "begins (0 in a band from day 0 on); in the last band the target itself",
        _ladder(known),
        _why_no_target(known),
    )


def _data_health(known: Known) -> Number:
    kpis, heard = known.kpis, known.heard
    allowed = freshness.limit(heard, known.judged_at)
    return _number(
        "data_health",
        kpis.data_health,
        "none if it was never heard of; stale if judged_at - newest contact > limit; else fresh. The limit is 48 hours "
        "if a heartbeat came in the 30 days before, else 192 if a ping did, else 120. Of user events only the day is "
        "kept, so its last instant counts",
        {
            "judged_at": known.judged_at,
            "newest_event": heard.event,
            "newest_heartbeat": heard.heartbeat,
            "newest_ping": heard.ping,
            "limit_hours": allowed // timedelta(hours=1),
            "last_contact": kpis.last_contact,
        },
    )


def plain(value: Any) -> Any:
    """As JSON has it; a ratio stays exact."""
    match value:
        case Fraction():
            return str(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Message():
            return value.model_dump(mode="json")
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case str() | None:
            return value
        case Iterable():
            return [plain(one) for one in value]
    return value
