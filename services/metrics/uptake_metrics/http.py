"""The HTTP app of metrics, put together from the routers of `uptake_metrics.answers`. Answers nothing itself."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from uptake.problems import Problem, install
from uptake_metrics.answers import (
    accounts,
    changes,
    correlation,
    explain,
    features,
    growth,
    instances,
    jobs,
    people,
    policies,
    published,
    sales,
    time_to_value,
)
from uptake_metrics.answers.asking import Asking
from uptake_metrics.books import Books
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.user_lists import UserListsOff


def build(asking: Asking, books: Books, rebuilding: Rebuilding, ready: Callable[[], bool], **options: Any) -> FastAPI:
    """The HTTP app; until `ready` every question about numbers is answered 503, not with half of them."""
    app = FastAPI(title="Uptake metrics", docs_url=None, redoc_url=None, **options)  # their pages load from a CDN
    app.include_router(accounts.router(asking))
    app.include_router(features.router(asking))
    app.include_router(correlation.router(asking))
    app.include_router(sales.router(asking))
    app.include_router(jobs.router(asking, rebuilding))
    app.include_router(instances.router(asking))
    app.include_router(growth.router(asking))
    app.include_router(people.router(asking))
    app.include_router(policies.router(asking))
    app.include_router(published.router(asking))
    app.include_router(time_to_value.router(asking))
    app.include_router(changes.router(asking))
    app.include_router(explain.router(asking))
    app.add_api_route("/api/v1/books", books.answer)

    @app.middleware("http")
    async def only_when_ready(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.url.path.startswith("/api/") and not ready():
            return Problem(503, "starting", "the counts are being loaded; see /readyz").answer()
        return await answer(request)

    @app.exception_handler(UserListsOff)
    async def nobody_is_named(request: Request, error: UserListsOff) -> Response:
        return Problem(403, "user_lists_off", f"people of account {error} are counted and not named").answer()

    install(app)
    return app
