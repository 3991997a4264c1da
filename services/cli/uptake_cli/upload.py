"""Sends events to ingestion, request by request, and counts the answers. Knows no files and prints nothing."""

import gzip
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from uptake_cli.client import Client
from uptake_cli.lines import Line, requests

SHOWN_REFUSALS = 20


@dataclass(slots=True)
class Tally:
    """What became of the events. `refusals` keeps the first few of what was not taken: refused or in conflict."""

    accepted: int = 0
    duplicate: int = 0
    conflict: int = 0
    refused: int = 0
    usage_sequence: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)

    @property
    def all_taken(self) -> bool:
        return not self.refused and not self.conflict

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _add(self, line: Line, status: str, event_id: str | None, reason: str | None) -> None:
        setattr(self, status, getattr(self, status) + 1)
        if status in ("refused", "conflict") and len(self.refusals) < SHOWN_REFUSALS:
            self.refusals.append({"line": line.number, "id": event_id, "status": status, "reason": reason})

    def add_unsendable(self, line: Line) -> None:
        self._add(line, "refused", None, line.problem)

    def add_answer(self, sent: list[Line], answer: dict[str, Any]) -> None:
        """`results` of the answer stand in the order of what was sent."""
        self.usage_sequence = max(self.usage_sequence, answer.get("usage_sequence") or 0)
        for line, result in zip(sent, answer["results"], strict=True):
            self._add(line, result["status"], result.get("id"), _reason(result))


def _reason(result: dict[str, Any]) -> str | None:
    """The service counts lines of its request, which are not the lines of the file."""
    detail = re.sub(r"^line \d+: ", "", result.get("detail") or "")
    return ": ".join(part for part in (result.get("reason"), detail) if part) or None


async def upload(
    client: Client, found: Iterable[Line], import_id: str | None = None, advance: Callable[[int], None] | None = None
) -> Tally:
    """Send everything; `advance` hears after every request how many events it covered."""
    tally = Tally()
    for group in requests(found):
        sent = _sendable(group)
        for line in group if not sent else (line for line in group if not line.body):
            tally.add_unsendable(line)
        if sent:
            tally.add_answer(sent, await _post(client, sent, import_id))
        if advance:
            advance(len(group))
    return tally


def _sendable(group: list[Line]) -> list[Line]:
    """Broken lines go along, so that the service can keep them. A body of nothing else it would refuse whole."""
    sendable = [line for line in group if line.body]
    return sendable if any(line.problem is None for line in sendable) else []


async def _post(client: Client, sent: list[Line], import_id: str | None) -> dict[str, Any]:
    body = gzip.compress(b"\n".join(line.body for line in sent), compresslevel=1, mtime=0)
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    answer: dict[str, Any] = await client.post("/v1/events", body, headers, import_id=import_id)
    return answer
