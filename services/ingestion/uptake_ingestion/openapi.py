"""The description of the HTTP door, generated from the message classes. Serves no page, only the document."""

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from uptake.messages.events import EVENT_CLASSES

_OBJECT = {"schema": {"type": "object"}}
_STATUSES = {
    "400": "not JSON at all, or not whole",
    "401": "no key",
    "403": "a key that belongs to no producer",
    "408": "the body did not arrive in time",
    "413": "too large: 16 KiB an event, 1,000 events and 1 MiB a request",
    "415": "an encoding other than gzip",
    "429": "overloaded: see Retry-After",
    "503": "the broker did not confirm that everything is stored: send all of it again",
}
_IMPORT_ID = {"name": "import_id", "schema": {"type": "string"}}


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    _, schemas = models_json_schema(
        [(model, "validation") for model in EVENT_CLASSES.values()], ref_template="#/components/schemas/{model}"
    )
    event = {"oneOf": [{"$ref": f"#/components/schemas/{model.__name__}"} for model in EVENT_CLASSES.values()]}
    body = {"application/json": {"schema": {"oneOf": [event, {"type": "array", "items": event}]}}}
    lines = {"application/x-ndjson": {"schema": {"type": "string"}}}
    finish = _operation("End an import", {"200": "finished"}, [_IMPORT_ID | {"in": "path", "required": True}])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Uptake ingestion", "version": version("uptake")},
        "security": [{"key": []}],
        "paths": {
            "/v1/events": {
                "post": _operation("Send events", {"202": "a result for each item"}, [_IMPORT_ID | {"in": "query"}])
                | {"requestBody": {"required": True, "content": body | lines}}
            },
            "/v1/imports": {"post": _operation("Start an import", {"201": "started"})},
            "/v1/imports/{import_id}/finish": {"post": finish},
        },
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(summary: str, good: dict[str, str], parameters: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    responses = {
        status: {"description": text, "content": {"application/json": _OBJECT}}
        for status, text in (good | _STATUSES).items()
    }
    return {"summary": summary, "parameters": parameters or [], "responses": responses}
