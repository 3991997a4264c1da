"""Who sends: the producers' keys, of which only hashes are kept. Reloads the file when it changes."""

import hashlib
import hmac
from pathlib import Path

import structlog
from pydantic import Field

from uptake.messages.fields import Message, Slug
from uptake_ingestion.rejections import Rejected

_log = structlog.get_logger(__name__)


class ProducerKey(Message):
    """One line of the keys file. A producer may have several keys while it changes them."""

    producer: Slug
    key_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class KeyRing:
    """A bad or missing file keeps the last good keys; without any, nobody is let in."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[ProducerKey, ...] = ()

    def admit(self, authorization: str | None) -> str:
        """The producer that sends. Raises Rejected: 401 without a key, 403 with a wrong one."""
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Rejected(401, "no_key", "send your producer key: Authorization: Bearer KEY")
        producer = self._producer_of(key.strip())
        if producer is None:
            raise Rejected(403, "unknown_key", "this key belongs to no producer")
        return producer

    def _producer_of(self, key: str) -> str | None:
        self._reload()
        digest = hashlib.sha256(key.encode("latin-1")).hexdigest()  # header text is latin-1: these are the bytes sent
        found = [k.producer for k in self._keys if hmac.compare_digest(k.key_sha256, digest)]
        return found[0] if found else None

    def _reload(self) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._stamp = stamp
                self._keys = parse(self._path.read_text())
                _log.info("producer keys loaded", keys=len(self._keys))
        except (OSError, ValueError) as error:
            _log.warning("producer keys not loaded, the last good ones stay", error=str(error))


def parse(text: str) -> tuple[ProducerKey, ...]:
    """JSON lines. Raises ValueError that names the line."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                keys.append(ProducerKey.model_validate_json(line))
            except ValueError:
                raise ValueError(f"line {number} is not a producer and a key_sha256") from None
    return tuple(keys)
