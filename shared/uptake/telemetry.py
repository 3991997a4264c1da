"""What a process tells about itself: logs, Prometheus metrics, health. Never about customers, never a secret."""

import asyncio
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Literal

import stamina
import structlog
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from stamina.instrumentation import RetryDetails
from structlog.typing import EventDict, Processor, WrappedLogger

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

_CHECK_S = 2.0

Check = Callable[[], str | Awaitable[str | None] | None]

disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated; drops a series per counter
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


class Health:
    """Named checks of what the process needs. A check returns None when all is well, else the reason in words."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    @property
    def names(self) -> list[str]:
        return list(self._checks)

    async def problems(self) -> dict[str, str]:
        """What is not ready, by name; empty when everything is."""
        reasons = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
        return {name: reason for name, reason in zip(self._checks, reasons, strict=True) if reason is not None}


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_S):
            answer = check()
            return await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        return f"the check failed: {type(error).__name__}"


async def _readiness(health: Health) -> bytes:
    """The same as `/readyz`, for those who look at metrics only."""
    told = CollectorRegistry()
    ready = Gauge("uptake_ready", "1 when what the process needs is there: see /readyz", ["check"], registry=told)
    problems = await health.problems()
    for name in health.names:
        ready.labels(name).set(name not in problems)
    return generate_latest(told)


async def _one_by_one(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Of megabytes in one piece, the copies alone hold the event loop."""
    for piece in pieces:
        yield piece


def routes(
    health: Health, registry: CollectorRegistry = REGISTRY, extra: Callable[[], Awaitable[list[bytes]]] | None = None
) -> "list[Route]":
    """`/healthz`: the process runs. `/readyz`: 503 names what is not ready. `/metrics`: `extra`'s pieces appended."""
    from starlette import responses  # with a service's extra only
    from starlette.routing import Route

    async def healthz(request: "Request") -> "Response":
        return responses.PlainTextResponse("ok\n")

    async def readyz(request: "Request") -> "Response":
        problems = await health.problems()
        return responses.JSONResponse(
            {"ready": not problems, "not_ready": problems}, status_code=503 if problems else 200
        )

    async def metrics(request: "Request") -> "Response":
        pieces = [generate_latest(registry), await _readiness(health), *(await extra() if extra else ())]
        return responses.StreamingResponse(_one_by_one(pieces), headers={"content-type": CONTENT_TYPE_LATEST})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


def configure_logging(service: str, log_format: Literal["console", "json"]) -> None:
    """Everything to stdout, one line an event, also what nats, faststream and uvicorn log. Levels from INFO on."""

    def name_service(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    before: list[Processor] = [
        name_service,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=_last(log_format)))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in ("nats", "faststream", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in ("alembic", "faststream", "httpx2", "uvicorn"):  # what they say of a normal day fills the screen
        logging.getLogger(name).setLevel(logging.WARNING)
    stamina.instrumentation.set_on_retry_hooks([_log_retry])


def _last(log_format: Literal["console", "json"]) -> list[Processor]:
    """Tracebacks without local variables: those hold passwords and customers' data."""
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if log_format == "json":
        return [clean, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return [clean, renderer]


def _log_retry(details: RetryDetails) -> None:
    """stamina's own hook prints the arguments of the call, secrets included."""
    structlog.get_logger().warning(
        "retry",
        callable=details.name,
        retry=details.retry_num,
        wait_s=round(details.wait_for, 3),
        error=type(details.caused_by).__name__,
    )
