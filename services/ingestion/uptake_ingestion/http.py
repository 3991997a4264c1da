"""The HTTP door. Says what came of each item, and never 202 before the broker stored it. Judges nothing."""

import uuid
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from uptake.clock import utc_now
from uptake.messages.fields import FreeText, Id, Message
from uptake_ingestion.body import Budget, read
from uptake_ingestion.imports import ImportBook
from uptake_ingestion.items import MAX_ITEMS, Item, NotJson, TooManyItems, split
from uptake_ingestion.keys import KeyRing
from uptake_ingestion.meters import NOT_STORED, OVERLOADED
from uptake_ingestion.openapi import document
from uptake_ingestion.publishing import NotStored
from uptake_ingestion.reception import Door, Receipt, Reception
from uptake_ingestion.rejections import Rejected, answer, answer_of

_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_Sum = Annotated[int, Field(strict=True, ge=0, le=2**53)]


M = TypeVar("M", bound=Message)


class StartImport(Message):
    reason: Annotated[FreeText, Field(min_length=1)]
    import_id: Id = Field(default_factory=lambda: uuid.uuid4().hex)


class FinishImport(Message):
    usage_sequence: _Sum
    accepted: _Sum
    refused: _Sum


class HttpDoor:
    def __init__(self, reception: Reception, keys: KeyRing, budget: Budget) -> None:
        self._reception, self._keys, self._budget = reception, keys, budget
        self._imports = ImportBook(reception.facts)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/events", self.events, methods=["POST"]),
            Route("/v1/imports", self.start_import, methods=["POST"]),
            Route("/v1/imports/{import_id:path}/finish", self.finish_import, methods=["POST"]),
            Route("/openapi.json", self.openapi),
        ]

    async def events(self, request: Request) -> Response:
        source = self._keys.admit(request.headers.get("authorization"))
        import_id = request.query_params.get("import_id")
        with self._budget.hold() as hold:
            body = await read(request, hold)
            if import_id is None:
                return answer(_told(await self._take("http", source, request, body)), 202)
            await self._imports.require_running(source, import_id)
            receipt = await self._take("import", source, request, body, import_id)
            return answer(_told(receipt) | {"usage_sequence": receipt.usage_sequence}, 202)

    async def _take(
        self, door: Door, source: str, request: Request, body: bytes, import_id: str | None = None
    ) -> Receipt:
        await self._reception.turn()
        lines, now = _is_lines(request), utc_now()
        receipt = None if lines else await self._reception.take_array(door, source, body, now, import_id)
        return receipt or await self._reception.take(door, source, _split(body, lines), now, import_id)

    async def start_import(self, request: Request) -> Response:
        source = self._keys.admit(request.headers.get("authorization"))
        wanted = await self._parsed(request, StartImport)
        await self._imports.start(source, wanted.import_id, wanted.reason, utc_now())
        return answer({"import_id": wanted.import_id}, 201)

    async def finish_import(self, request: Request) -> Response:
        source = self._keys.admit(request.headers.get("authorization"))
        import_id = request.path_params["import_id"]
        sums = (await self._parsed(request, FinishImport)).model_dump()
        await self._imports.finish(source, import_id, sums, utc_now())
        return answer({"import_id": import_id} | sums)

    async def openapi(self, request: Request) -> Response:
        return answer(document())

    async def _parsed(self, request: Request, model: type[M]) -> M:
        with self._budget.hold() as hold:
            body = await read(request, hold)
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            detail = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems)
            raise Rejected(400, "invalid", detail) from None


def _is_lines(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() in _LINES


def _split(body: bytes, lines: bool) -> list[Item]:
    try:
        return split(body, lines=lines)
    except NotJson:
        raise Rejected(400, "not_json", "send a JSON array of events, one event, or one event a line") from None
    except TooManyItems:
        raise Rejected(413, "too_many", f"a request may hold {MAX_ITEMS} events; send it in parts") from None


def _told(receipt: Receipt) -> dict[str, Any]:
    return {"accepted": receipt.accepted, "refused": receipt.refused, "results": receipt.results}


async def on_rejected(request: Request, error: Exception) -> Response:
    rejected = cast(Rejected, error)  # Starlette's type for handlers knows no more than Exception
    if rejected.status == 429:
        OVERLOADED.inc()
    return answer_of(rejected)


async def on_not_stored(request: Request, error: Exception) -> Response:
    NOT_STORED.labels("http").inc()
    detail = "the broker did not confirm that everything is stored: send all of it again, nothing counts twice"
    return answer_of(Rejected(503, "not_stored", detail, retry_after_s=2))


async def on_http_error(request: Request, error: Exception) -> Response:
    known = cast(HTTPException, error)
    return answer_of(Rejected(known.status_code, "not_here", known.detail))


EXCEPTION_HANDLERS = {Rejected: on_rejected, NotStored: on_not_stored, HTTPException: on_http_error}
