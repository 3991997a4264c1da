"""Makes the secrets of one machine, once, readable by their owner only. Secrets never reach an argv or a log."""

import hashlib
import json
import os
import secrets
from pathlib import Path

from uptake_local.instance import Instance

LOCAL_PRODUCER = "local"


def producer_key(instance: Instance) -> str:
    """The ready key of the producer `local`, listed by its hash in the file that ingestion reads."""
    key = secret(instance.key_file)
    listed = producer_keys_file(instance)
    others = listed.read_text().splitlines() if listed.exists() else []
    kept = [line for line in others if line.strip() and json.loads(line).get("producer") != LOCAL_PRODUCER]
    own = json.dumps({"producer": LOCAL_PRODUCER, "key_sha256": hashlib.sha256(key.encode()).hexdigest()})
    write(listed, "\n".join([own, *kept]) + "\n")
    return key


def producer_keys_file(instance: Instance) -> Path:
    return instance.secrets / "producers.jsonl"


def secret(file: Path) -> str:
    """The secret in the file, made when there is none."""
    if not file.exists():
        write(file, secrets.token_hex(24) + "\n")
    return file.read_text().strip()


def write(file: Path, content: str | bytes) -> Path:
    """Whole or not at all, 0600 from its first byte on."""
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content.encode() if isinstance(content, str) else content)
    draft.replace(file)
    return file
