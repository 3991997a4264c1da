"""Answers about installations: whose each is, and what of it waits for an account. Computes no number."""

from fastapi import APIRouter, Response

from uptake.lists import Format, table
from uptake_metrics import installations
from uptake_metrics.answers.asking import Asking
from uptake_metrics.installations import InstanceLine


def router(asking: Asking) -> APIRouter:
    """`/api/v1/instances`."""
    router = APIRouter()

    @router.get("/api/v1/instances", response_model=list[InstanceLine])
    async def instances(format: Format = "json") -> Response:
        """Every installation, those that nobody has mapped first."""
        return table(await installations.lines(asking.engine, asking.register), format, InstanceLine)

    return router
