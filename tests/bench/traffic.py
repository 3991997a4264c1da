"""Seeded usage for the pipeline's measures: who did what when, as events and as the batches that ingestion makes.

2,000 accounts of uneven size; an active user does ten things on a day, with three of twelve features. One event in
twenty is late, up to thirty days; one in fifty comes twice; one account in twenty is on trial; one event in fifty is
a system's. `history` is what the same people did the day before, so that a measured run meets a state that lives.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from uptake import subjects

BATCH = 100
_ACCOUNTS = 2_000
_EVENTS_A_USER = 10
_DAY_S = 86_400

#: An account of many people, all of them in production: what is counted of it is compared.
WATCHED = "account-00001"
Messages = Sequence[tuple[str, bytes]]  # subject and data


@dataclass(frozen=True, slots=True)
class Happened:
    """Rows of events as columns, in order of arrival."""

    account: list[str]
    user: list[str]
    feature: list[str]
    environment: list[str]
    actor: list[str]
    instant_us: list[int]


def usage(events: int, now: datetime, seed: int = 1, accounts: int = _ACCOUNTS) -> Happened:
    """`events` events up to `now`."""
    random = np.random.default_rng(seed)
    people = max(1, events // _EVENTS_A_USER)
    person = random.integers(0, people, events)
    twice = random.random(events) < 0.02
    twice[0] = False
    source = np.where(twice, np.maximum(np.arange(events) - random.integers(1, 50, events), 0), np.arange(events))
    ago_s = random.random(events) * 3_600
    late = random.random(events) < 0.05
    ago_s[late] += random.random(int(late.sum())) * 30 * _DAY_S
    feature = (person * 7 + random.integers(0, 3, events)) % 12
    system = random.random(events) < 0.02
    return _named(person[source], feature[source], ago_s[source], system[source], people, accounts, now)


def history(events: int, now: datetime, seed: int = 1, accounts: int = _ACCOUNTS) -> Happened:
    """The day before: nine in ten of the people of `usage(events, ...)`, with the same three features."""
    random = np.random.default_rng(seed + 1_000_003)
    people = max(1, events // _EVENTS_A_USER)
    known = np.flatnonzero(random.random(people) < 0.9)
    person = np.repeat(known, 3)
    feature = (person * 7 + np.tile(np.arange(3), len(known))) % 12
    ago_s = _DAY_S + random.random(len(person)) * 3_600
    order = random.permutation(len(person))
    return _named(person[order], feature[order], ago_s, np.zeros(len(person), np.bool_), people, accounts, now)


def everybody(accounts: int, now: datetime) -> Happened:
    """Three people of every account."""
    person = np.arange(3 * accounts)
    zeros = np.zeros(3 * accounts)
    account = [f"account-{number:05}" for number in (person // 3).tolist()]
    happened = _named(person, person % 12, zeros, zeros.astype(np.bool_), 3 * accounts, accounts, now)
    return Happened(**{**{name: getattr(happened, name) for name in happened.__slots__}, "account": account})


def _named(
    person: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    feature: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    ago_s: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    system: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    people: int,
    accounts: int,
    now: datetime,
) -> Happened:
    account = (accounts * (person / people) ** 2).astype(np.int64)  # the first are the large ones
    now_us = int(now.timestamp() * 1_000_000)
    return Happened(
        [f"account-{number:05}" for number in account.tolist()],
        [f"user-{number:07}@example.com" for number in person.tolist()],
        [f"product/feature-{number:02}" for number in feature.tolist()],
        ["trial" if number % 20 == 0 else "production" for number in account.tolist()],
        ["system" if one else "human" for one in system.tolist()],
        (now_us - (ago_s * 1_000_000).astype(np.int64)).tolist(),
    )


def batches(happened: Happened, now: datetime, size: int = BATCH) -> list[tuple[str, bytes]]:
    """Whole batches of one shard each, in the order in which they fill; the rest at the end."""
    shard_of = {account: subjects.shard_of(account) for account in set(happened.account)}
    open_rows: list[list[int]] = [[] for _ in range(subjects.SHARDS)]
    out: list[tuple[str, bytes]] = []
    for row, account in enumerate(happened.account):
        rows = open_rows[shard_of[account]]
        rows.append(row)
        if len(rows) == size:
            out.append(_batch(happened, shard_of[account], rows, len(out), now))
            rows.clear()
    for shard, rows in enumerate(open_rows):
        if rows:
            out.append(_batch(happened, shard, rows, len(out), now))
    return out


def _batch(happened: Happened, shard: int, rows: Sequence[int], number: int, now: datetime) -> tuple[str, bytes]:
    environments = [happened.environment[row] for row in rows]
    actors = [happened.actor[row] for row in rows]
    batch = {
        "version": 1,
        "id": f"{number:032x}",
        "source": "bench",
        "received_at": int(now.timestamp() * 1_000_000),
        "accounts": [happened.account[row] for row in rows],
        "users": [happened.user[row] for row in rows],
        "features": [happened.feature[row] for row in rows],
        "instants": [happened.instant_us[row] for row in rows],
    }
    if set(environments) != {"production"}:
        batch["environments"] = environments
    if set(actors) != {"human"}:
        batch["actors"] = actors
    return subjects.usage(shard), msgspec.json.encode(batch)


def rows(messages: Messages) -> Iterator[tuple[str, str, str, str, int]]:
    """The events that count: account, environment, feature, user, day (everybody's zone is UTC)."""
    for _, data in messages:
        batch = msgspec.json.decode(data)
        n = len(batch["accounts"])
        columns: tuple[Sequence[Any], ...] = (
            batch["accounts"],
            batch.get("environments") or ["production"] * n,
            batch["features"],
            batch["users"],
            batch["instants"],
            batch.get("actors") or ["human"] * n,
        )
        for account, environment, feature, user, instant, actor in zip(*columns, strict=True):
            if actor == "human":
                yield account, environment, feature, user, instant // (_DAY_S * 1_000_000)


def watched_user_days(messages: Messages) -> int:
    """What everybody has to find in the end."""
    return len({(user, day) for account, _, _, user, day in rows(messages) if account == WATCHED})


def write(file: Path, messages: Messages) -> None:
    """One message a line: its subject, a blank, its JSON, which has no line break."""
    file.write_bytes(b"".join(subject.encode() + b" " + data + b"\n" for subject, data in messages))


def read(file: Path) -> list[tuple[str, bytes]]:
    lines = (line.partition(b" ") for line in file.read_bytes().splitlines())
    return [(subject.decode(), data) for subject, _, data in lines]


def events(happened: Happened) -> Iterator[bytes]:
    """The same as a producer writes them."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    columns = (happened.account, happened.user, happened.feature, happened.environment, happened.actor)
    for number, (account, user, feature, environment, actor, us) in enumerate(
        zip(*columns, happened.instant_us, strict=True)
    ):
        event = {
            "id": f"event-{number:09}",
            "type": "usage",
            "occurred_at": (epoch + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z"),
            "account": account,
            "user": user,
            "feature": feature,
        }
        if environment != "production":
            event["environment"] = environment
        if actor != "human":
            event["actor"] = actor
        yield json.dumps(event).encode()


def bodies(happened: Happened, size: int = BATCH) -> list[bytes]:
    """Bodies of `POST /v1/events`."""
    each = list(events(happened))
    return [b"[" + b",".join(each[start : start + size]) + b"]" for start in range(0, len(each), size)]
