"""An import is a job with an id and a reason; its two ends are facts that ingestion records, never a producer."""

from typing import Literal

from uptake.messages.events import Event
from uptake.messages.fields import FreeText, Id


class ImportStarted(Event):
    """Usage of any age follows in batches that carry this job's id; nothing is evaluated until it ends."""

    type: Literal["import.started"]
    import_id: Id
    reason: FreeText


class ImportFinished(Event):
    """All of the job's batches are stored: the last one at `usage_sequence` of USAGE (0 when there was none)."""

    type: Literal["import.finished"]
    import_id: Id
    usage_sequence: int
    accepted: int
    refused: int
