"""Usage that came without an account, as batches of the account that it is given to. Pure; no I/O, no counting."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from uptake_metrics.activity import PRODUCTION
from uptake_metrics.batches import Batch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One event that an installation sent without an account, as it came; `import_id` is empty for live events."""

    instance: str
    user: str
    feature: str
    environment: str
    actor: str
    occurred_at: datetime
    import_id: str


@dataclass(frozen=True, slots=True)
class Attributed:
    """All rows of `instance` that were given to `account`. `environment` is where the mapping says that they count."""

    instance: str
    account: str
    environment: str

    def environment_of(self, row: Row) -> str:
        """What was sent for production counts where the mapping says: senders that name no environment send that."""
        return self.environment if row.environment == PRODUCTION else row.environment


def batches_of(rows: Iterable[tuple[Row, Attributed]]) -> list[Batch]:
    """One batch for live events, and one for each import."""
    of_import: dict[str, list[tuple[Row, Attributed]]] = defaultdict(list)
    for row, pair in rows:
        of_import[row.import_id].append((row, pair))
    return [_batch(import_id, found) for import_id, found in sorted(of_import.items())]


def _batch(import_id: str, rows: list[tuple[Row, Attributed]]) -> Batch:
    return Batch(
        id="",
        source="",
        received_at=0,
        import_id=import_id or None,
        writer=None,
        acknowledged=None,
        accounts_utf8=[pair.account.encode() for _, pair in rows],
        users_utf8=[row.user.encode() for row, _ in rows],
        features_utf8=[row.feature.encode() for row, _ in rows],
        instants=np.array([(row.occurred_at - _EPOCH) // _MICROSECOND for row, _ in rows], np.int64),
        environments=[pair.environment_of(row) for row, pair in rows],
        actors=[row.actor for row, _ in rows],
        instances=None,
    )
