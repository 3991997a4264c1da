"""Loading the demo: over HTTP, in the right order, and again without a conflict."""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from uptake_local.demo import load, look_at
from uptake_local.demo_people import DEEDS

NOW = datetime(2026, 11, 22, 13, 30, tzinfo=UTC)
TOLD = [
    {"id": deed.rule, "rule": deed.rule, "account": deed.account, "deliveries": [{"status": "delivered"}]}
    for deed in DEEDS
]
SHOWN = [{"production_date": "2026-01-01", "seats": 5}] * 26


@dataclass
class Site:
    """Ingestion and metrics at one address; business facts are duplicates the second time, as in the real one."""

    folder: Path
    urls: dict[str, str] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_door: list[tuple[str, int]] = field(default_factory=list)  # door and number of events, in order
    conflicts: int = 0
    deeds: list[str] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)

    @property
    def key_file(self) -> Path:
        return self.folder / "producer.key"

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/api/v1/alerts":
            return 200, TOLD
        return 200, SHOWN if path == "/api/v1/accounts" else {"state": "done"}

    def post(self, path: str, query: str, body: bytes) -> tuple[int, Any]:
        if path.startswith(("/api/v1/alerts/", "/api/v1/silences")):
            self.deeds.append(path.split("/")[-1])
            return 200, {}
        if path.endswith("/finish"):
            self.finished.add(path.split("/")[-2])
        if path != "/v1/events":
            return 201, {}
        if query.removeprefix("import_id=") in self.finished:
            return 409, {"error": "import_finished", "detail": "finished"}
        events = [json.loads(line) for line in gzip.decompress(body).split(b"\n")]
        self.by_door.append((query and "import", len(events)))
        return 202, {"results": [self._result(event) for event in events], "usage_sequence": 7}

    def _result(self, event: dict[str, Any]) -> dict[str, Any]:
        known = self.events.setdefault(event["id"], event)
        self.conflicts += known != event
        again = known is not event and event["type"] != "usage"
        return {"id": event["id"], "status": "duplicate" if again else "accepted", "reason": None}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.key_file.write_text("key")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*site.get(urlsplit(self.path).path))

        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            self._answer(*site.post(parts.path, parts.query, self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    site.urls = {"ingestion": url, "metrics": url, "alerting": url}
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


async def test_live_events_go_before_the_import_whose_end_lets_the_licences_follow(site: Site) -> None:
    summary = await load(site, NOW)
    sent = list(site.events.values())
    assert site.by_door[0] == ("", 26)  # profiles
    imported = [place for place, (door, _) in enumerate(site.by_door) if door == "import"]
    assert imported == list(range(imported[0], len(site.by_door) - 1))  # in one piece, with only the licences after it
    assert {event["type"] for event in sent[-site.by_door[-1][1] :]}.isdisjoint({"usage"})
    assert summary.imported == sum(count for door, count in site.by_door if door == "import") > 50_000
    assert summary.live > 1_000
    assert (summary.last_day, summary.accounts, summary.refused) == (date(2026, 11, 21), 26, 0)


async def test_loading_again_the_same_day_sends_no_history_and_says_duplicate(site: Site) -> None:
    first = await load(site, NOW)
    site.by_door.clear()
    again = await load(site, NOW + timedelta(hours=5))
    assert (first.duplicates, again.duplicates, again.refused) == (0, again.facts, 0)
    assert "import" not in [door for door, _ in site.by_door]
    assert site.conflicts == 0


async def test_the_people_act_after_the_first_load_only(site: Site) -> None:
    await load(site, NOW)
    assert site.deeds == ["ack", "snooze", "silences"]
    assert (site.folder / "config" / "roster.yml").exists()
    await load(site, NOW)
    assert len(site.deeds) == 3


async def test_loading_again_later_repeats_the_same_events_and_says_when_they_end(site: Site) -> None:
    await load(site, NOW)
    before = dict(site.events)
    later = await load(site, NOW + timedelta(days=50))
    assert site.events == before
    assert (later.last_day, later.live, site.conflicts) == (date(2026, 11, 21), 0, 0)
    assert "ends on 2026-11-21" in later.look_at[-1]


def test_the_lines_to_copy_name_the_folder_and_read_the_key_from_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    site = Site(folder, {"ingestion": "http://i", "metrics": "http://m"})
    lines = look_at(site, NOW.date() - timedelta(1), NOW)
    assert all(line.startswith((f"./dev uptake --data '{folder}' ", "curl ")) for line in lines)
    assert f"$(cat '{folder}/producer.key')" in lines[-1]
    assert '"account": "demo-initech"' in lines[-1]  # trying it out adds nobody to a real organisation
