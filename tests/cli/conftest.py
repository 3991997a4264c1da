"""A small Uptake that speaks HTTP on a real socket: it records what it was asked and answers what it was told to."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from uptake_cli.app import main

KEY = "the-key"


@dataclass
class FakeUptake:
    """All three services at one address."""

    data: Path
    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)  # by path, for GET
    replies: dict[str, tuple[int, Any]] = field(default_factory=dict)  # by path, for POST
    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)  # by event id: status and reason
    busy: list[tuple[int, str | None]] = field(default_factory=list)  # what the next POSTs meet: status, Retry-After
    finished_imports: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)  # by import id: the first one stays
    gets: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    posts: list[tuple[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)

    def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        self.gets.append((path, query))
        return self.answers.get(path, (404, {"detail": f"nothing at {path}"}))

    def post(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        if path != "/v1/events":
            said = json.loads(body)
            self.posts.append((path, said))
            if path in self.replies:
                return self.replies[path]
            if path == "/v1/imports" and self.reasons.setdefault(said["import_id"], said["reason"]) != said["reason"]:
                return 409, {"error": "import_exists", "detail": "another reason"}
            return 201, {"import_id": said.get("import_id")}
        if set(query.get("import_id", [])) & self.finished_imports:
            return 409, {"error": "import_finished", "detail": "start another one"}
        lines = body.split(b"\n")
        self.batch_sizes.append(len(lines))
        results = [self._result(line) for line in lines]
        answer: dict[str, Any] = {"results": results}
        if "import_id" in query:
            answer["usage_sequence"] = 40 + len(self.batch_sizes)
        return 202, answer

    def _result(self, line: bytes) -> dict[str, Any]:
        try:
            event = json.loads(line)
        except ValueError:
            return {"id": None, "status": "refused", "reason": "not_json", "detail": "line 2: broken"}
        self.events.append(event)
        status, reason = self.verdicts.get(event["id"], ("accepted", ""))
        return {"id": event["id"], "status": status, "reason": reason or None}


def _handler(fake: FakeUptake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer(*fake.get(parts.path, parse_qs(parts.query)))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if fake.busy:
                status, retry_after = fake.busy.pop(0)
                return self._answer(status, {"detail": "overloaded"}, retry_after)
            parts = urlsplit(self.path)
            if parts.path.startswith("/v1/") and self.headers["Authorization"] != f"Bearer {KEY}":
                return self._answer(403, {"error": "forbidden", "detail": "unknown key"})
            self._answer(*fake.post(parts.path, parse_qs(parts.query), body))

        def _answer(self, status: int, content: Any, retry_after: str | None = None) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if retry_after is not None:
                self.send_header("Retry-After", retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeUptake]:
    """A running instance at `fake.data`, found through UPTAKE_DATA."""
    fake = FakeUptake(tmp_path / "uptake")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    fake.data.mkdir()
    urls = dict.fromkeys(("ingestion", "metrics", "alerting"), fake.url)
    (fake.data / "instance.json").write_text(json.dumps({"urls": urls, "ports": {}, "pid": 1}))
    (fake.data / "producer.key").write_text(KEY + "\n")
    monkeypatch.setenv("UPTAKE_DATA", str(fake.data))
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def ask() -> Callable[..., Result]:
    """`ask(*arguments)`: what `uptake` says to them; `stdin`: what somebody types."""

    def ask(*arguments: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(main, list(map(str, arguments)), input=stdin)

    return ask


@pytest.fixture
def shown(fake: FakeUptake, ask: Callable[..., Result]) -> Callable[..., list[str]]:
    """`shown(path, answer, *arguments)`: the lines that are shown when the API answers so, words one space apart."""

    def shown(path: str, answer: Any, *arguments: object) -> list[str]:
        fake.answers[path] = (200, answer)
        result = ask(*arguments)
        assert result.exit_code == 0, result.output
        return [" ".join(line.split()) for line in result.stdout.splitlines()]

    return shown
