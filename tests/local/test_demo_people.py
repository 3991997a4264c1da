"""What the people of the demo do: once, about alerts that were told; and whose roster is replaced."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from uptake import config
from uptake_alerting import roster_file
from uptake_alerting.roster import Roster
from uptake_cli.problems import Refused
from uptake_local.demo import cast
from uptake_local.demo_people import DEEDS, act, write_roster

ROSTER = (resources.files("uptake_local") / "demo_data" / "roster.yml").read_text(encoding="utf-8")


class Alerting:
    """Answers as alerting does, and remembers what it was told to do. `rows` are one list for each look."""

    def __init__(self, *rows: list[dict[str, Any]], refuses: bool = False) -> None:
        self.rows, self.refuses, self.done = list(rows), refuses, []  # type: ignore[var-annotated]

    async def get(self, *path: str, **params: str) -> str:
        assert (path, params["state"]) == (("alerting", "api", "v1", "alerts"), "open")
        return json.dumps(self.rows.pop(0) if len(self.rows) > 1 else self.rows[0])

    async def tell(self, *path: str, **said: Any) -> str:
        self.done.append((path[3:], said))
        if self.refuses:
            raise Refused("alert_ended")
        return "{}"


def alert(rule: str, account: str, status: str = "delivered") -> dict[str, Any]:
    return {"id": f"{rule}/{account}", "rule": rule, "account": account, "deliveries": [{"status": status}]}


EVERY = [alert(deed.rule, deed.account) for deed in DEEDS]


async def test_each_does_one_thing_about_an_alert_that_was_told() -> None:
    waiting = [alert(deed.rule, deed.account, "pending") for deed in DEEDS]
    alerting = Alerting(waiting, EVERY)
    assert await act(alerting, patience_s=5) == 3  # type: ignore[arg-type]  # it answers like a client
    assert [path for path, _ in alerting.done] == [
        ("alerts", "adoption-below-target/sourcegraph", "ack"),
        ("alerts", "usage-unhealthy/demo-globex", "snooze"),
        ("silences",),
    ]
    assert all(said["via"] == "demo" and said["by"].startswith("ce-") for _, said in alerting.done)
    assert alerting.done[-1][1]["matchers"] == ["account=caronc"]


async def test_what_never_comes_is_left_alone() -> None:
    alerting = Alerting(EVERY[:1])
    assert await act(alerting, patience_s=0.1) == 1  # type: ignore[arg-type]  # it answers like a client
    assert len(alerting.done) == 1


async def test_what_somebody_else_has_stays_theirs() -> None:
    alerting = Alerting(EVERY, refuses=True)
    assert await act(alerting, patience_s=5) == 3  # type: ignore[arg-type]  # it answers like a client


@pytest.mark.parametrize("before", [None, roster_file.SHIPPED], ids=["no file", "the shipped one"])
def test_the_people_come_where_nobody_is(tmp_path: Path, before: str | None) -> None:
    file = tmp_path / "config" / "roster.yml"
    file.parent.mkdir()
    if before is not None:
        file.write_text(before)
    assert write_roster(tmp_path)
    assert file.read_text() == ROSTER
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_roster_that_somebody_filled_stays(tmp_path: Path) -> None:
    file = tmp_path / "config" / "roster.yml"
    file.parent.mkdir()
    file.write_text("people: [{name: ann}]\n")
    assert not write_roster(tmp_path)
    assert file.read_text() == "people: [{name: ann}]\n"


def test_the_roster_is_good_and_has_every_engineer_and_region_of_the_accounts() -> None:
    roster = config.parse(ROSTER, Roster)
    assert {account["owner"] for account in cast()["accounts"]} <= roster.by_name.keys()
    regions = {name for region in roster.regions.values() for name in region.accounts}
    assert {account["region"] for account in cast()["accounts"]} == regions
    assert len(roster.rotations) == 3


def test_the_deeds_are_of_people_and_accounts_that_are_there() -> None:
    owners = {account["account"]: account["owner"] for account in cast()["accounts"]}
    assert [owners[deed.account] for deed in DEEDS] == [deed.by for deed in DEEDS]
