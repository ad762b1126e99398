"""/callbacks/…: what providers send is stored as it came and answered in their own words; and the payer's way back."""

import re
from typing import Any, Final

from litestar import Request, Response, get, route
from litestar.datastructures import State
from litestar.params import FromPath

from gateway import ids, return_pages
from gateway.crash_points import crash_point
from gateway.http import headers
from gateway.http.handling import services_of
from gateway.http.json_body import read_bytes
from gateway.payments.errors import MyPayError
from gateway.payments.facts import Ask
from gateway.payments.preparing import PUBLISH_GRACE
from gateway.services import Services
from gateway.store import callbacks as store
from gateway.store import payments, roots
from gateway.store.callbacks import StoredCallback
from gateway.store.database import CONNECTION_LOST
from gateway.store.directory import AccountRow
from providers.contract import CallbackRequest, CallbackSpec, HttpResponse
from providers.registry import PROVIDERS

CALLBACK_BYTES: Final = 1024 * 1024
_TOKEN: Final = re.compile(r"[\w-]{1,64}", re.ASCII)  # of `secrets.token_urlsafe`
_PATHS: Final = [
    "/callbacks/{provider:str}/{token:str}",
    "/callbacks/{provider:str}/{token:str}/{operation:str}",
]


@route(_PATHS, http_method=["POST", "GET", "PUT"], request_max_body_size=CALLBACK_BYTES, status_code=200)
async def receive_callback(
    request: Request[Any, Any, State], provider: FromPath[str], token: FromPath[str], operation: FromPath[str] = ""
) -> Response[bytes]:
    """Store a callback durably, then acknowledge it. An unknown address is 404 and writes nothing."""
    services = services_of(request)
    spec = PROVIDERS[provider].callback if provider in PROVIDERS else None
    if spec is None or request.method not in spec.methods or _TOKEN.fullmatch(token) is None:
        raise MyPayError("not_found", "There is no such address.")
    try:
        account = await services.vault.by_token(provider, token)
        if account is None:
            raise MyPayError("not_found", "There is no such address.")
        now = services.clock.now()
        callback = StoredCallback(
            id=ids.new(_partition(operation), at_ms=services.clock.epoch_ms()),
            merchant_id=account.merchant_id,
            account_id=account.id,
            provider=provider,
            operation_id=ids.read(ids.OPERATION, operation),
            state="received",
            received_at=now,
            request=await _read(request, await _spec_of(account, spec, services), services),
        )
        async with services.reading() as connection:
            crash_point("callback_before_persist")
            await store.insert(connection, callback, publish_at=now + PUBLISH_GRACE)
            crash_point("callback_after_persist")
    except CONNECTION_LOST:
        raise MyPayError("unavailable") from None
    services.announce_callback(callback.id, provider)
    return _acknowledged(spec.ack(callback.request))


def _partition(operation: str) -> int | None:
    """Callbacks of one operation share its logical partition, so that they are handled in the order they came."""
    named = ids.read(ids.OPERATION, operation)
    return None if named is None else ids.lp_of(named)


async def _spec_of(account: AccountRow, spec: CallbackSpec, services: Services) -> CallbackSpec:
    if spec.for_account is None:  # most providers: nothing needs to be opened to store a callback
        return spec
    return spec.of(await services.vault.settings(account.id, account.settings_version))


async def _read(request: Request[Any, Any, State], spec: CallbackSpec, services: Services) -> CallbackRequest:
    kept = {name: b", ".join(headers.values(request.scope, name.encode())) for name in spec.headers}
    return CallbackRequest(
        method=request.method,
        query=request.scope["query_string"].decode("latin-1"),
        headers={name: value.decode("latin-1").replace("\x00", "") for name, value in kept.items() if value},
        body=await read_bytes(request),
        received_at=services.clock.now(),
    )


def _acknowledged(ack: HttpResponse) -> Response[bytes]:
    kind = ack.headers.get("content-type", "text/plain")
    return Response(ack.content, status_code=ack.status, media_type=kind)


@get("/return/{token:str}")
async def return_page(request: Request[Any, Any, State], token: FromPath[str]) -> Response[bytes]:
    """The payer is back from the provider's page: ask what became of it, and send him on to the merchant."""
    services = services_of(request)
    payment_id = return_pages.read(services.settings, token)
    if payment_id is None:
        raise MyPayError("not_found", "There is no such page.")
    async with services.reading() as connection:
        payment = await payments.get_any(connection, payment_id)
        attempt = None if payment is None else await roots.newest_attempt(connection, payment_id)
    if payment is None or attempt is None:
        raise MyPayError("not_found", "There is no such page.")
    await services.recorder.record(Ask(payment_id=payment_id, operation_id=attempt))
    if payment.details.return_url is None:
        return Response(b"You can close this page.", media_type="text/plain; charset=utf-8")
    onward = return_pages.with_status(payment.details.return_url, ids.show(ids.PAYMENT, payment_id), payment.status)
    return Response(b"", status_code=303, headers={"Location": onward})
