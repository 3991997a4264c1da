"""Loads the demo into a running instance through the doors that every producer uses. What it says is `demo_plan`'s."""

import asyncio
import gzip
import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import msgspec
from rich.progress import Progress

from uptake.clock import utc_now
from uptake_cli.client import Client
from uptake_cli.imports import run_import
from uptake_cli.instance import Instance as Address
from uptake_cli.instance import to_copy
from uptake_cli.lines import Line
from uptake_cli.problems import Unreachable
from uptake_cli.screen import progress
from uptake_cli.upload import Tally, upload
from uptake_local import demo_people
from uptake_local.demo_plan import Event, Plan, plan

SETTLE_S = 30.0  # how long the last facts may take to show before the summary is printed anyway
_NOTE = "demo.json"  # in the folder: when it was first loaded
_DATA = resources.files("uptake_local") / "demo_data"


class Running(Protocol):
    """What the demo needs to know of an instance."""

    @property
    def urls(self) -> Mapping[str, str]: ...
    @property
    def key_file(self) -> Path: ...
    @property
    def folder(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What was loaded. `duplicates` are facts that an earlier load brought already; `refused` should be 0."""

    last_day: date
    accounts: int
    imported: int
    live: int
    facts: int
    duplicates: int
    refused: int
    look_at: list[str]


async def load(instance: Running, now: datetime | None = None) -> DemoSummary:
    """Replay the demo data. Safe to repeat, on the same day, on another one and after a crash in the middle."""
    now = now or utc_now()
    is_first = not (instance.folder / _NOTE).exists()
    last_day = _last_day(instance.folder, now)
    demo_people.write_roster(instance.folder)
    planned = await asyncio.to_thread(lambda: plan(records(), cast(), last_day, now.date()))
    async with Client(Address(instance.urls, instance.key_file, instance.folder)) as client:
        with progress() as bar:
            tallies = await _send(client, planned, f"demo-{last_day}-{now.date()}", bar)
            await _until_shown(client, len(planned.profiles), bar)
            if is_first:  # what people did since then is theirs
                bar.add_task("alerts", total=None)
                await demo_people.act(client)
    return DemoSummary(
        last_day=last_day,
        accounts=len(planned.profiles),
        imported=len(planned.history),
        live=len(planned.live),
        facts=len(planned.profiles) + len(planned.business),
        duplicates=sum(tally.duplicate for tally in tallies),
        refused=sum(tally.refused + tally.conflict for tally in tallies),
        look_at=look_at(instance, last_day, now),
    )


def look_at(instance: Running, last_day: date, now: datetime) -> list[str]:
    """Lines to print: commands that work as they stand."""
    uptake = to_copy("uptake", instance.folder)
    key = f"$(cat {shlex.quote(str(instance.key_file))})"
    event = (
        """'{"id": "try-'$(date +%s)'", "type": "usage", "account": "demo-initech", "user": "you", """
        """"feature": "initech/reports", "occurred_at": "'$(date -u +%FT%TZ)'"}'"""
    )
    lines = [
        f"{uptake} accounts             # two invented: initech healthy, globex concerning; 24 real ones, low in usage",
        f"{uptake} kpis caronc          # why a real account is off target",
        f"{uptake} trials               # one is approaching its limit, one is over it",
        f"{uptake} alerts --state open  # told, acked, snoozed, silenced, held as a storm; some critical",
        f"{uptake} oncall who           # three regions",
        f"curl -s {instance.urls['metrics']}/api/v1/accounts/prometheus/kpis",
        f'curl -s -H "Authorization: Bearer {key}" -d {event} {instance.urls["ingestion"]}/v1/events',
    ]
    if last_day < now.date() - timedelta(1):
        lines.append(
            f"This demo ends on {last_day}, when it was first loaded. For a new one choose another --data folder."
        )
    return lines


def cast() -> dict[str, Any]:
    """Who the accounts are: seats as [number, days ago, environment?], all other days as days before the last one."""
    people: dict[str, Any] = json.loads((_DATA / "accounts.json").read_text())
    return people


def records() -> list[dict[str, str]]:
    """The shipped activity, in order of arrival."""
    with gzip.open(str(_DATA / "oss-activity.ndjson.gz")) as file:
        return [msgspec.json.decode(line) for line in file]


def _last_day(folder: Path, now: datetime) -> date:
    """Yesterday, as it was when this folder was first loaded.

    Moved by another day, the same activity would count once more on top of itself, and every number would be wrong.
    """
    note = folder / _NOTE
    try:
        return date.fromisoformat(json.loads(note.read_text())["last_day"])
    except FileNotFoundError:
        last_day = now.date() - timedelta(1)
        note.write_text(json.dumps({"last_day": last_day.isoformat()}) + "\n")
        return last_day


async def _send(client: Client, planned: Plan, import_id: str, bar: Progress) -> list[Tally]:
    async def live(what: str, events: Sequence[Event]) -> Tally:
        task = bar.add_task(what, total=len(events))
        return await upload(client, _lines(events), advance=lambda sent: bar.advance(task, sent))

    before = [await live("accounts", planned.profiles), await live("live events", planned.live)]
    reason = "demo: activity older than live events may be"
    history = await run_import(client, import_id, reason, _lines(planned.history), bar, about=len(planned.history))
    # At the end of an import all that was stored before it is counted too. Licences that overtook the counting would
    # show accounts off target that are not.
    return [*before, *([history] if history else []), await live("licences and trials", planned.business)]


def _lines(events: Sequence[Event]) -> Iterator[Line]:
    return (Line(number, msgspec.json.encode(event)) for number, event in enumerate(events, start=1))


async def _until_shown(client: Client, accounts: int, bar: Progress) -> None:
    """The first look at the screen should find it complete; a slow machine is not a failure."""
    bar.add_task("counting", total=None)
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        try:
            shown = json.loads(await client.get("metrics", "api", "v1", "accounts"))
        except Unreachable:
            shown = []
        if len(shown) >= accounts and any(row["production_date"] and row["seats"] for row in shown):
            return
        await asyncio.sleep(0.25)
