"""Answers about long work: imports and rebuilds. Does none of it."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from uptake.problems import Problem
from uptake_metrics import instance_store, worklist
from uptake_metrics.answers.asking import Asking
from uptake_metrics.rebuilding import Progress, Rebuilding


class ImportState(BaseModel):
    """`GET /api/v1/imports/{import_id}`. `done`: everything is counted and evaluated."""

    import_id: str
    reason: str
    state: Literal["running", "applying", "done"]
    usage_sequence: int | None


class RebuildWanted(BaseModel):
    """`POST /api/v1/rebuild`. `check`: compare only."""

    check: bool = False


def router(asking: Asking, rebuilding: Rebuilding) -> APIRouter:
    """`/api/v1/imports...` and `/api/v1/rebuild`."""
    router = APIRouter()

    @router.get("/api/v1/rebuild")
    async def rebuild_state() -> Progress:
        """How far the last rebuild is, and what it found."""
        return rebuilding.progress

    @router.post("/api/v1/rebuild", status_code=202)
    async def rebuild(wanted: RebuildWanted) -> Progress:
        """Recount from the log what it still covers, and put right what differs; one at a time."""
        return rebuilding.request(wanted.check)

    @router.get("/api/v1/imports/{import_id:path}")
    async def import_state(import_id: str) -> ImportState:
        """How far an import is."""
        counted_up_to = asking.counting.position.sequence  # asked first: what is counted is on the worklist by now
        await asking.register.load()  # whose an installation is may have come with the import
        async with asking.engine.connect() as connection:
            rows = await connection.execute(
                text("SELECT reason, usage_sequence FROM metrics.import_job WHERE import_id = :id"), {"id": import_id}
            )
            job = rows.first()
            if job is None:
                raise Problem(404, "unknown_import", f"no import {import_id} has arrived here")
            given = not await instance_store.waits(connection, import_id, asking.register.instances.mapped)
            waiting = await worklist.pending(connection, import_id)  # asked later: what was given is on it by then
        counted = job.usage_sequence is not None and job.usage_sequence <= counted_up_to
        state: Literal["running", "applying", "done"] = "running" if job.usage_sequence is None else "applying"
        if counted and given and not waiting:
            state = "done"
        return ImportState(import_id=import_id, reason=job.reason, state=state, usage_sequence=job.usage_sequence)

    return router
