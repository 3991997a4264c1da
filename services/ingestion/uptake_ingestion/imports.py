"""An import's two ends, kept as facts: it starts once, ends once, and takes events in between only."""

from datetime import datetime

from uptake.messages.imports import ImportFinished, ImportStarted
from uptake_ingestion.facts import FactBook
from uptake_ingestion.rejections import Rejected


class ImportBook:
    """Raises Rejected (404, 409) for what does not fit, and NotStored. An import belongs to one producer."""

    def __init__(self, facts: FactBook) -> None:
        self._facts = facts

    async def start(self, source: str, import_id: str, reason: str, now: datetime) -> None:
        event = ImportStarted(id=import_id, type="import.started", occurred_at=now, import_id=import_id, reason=reason)
        put = await self._facts.put(source, event, now)
        if put.stored["reason"] != reason:
            raise Rejected(409, "import_exists", f"import {import_id} was started with another reason: use a new id")

    async def require_running(self, source: str, import_id: str) -> None:
        await self._require_started(source, import_id)
        if await self._facts.get("import.finished", source, import_id) is not None:
            raise Rejected(409, "import_finished", f"import {import_id} is finished: start another one")

    async def finish(self, source: str, import_id: str, sums: dict[str, int], now: datetime) -> None:
        """`sums`: usage_sequence, accepted, refused, as the client counted them."""
        await self._require_started(source, import_id)
        event = ImportFinished(id=import_id, type="import.finished", occurred_at=now, import_id=import_id, **sums)
        put = await self._facts.put(source, event, now)
        if any(put.stored[name] != number for name, number in sums.items()):
            raise Rejected(409, "import_finished", f"import {import_id} was finished with other sums")

    async def _require_started(self, source: str, import_id: str) -> None:
        if await self._facts.get("import.started", source, import_id) is None:
            raise Rejected(404, "unknown_import", f"there is no import {import_id}: start it with POST /v1/imports")
