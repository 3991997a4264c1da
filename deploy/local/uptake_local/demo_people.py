"""The people of the demo: who is on call, and what they did about some of the alerts. Evaluates and sends nothing.

Their words go through the doors that everybody uses; an instance whose roster somebody has filled keeps it.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from uptake_cli.client import Client
from uptake_cli.problems import Refused, Unreachable

PATIENCE_S = 30.0  # how long the alerts may take to be there and told
_ROSTER = resources.files("uptake_local") / "demo_data" / "roster.yml"
_EMPTY = "\npeople: []\n"  # how the roster ends that alerting has written, and nobody has filled


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody does about the alert of a rule about an account, or (`silence`) about all of that account."""

    verb: str
    rule: str
    account: str
    by: str
    fields: Mapping[str, str] = field(default_factory=dict)


DEEDS = (
    Deed("ack", "adoption-below-target", "sourcegraph", "ce-dana", {"comment": "Two more teams start next week"}),
    Deed("snooze", "usage-unhealthy", "demo-globex", "ce-mara", {"for": "7d", "comment": "We meet them on Thursday"}),
    Deed(
        "silence",
        "adoption-below-target",
        "caronc",
        "ce-omar",
        {"for": "14d", "comment": "They move to another organisation"},
    ),
)


def write_roster(folder: Path) -> bool:
    """The demo's people, unless somebody has filled the file. It is in force before the first alert fires."""
    file = folder / "config" / "roster.yml"
    if file.exists() and not file.read_text(encoding="utf-8").endswith(_EMPTY):
        return False
    draft = file.with_suffix(".new")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(_ROSTER.read_text(encoding="utf-8"), encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(file)
    return True


async def act(client: Client, deeds: Sequence[Deed] = DEEDS, patience_s: float = PATIENCE_S) -> int:
    """Do each as soon as its alert was told; how many were done. An alert that does not come in time is left alone."""
    waiting, deadline = list(deeds), time.monotonic() + patience_s
    while waiting and time.monotonic() < deadline:
        told = await _told(client)
        ready = [deed for deed in waiting if (deed.rule, deed.account) in told]
        for deed in ready:
            await _do(client, deed, told[deed.rule, deed.account])
            waiting.remove(deed)
        if waiting:
            await asyncio.sleep(0.5)
    return len(deeds) - len(waiting)


async def _told(client: Client) -> dict[tuple[str, str], str]:
    """The ids of open alerts that somebody heard of, by rule and account."""
    try:
        rows: list[dict[str, Any]] = json.loads(
            await client.get("alerting", "api", "v1", "alerts", state="open", limit="1000")
        )
    except Unreachable:
        return {}
    heard = (row for row in rows if any(notice["status"] == "delivered" for notice in row["deliveries"]))
    return {(row["rule"], row["account"]): row["id"] for row in heard}


async def _do(client: Client, deed: Deed, alert: str) -> None:
    said = {"by": deed.by, "via": "demo", **deed.fields}
    try:
        if deed.verb == "silence":
            await client.tell("alerting", "api", "v1", "silences", matchers=[f"account={deed.account}"], **said)
        else:
            await client.tell("alerting", "api", "v1", "alerts", alert, deed.verb, **said)
    except Refused:
        pass  # it ended, or somebody else has it: theirs is the later word
