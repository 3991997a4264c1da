"""What the demo says: the shipped activity moved to end yesterday, and a believable business around it.

Pure: records and days in, events out, the same events for the same days. It sends nothing and reads no clock.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from operator import itemgetter
from typing import Any

LIVE_DAYS = 34  # whole days that are surely inside the 35 days of live events, whatever the hour
INVENTED_DAYS = 120  # the invented accounts' activity: from so many days back until the last day
WORKING_HOUR = 14  # UTC: daytime, hence the same day, in the zones of both

Event = dict[str, Any]
Arrival = tuple[str, Event]  # when it arrived, in the form of `occurred_at`, which sorts by time
Record = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The events in the order in which they are to be sent."""

    profiles: list[Event]  # first: time zones decide on which day an instant falls
    live: list[Event]  # in order of arrival, like history
    history: list[Event]  # too old to be live: one import job, whose end says that all activity is counted
    business: list[Event]  # last: without seats no account is judged, so none is before its activity is counted


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
    activity = _moved(records, days)
    for account in cast["accounts"]:
        if "invented" in account:
            activity += _invented(account, days)
        if account.get("contact"):
            activity += _contacts(account, days)
    activity.sort(key=itemgetter(0))  # of what arrives at the same instant, real events keep their order
    first_live = _instant(datetime.combine(today - timedelta(LIVE_DAYS), time(), UTC))
    return Plan(
        profiles=[_profile(account, days) for account in cast["accounts"]],
        live=[event for _, event in activity if event["occurred_at"] >= first_live],
        history=[event for _, event in activity if event["occurred_at"] < first_live],
        business=[
            *(event for account in cast["accounts"] for event in _licenses(account, days)),
            *(event for trial in cast["trials"] for event in _trial(trial, days)),
        ],
    )


def _moved(records: Sequence[Record], days: _Days) -> list[Arrival]:
    """All by the same whole days, so that the last one is the demo's last day. Nothing else changes."""
    shift = timedelta((days.last - max(_read(record["occurred_at"]).date() for record in records)).days)
    return [
        (
            _instant(_read(record["received_at"]) + shift),
            days.event(
                "usage",
                record["id"],
                _instant(_read(record["occurred_at"]) + shift),
                **{field: record[field] for field in ("account", "user", "feature")},
            ),
        )
        for record in records
    ]


def _invented(account: Mapping[str, Any], days: _Days) -> Iterator[Arrival]:
    """Days of use of an account that does not exist: each of its users works `share` percent of the weekdays.

    Which ones is decided by a hash, hence always the same. Any 28 days hold 20 weekdays, so usage comes out near
    `share` * 20 / 28 on whatever weekday the demo is loaded.
    """
    name, table = account["account"], account["invented"]
    for before in range(INVENTED_DAYS):
        day = days.last - timedelta(before)
        for user in (f"{name}-user-{number:02}" for number in range(1, table["users"] + 1)):
            percent, minute, feature = _drawn(f"{user} {day}", 100, 60, len(table["features"]))
            if day.weekday() < 5 and percent < table["share"]:
                at = _instant(datetime.combine(day, time(WORKING_HOUR, minute), UTC))
                fields = {"account": name, "user": user, "feature": table["features"][feature]}
                yield at, days.event("usage", f"{user}-{day}", at, **fields)


def _drawn(lot: str, *sides: int) -> list[int]:
    """One number from 0 up to each of `sides`, as if drawn."""
    digest = hashlib.sha256(lot.encode()).digest()
    return [int.from_bytes(digest[4 * i : 4 * i + 4], "big") % side for i, side in enumerate(sides)]


def _contacts(account: Mapping[str, Any], days: _Days) -> Iterator[Arrival]:
    """A nightly job of the installation: the account is in contact, though no person was active."""
    name = account["account"]
    for before in range(LIVE_DAYS):
        at = days.at(before, hour=2)
        fields = {"account": name, "user": "nightly-sync", "feature": f"{name}/sync", "actor": "system"}
        yield at, days.event("usage", f"{name}-sync-{before}", at, **fields)


def _profile(account: Mapping[str, Any], days: _Days) -> Event:
    fields = {field: account[field] for field in ("account", "name", "region", "time_zone", "owner", "segment")}
    for field, key in (("contract_start", "contract"), ("production_date", "production")):
        if key in account:
            fields[field] = (days.last - timedelta(account[key])).isoformat()
    if "churned" in account:
        fields["churned_at"] = days.at(account["churned"])
    return days.event("account.updated", f"{account['account']}-profile", days.at(2000), telemetry="full", **fields)


def _licenses(account: Mapping[str, Any], days: _Days) -> Iterator[Event]:
    name = account["account"]
    for number, (seats, since, *environment) in enumerate(account.get("seats", []), start=1):
        fields = {"account": name, "license": f"{name}-{number}", "seats": seats, "starts_at": days.at(since, hour=0)}
        where = {"environment": environment[0]} if environment else {}
        yield days.event("license.issued", f"{name}-license-{number}", days.at(since, hour=0), **fields, **where)


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


def _read(instant: str) -> datetime:
    return datetime.fromisoformat(instant)


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
