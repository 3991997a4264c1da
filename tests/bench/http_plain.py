"""The peer of `http`: the same work as a plain Starlette app, as its users write it. One message a request.

`python -m ... PORT NATS_URL`
"""

import hashlib
import hmac
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import nats
import uvicorn
from nats.js import JetStreamContext
from pydantic import Field, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from uptake.messages.events import BusinessEvent, Usage

from .services import KEY

_KNOWN = hashlib.sha256(KEY.encode()).hexdigest()
_EVENTS: TypeAdapter[list[Usage | BusinessEvent]] = TypeAdapter(
    list[Annotated[Usage | BusinessEvent, Field(discriminator="type")]]
)


def build(nats_url: str) -> Starlette:
    broker: list[JetStreamContext] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        client = await nats.connect(nats_url)
        broker.append(client.jetstream())
        yield
        await client.close()

    async def events(request: Request) -> Response:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(hashlib.sha256(key.encode()).hexdigest(), _KNOWN):
            return JSONResponse({"code": "unknown_key"}, 403)
        try:
            accepted = _EVENTS.validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"code": "invalid", "detail": str(error)}, 400)
        await broker[0].publish(
            "usage.v1.0", _EVENTS.dump_json(accepted), stream="USAGE", headers={"Nats-Msg-Id": uuid.uuid4().hex}
        )
        results = [{"id": event.id, "status": "accepted", "reason": None} for event in accepted]
        return JSONResponse({"accepted": len(accepted), "refused": 0, "results": results}, 202)

    async def ready(request: Request) -> Response:
        return Response("ready")

    routes = [Route("/v1/events", events, methods=["POST"]), Route("/readyz", ready)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(build(sys.argv[2]), port=int(sys.argv[1]), access_log=False, http="httptools", loop="asyncio")
