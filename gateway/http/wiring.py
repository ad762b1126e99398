"""What every application of ours is made with: strict limits, our problems, and the context around it all.

app = Litestar(route_handlers=[*my_handlers, *base_routes(checks, metrics_token=None)], **base_kwargs(url))
asgi = RequestContext(app)      # what the server runs
"""

from collections.abc import Mapping
from typing import TypedDict

from litestar.handlers import HTTPRouteHandler
from litestar.types import ExceptionHandlersMap

from gateway.health import Check
from gateway.http import health, problems
from gateway.http.error_pages import error_page
from gateway.http.json_body import BODY_LIMIT
from gateway.store.gauges import Refresh


class BaseKwargs(TypedDict):
    """Keyword arguments of `Litestar(…)`."""

    exception_handlers: ExceptionHandlersMap
    request_max_body_size: int
    debug: bool
    pdb_on_exception: bool
    logging_config: None


def base_kwargs(public_url: str) -> BaseKwargs:
    """What the application is made with; `public_url` is where clients reach it."""
    return BaseKwargs(
        exception_handlers=problems.handlers(public_url.rstrip("/")),
        request_max_body_size=BODY_LIMIT,
        debug=False,  # stated, or LITESTAR_DEBUG of the environment would show stacks
        pdb_on_exception=False,
        logging_config=None,  # gateway.logs has set logging up
    )


def base_routes(
    checks: Mapping[str, Check], *, metrics_token: str | None, refresh: Refresh | None = None
) -> list[HTTPRouteHandler]:
    """The handlers that every application has: error pages, health and metrics."""
    return [error_page, *health.routes(checks, metrics_token=metrics_token, refresh=refresh)]
