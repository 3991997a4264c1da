"""Starts `uptake-metrics` with one more task, which notes how long the event loop stood still. Used by `scrape`."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from uptake.start import start
from uptake_metrics.app import Settings, build

_EVERY_S = 0.002


class Heart:
    """`blocked_s`: how much later than asked for the loop came back, at most, since the last look."""

    def __init__(self) -> None:
        self._blocked_s = 0.0

    async def beat(self) -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(_EVERY_S)
            self._blocked_s = max(self._blocked_s, time.perf_counter() - asked - _EVERY_S)

    async def look(self) -> dict[str, float]:
        blocked_s, self._blocked_s = self._blocked_s, 0.0
        return {"blocked_s": blocked_s}


def with_heart(settings: Settings) -> FastAPI:
    app, heart = build(settings), Heart()
    live = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        beating = asyncio.create_task(heart.beat())
        async with live(app):
            yield
        beating.cancel()

    app.router.lifespan_context = lifespan
    app.add_api_route("/bench/loop", heart.look)
    return app


if __name__ == "__main__":
    sys.exit(start("metrics", Settings, with_heart))
