"""A person's channel for tests: a webhook that keeps what it got, and refuses what alerting did not sign."""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Listens on `url`. Each notice that came has its idempotency key under `key`; the same may come again."""

    def __init__(self, secret: str) -> None:
        self.notices: list[dict[str, Any]] = []
        self.forged = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                parts = dict(part.split("=", 1) for part in self.headers["Uptake-Signature"].split(","))
                signed = hmac.new(secret.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256).hexdigest()
                if hmac.compare_digest(signed, parts["v1"]):
                    receiver.notices.append({"key": self.headers["Idempotency-Key"], **json.loads(body)})
                else:
                    receiver.forged += 1
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
