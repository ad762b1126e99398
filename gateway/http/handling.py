"""What every controller for merchants needs: who asks, what this process works with, and answers of JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from litestar import Request, Response
from litestar.datastructures import State

from gateway import ids
from gateway.http import cursors
from gateway.http.context import current
from gateway.http.cursors import AfterId, PageQuery
from gateway.http.idempotency import optional_key
from gateway.http.json_body import Body, fingerprint_of
from gateway.http.principal import Principal
from gateway.payments.errors import MyPayError
from gateway.services import Services
from gateway.usecases.configure import Asker

Authenticated: TypeAlias = Request[Principal, Any, State]
JSON: Final = "application/json"


def services_of(request: Request[Any, Any, State]) -> Services:
    """What this process works with."""
    services: Services = request.app.state.services
    return services


def asker(request: Authenticated, body: Body[Any] | None = None, *, repeatable: bool = False) -> Asker:
    """Who asks; `repeatable`: with the Idempotency-Key, if there is one. Raises `idempotency_key_invalid`."""
    key = optional_key(request.scope) if repeatable else None
    return Asker(
        merchant_id=request.user.merchant_id,
        livemode=request.user.livemode,
        actor=request.user.actor,
        ip=current().ip,
        request_id=current().request_id,
        key=key,
        fingerprint=b"" if key is None or body is None else fingerprint_of(request, body),
    )


def visitor(*, actor: str = "anonymous") -> Asker:
    """Who asks the installation itself; by default somebody who has not signed in yet."""
    request = current()
    return Asker(merchant_id=ids.NIL, livemode=False, actor=actor, ip=request.ip, request_id=request.request_id)


def answer(
    content: bytes, status: int = 200, headers: Mapping[str, str] | None = None, *, replayed: bool = False
) -> Response[bytes]:
    """JSON that is encoded already."""
    extra = {"Idempotency-Replayed": "true"} if replayed else {}
    return Response(content, status_code=status, media_type=JSON, headers={**(headers or {}), **extra})


def read_id(prefix: str, text: str, what: str) -> UUID:
    """The UUID of an id in a path. Raises 404; `what` names the object ("payment")."""
    found = ids.read(prefix, text)
    if found is None:
        raise missing(what)
    return found


def missing(what: str) -> MyPayError:
    """The 404 for an object that does not exist, is another merchant's or of the other mode."""
    return MyPayError("not_found", f"There is no such {what}.")


def after_id(query: PageQuery) -> UUID | None:
    """Where a list that runs by id goes on. Raises `invalid_cursor`."""
    return None if query.after is None else cursors.decode(AfterId, query.after).id


def page_by_id(found: Sequence[tuple[UUID, bytes]], limit: int) -> Response[bytes]:
    """A page of a list that runs by id; `found` has one object more than `limit` where more follow."""
    shown, has_more = found[:limit], len(found) > limit
    following = AfterId(shown[-1][0]) if has_more else None
    return answer(cursors.page([content for _, content in shown], has_more=has_more, following=following))
