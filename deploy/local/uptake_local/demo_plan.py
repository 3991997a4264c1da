"""What the demo says: the shipped activity moved to end yesterday, and a believable business around it.

Pure: records and days in, events out, the same events for the same days. It sends nothing and reads no clock.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

LIVE_DAYS = 34  # whole days that are surely inside the 35 days of live events, whatever the hour
HABIT_DAYS = 90  # how far back regular users are filled in
HABIT_GAP_DAYS = 29  # shorter than the 30 days of MAU, so that a filled day never adds a user to any MAU

Event = dict[str, Any]
Record = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The events in the order in which they are to be sent."""

    profiles: list[Event]  # first: time zones decide on which day an instant falls
    history: list[Event]  # too old to be live: one import job
    live: list[Event]
    business: list[Event]  # last: no account is judged before its activity is known


@dataclass(frozen=True, slots=True)
class _Days:
    """The demo's calendar. Ids carry its last day, so that demos of different days never say two things by one id."""

    last: date

    def at(self, days_before: int, hour: int = 9) -> str:
        return _instant(datetime.combine(self.last - timedelta(days_before), time(hour), UTC))

    def event(self, kind: str, of: str, occurred_at: str, **fields: Any) -> Event:
        return {"id": f"demo-{self.last}-{of}", "type": kind, "occurred_at": occurred_at, **fields}


def plan(records: Sequence[Record], cast: Mapping[str, Any], last_day: date, today: date) -> Plan:
    """Everything to send today for a demo that ends on `last_day`. `cast` is `accounts.json`."""
    days = _Days(last_day)
    moved = _moved([*records, *_habits(records, cast["accounts"])], days)
    moved += [event for account in cast["accounts"] if account.get("contact") for event in _contacts(account, days)]
    moved.sort(key=lambda event: (event["occurred_at"], event["id"]))
    first_live = _instant(datetime.combine(today - timedelta(LIVE_DAYS), time(), UTC))
    return Plan(
        profiles=[_profile(account, days) for account in cast["accounts"]],
        history=[event for event in moved if event["occurred_at"] < first_live],
        live=[event for event in moved if event["occurred_at"] >= first_live],
        business=[
            *(event for account in cast["accounts"] for event in _contract(account, days)),
            *(event for trial in cast["trials"] for event in _trial(trial, days)),
        ],
    )


def _moved(records: Sequence[Record], days: _Days) -> list[Event]:
    """All by the same whole days, so that the last one is the demo's last day; times of day stay."""
    shift = timedelta((days.last - max(_occurred(record).date() for record in records)).days)
    return [
        days.event(
            "usage",
            record["id"],
            _instant(_occurred(record) + shift),
            account=record["account"],
            user=record["user"],
            feature=record["feature"],
        )
        for record in records
    ]


def _habits(records: Sequence[Record], accounts: Iterable[Mapping[str, Any]]) -> Iterator[Record]:
    """Invented days of use between the real ones of one user: commits show only a part of the days people work.

    `habit` is the percentage of the weekdays between two real days that count as days of use. Which ones is decided
    by a hash, hence always the same. MAU stays what the real events say on every day; DAU, WAU and usage rise.
    """
    habits = {account["account"]: account["habit"] for account in accounts if "habit" in account}
    end = max(_occurred(record).date() for record in records) + timedelta(1)
    real: defaultdict[tuple[str, str], dict[date, Record]] = defaultdict(dict)
    for record in records:
        if record["account"] in habits:
            real[record["account"], record["user"]].setdefault(_occurred(record).date(), record)
    for (account, user), by_day in real.items():
        for before, after in zip(sorted(by_day), [*sorted(by_day)[1:], end], strict=True):
            if (after - before).days <= HABIT_GAP_DAYS:
                for day in _weekdays_between(max(before, end - timedelta(HABIT_DAYS)), after):
                    if _lot(user, day) < habits[account]:
                        yield _again(by_day[before], day)


def _weekdays_between(before: date, after: date) -> Iterator[date]:
    for ahead in range(1, (after - before).days):
        day = before + timedelta(ahead)
        if day.weekday() < 5:
            yield day


def _lot(user: str, day: date) -> int:
    """0 to 99, as if drawn."""
    return int.from_bytes(hashlib.sha256(f"{user} {day}".encode()).digest()[:4], "big") % 100


def _again(record: Record, day: date) -> Record:
    occurred_at = datetime.combine(day, _occurred(record).time(), UTC)
    return {**record, "id": f"{record['id']}-again-{day}", "occurred_at": _instant(occurred_at)}


def _contacts(account: Mapping[str, Any], days: _Days) -> Iterator[Event]:
    """A nightly job of the installation: the account is in contact, though no person was active."""
    name = account["account"]
    for before in range(LIVE_DAYS):
        fields = {"account": name, "user": "nightly-sync", "feature": f"{name}/sync", "actor": "system"}
        yield days.event("usage", f"{name}-sync-{before}", days.at(before, hour=2), **fields)


def _profile(account: Mapping[str, Any], days: _Days) -> Event:
    fields = {field: account[field] for field in ("account", "name", "region", "time_zone", "owner", "segment")}
    return days.event("account.updated", f"{account['account']}-profile", days.at(2000), telemetry="full", **fields)


def _contract(account: Mapping[str, Any], days: _Days) -> Iterator[Event]:
    """Licences before the production date: an account without seats is unknown, never off target."""
    name = account["account"]
    for number, (seats, since, *environment) in enumerate(account.get("seats", []), start=1):
        fields = {"account": name, "license": f"{name}-{number}", "seats": seats, "starts_at": days.at(since, hour=0)}
        where = {"environment": environment[0]} if environment else {}
        yield days.event("license.issued", f"{name}-license-{number}", days.at(since, hour=0), **fields, **where)
    dates = {
        field: (days.last - timedelta(account[key])).isoformat()
        for field, key in (("contract_start", "contract"), ("production_date", "production"))
        if key in account
    }
    if dates:
        yield days.event(
            "account.updated", f"{name}-dates", days.at(min(account["contract"], 1999)), account=name, **dates
        )
    if "churned" in account:
        at = days.at(account["churned"])
        yield days.event("account.updated", f"{name}-churned", at, account=name, churned_at=at)


def _trial(trial: Mapping[str, Any], days: _Days) -> Iterator[Event]:
    """Days count back from the day after the last one, which is the day the demo is first loaded."""
    name = trial["opportunity"]
    whose = {"opportunity": name, "account": trial["account"]}
    roles = {"complexity": trial["complexity"], "engineer": trial["engineer"]}
    entered = days.at(trial["entered"] - 1)
    yield days.event("opportunity.stage_changed", f"{name}-stage-4", entered, stage=4, **whose, **roles)
    if "decided" in trial:
        decided = trial["decided"] - 1
        outcome = {"opportunity": name, "outcome": trial["outcome"]}
        yield days.event("trial.decided", f"{name}-decided", days.at(decided, hour=10), **outcome)
        yield days.event("opportunity.stage_changed", f"{name}-stage-5", days.at(decided, hour=11), stage=5, **whose)


def _occurred(record: Record) -> datetime:
    return datetime.fromisoformat(record["occurred_at"])


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
