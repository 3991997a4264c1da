"""Answers about people who were erased: what was done, where, and what remains. Names nobody; erases nobody.

An erasure is asked for with a fact `user.deleted`, at ingestion's door like every other fact.
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from uptake.lists import Format, table
from uptake.problems import Problem
from uptake_metrics import erasure_store
from uptake_metrics.answers.asking import Asking
from uptake_metrics.erasure_store import Job

#: What an erasure does not reach; docs/erasure.md says what to do about each.
REMAINS = (
    "backups made before: after restoring one, erase again",
    "lists and exports that were downloaded before",
    "the database's own files, until it has vacuumed its tables and recycled its log",
    "ids that a producer wrote into free text, or into the name of a feature",
)


class Receipt(BaseModel):
    """`GET /api/v1/erasures/{id}`. It never says who was erased."""

    id: str = Field(description="of the fact that asked for it: the last part of its subject in FACTS")
    account: str
    state: Literal["waiting", "searching", "replacing", "done"]
    asked_at: datetime
    finished_at: datetime | None
    found: bool | None = Field(
        description="whether anything that was stored named such a person, besides the wish to erase them; null until"
        " it is done. False of a slip in the id, and of whoever was erased before: the id is suppressed all the same"
    )
    tables: dict[str, int] = Field(description="rows that named the person, by table; of activity_mask, user masks")
    streams: dict[str, int] = Field(description="messages that named the person, by stream; known once it is done")
    remains: list[str]


def router(asking: Asking) -> APIRouter:
    """`/api/v1/erasures...`."""
    router = APIRouter()

    @router.get("/api/v1/erasures", response_model=list[Receipt])
    async def erasures(
        fact: Annotated[str | None, Query(description="only the one that the fact of this id asked for")] = None,
        format: Format = "json",
    ) -> Response:
        """Every erasure, the newest first."""
        async with asking.engine.connect() as connection:
            jobs = await erasure_store.jobs(connection, fact)
        return table([_receipt(job) for job in jobs], format, Receipt)

    @router.get("/api/v1/erasures/{erasure}")
    async def erasure(erasure: str) -> Receipt:
        """What was done for one erasure."""
        async with asking.engine.connect() as connection:
            job = await erasure_store.job(connection, erasure)
        if job is None:
            raise Problem(404, "unknown_erasure", f"no erasure {erasure} has been asked for here")
        return _receipt(job)

    return router


def _receipt(job: Job) -> Receipt:
    return Receipt.model_validate(
        {
            "id": job.id,
            "account": job.account,
            "state": job.state,
            "asked_at": job.asked_at,
            "finished_at": job.finished_at,
            "found": job.receipt.get("found") if job.state == erasure_store.DONE else None,
            "tables": job.receipt.get("tables", {}),
            "streams": job.receipt.get("streams", {}),
            "remains": REMAINS,
        }
    )
