"""A channel that a person can see: a webhook on this machine that prints each notice as a line. Forwards nothing.

It takes only what alerting signed, so that a line here proves that delivery and signature work end to end.
"""

import hashlib
import hmac
import json
import re
import time
from collections import deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

MAX_BODY_BYTES = 256 * 1024
MAX_SKEW_S = 300
_REMEMBERED = 10_000

_ROUTES = """\
# Where alerts go. Written for this machine: every notice appears as a line of `uptake up`, through the webhook below.
# To reach people, add a channel of type `slack` or `webhook`, and name in `serves` whose accounts it is for.

channels:
  inbox:
    type: webhook
    url: http://127.0.0.1:{port}/hook
    secret_file: {secret}
    allow_private: true   # this target is on loopback, which is refused otherwise
    serves: ["*"]
default: [inbox]
"""


def write_routes(config: Path, port: int, secret_file: Path) -> None:
    """Routes that lead here, unless somebody wrote others; our own follow a change of port or folder."""
    file, secret = config / "routes.yml", json.dumps(str(secret_file))  # JSON is YAML, well quoted
    ours = re.escape(_ROUTES.format(port="PORT", secret=secret)).replace("PORT", "[0-9]+")
    ours = ours.replace(re.escape(secret), '".*"').replace(re.escape('["*"]'), r"\[.*\]")  # it served nobody once
    if not file.exists() or re.fullmatch(ours, file.read_text()):
        file.write_text(_ROUTES.format(port=port, secret=secret))


def problem(signature: str | None, key: bytes, body: bytes, now_s: float) -> str | None:
    """Why this was not signed by alerting just now; None when it was. `signature` is the header Uptake-Signature."""
    parts = dict(part.partition("=")[::2] for part in (signature or "").split(","))
    timestamp, given = parts.get("t", ""), parts.get("v1", "")
    if not (timestamp.isascii() and timestamp.isdigit()):
        return "not signed"
    expected = hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.encode()):
        return "signed with another secret"
    return None if abs(now_s - int(timestamp)) <= MAX_SKEW_S else "signed too long ago"


def readable(body: bytes) -> str:
    """One line, whatever the customer is called. Raises ValueError when it is no notice."""
    try:
        notice = json.loads(body)
        words = [notice["headline"], *notice["lines"][-1:]]
        text = "  ".join(str(part) for part in words)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("not a notice") from None
    return "".join(c if c.isprintable() else " " for c in text)


class _Handler(BaseHTTPRequestHandler):
    server: "Inbox"
    timeout = 10  # a caller that stalls does not hold its thread for ever

    def do_GET(self) -> None:
        """For readiness: it listens, therefore it is ready."""
        self._answer(HTTPStatus.OK)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= MAX_BODY_BYTES):
            return self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(int(length))
        why = problem(self.headers.get("Uptake-Signature"), self.server.key, body, time.time())
        if why is not None:
            click.echo(f"refused a notice: {why}")
            return self._answer(HTTPStatus.UNAUTHORIZED)
        try:
            self.server.show(self.headers.get("Idempotency-Key"), readable(body))
        except ValueError:
            return self._answer(HTTPStatus.BAD_REQUEST)
        self._answer(HTTPStatus.NO_CONTENT)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The notices are the log."""


class Inbox(ThreadingHTTPServer):
    """Prints every notice once, though a sender that saw no answer sends it again."""

    daemon_threads = True

    def __init__(self, port: int, key: bytes) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.key = key
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)

    def show(self, delivery: str | None, line: str) -> None:
        if delivery in self._seen:
            return
        if delivery:
            self._seen.append(delivery)
        click.echo(line)


@click.command()
@click.option("--port", required=True, type=int, help="Loopback port to listen on.")
@click.option("--secret-file", required=True, type=click.Path(path_type=Path), help="What alerting signs with.")
def main(port: int, secret_file: Path) -> None:
    """Print the notices that alerting sends to this machine."""
    with Inbox(port, secret_file.read_text().strip().encode()) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
