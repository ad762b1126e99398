"""A stored callback: verify, count duplicates, find its operation, and record what it says through the one door.

A signed callback is proof, and so is the late answer to a request of ours that quotes the name which the provider gave
it, telling nobody but us, when it took the request. Any other unsigned one proves nothing: it only makes us ask.
"""

import hashlib
import time
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from gateway import ids, telemetry
from gateway.clock import Clock
from gateway.metrics import METRICS
from gateway.payments.facts import Ask, Proof
from gateway.payments.model import Operation, Root, State
from gateway.store import callbacks as store
from gateway.store.callbacks import StoredCallback
from gateway.store.database import Pool
from gateway.store.vault import Vault
from gateway.telemetry import Origin
from gateway.usecases.brief import callback_url
from gateway.usecases.record_outcome import Recorder
from providers.contract import CallbackRequest, CallbackSpec, CallbackUnreadable, Notice, SignatureInvalid, Succeeded
from providers.redaction import presentable_notice, secrets_of
from providers.registry import PROVIDERS
from providers.signing import matches

PARKED_AGAIN: Final = timedelta(seconds=30)
PARKED_FOR: Final = timedelta(hours=24)

log = structlog.get_logger(__name__)


class CallbackHandler(Struct, frozen=True, kw_only=True):
    """Handles callbacks by id; safe to run twice, and by two workers at once."""

    pool: Pool
    vault: Vault
    recorder: Recorder
    clock: Clock
    public_url: str

    async def handle(self, callback_id: UUID) -> str:
        """Handle one; returns the result that is now stored with it."""
        request_id = telemetry.origin().request_id
        about = {} if request_id is None else {"request_id": request_id}
        with structlog.contextvars.bound_contextvars(callback=ids.show(ids.CALLBACK, callback_id), **about):
            return await self._handle(callback_id)

    async def _handle(self, callback_id: UUID) -> str:
        async with self.pool.acquire() as connection:
            callback = await store.get(connection, callback_id)
        if callback is None or callback.state == "processed":
            return "gone"
        account = await self.vault.account(callback.account_id)
        # Secrets rotate: the newest version verifies; operations keep the version they were sent with.
        settings = await self.vault.settings(account.id, account.settings_version)
        known = PROVIDERS[callback.provider].callback
        assert known is not None, "a provider without callbacks has no address for them"
        spec = known.of(settings)
        url = callback_url(self.public_url, account, callback.operation_id)
        try:
            notices = _notices(msgspec.structs.replace(callback.request, url=url), spec, settings)
        except SignatureInvalid:
            return await self._finish(callback, "forged", None)
        except CallbackUnreadable:
            return await self._finish(callback, "unreadable", None)
        return await self._apply_all(callback, notices, signed=spec.verify is not None)

    async def _apply_all(self, callback: StoredCallback, notices: list[Notice], *, signed: bool) -> str:
        results = []
        for notice in notices:
            operation = await self._find(callback, notice)
            if operation is None:
                results.append("unmatched")
            else:
                results.append(await self._traced(operation, notice, signed=signed))
        key = _event_key(callback, notices)
        waiting = next((n for n, result in zip(notices, results, strict=True) if _may_wait(n, result)), None)
        if waiting is not None and self.clock.now() < callback.received_at + PARKED_FOR:
            return await self._park(callback, waiting, key)
        result = next((each for each in ("applied", "asked") if each in results), "unmatched" if results else "ignored")
        return await self._finish(callback, result, key)

    async def _find(self, callback: StoredCallback, notice: Notice) -> Operation | None:
        async with self.pool.acquire() as connection:
            return await store.find_operation(
                connection,
                callback.account_id,
                references=PROVIDERS[callback.provider].reference,
                operation_id=callback.operation_id,
                reference=notice.reference,
                provider_reference=notice.provider_reference,
            )

    async def _traced(self, operation: Operation, notice: Notice, *, signed: bool) -> str:
        """Apply it within the payment's trace, linked to that of the provider's request (decision 0035)."""
        named = ids.show(ids.OPERATION, operation.id)
        merchant = ids.show(ids.MERCHANT, operation.merchant_id)
        with structlog.contextvars.bound_contextvars(operation=named, merchant=merchant):
            if not telemetry.is_on():
                with telemetry.carrying(Origin(None, telemetry.origin().request_id)):
                    return await self._apply(operation, notice, signed=signed)
            began = time.monotonic()
            async with self.pool.acquire() as connection:
                parent = await store.trace_of(connection, operation)
            name, attributes = f"callback {operation.provider}", {"mypay.operation": named, "mypay.merchant": merchant}
            link = telemetry.origin().traceparent
            with telemetry.span(name, "consumer", parent=parent, link=link, began=began, attributes=attributes) as span:
                result = await self._apply(operation, notice, signed=signed)
                span.set({"mypay.result": result})
                return result

    async def _apply(self, operation: Operation, notice: Notice, *, signed: bool) -> str:
        payment_id, operation_id = operation.payment_id, operation.id
        if signed or _is_awaited(operation, notice):
            proof = Proof(payment_id=payment_id, operation_id=operation_id, outcome=notice.outcome)
            await self.recorder.record(proof)
            return "applied"
        if notice.answer and operation.state is State.SENT:
            return "early"
        name, claim = notice.provider_reference, notice.outcome
        ask = Ask(payment_id=payment_id, operation_id=operation_id, provider_reference=name, claim=claim)
        root = await self.recorder.record(ask)
        return "asked" if root is None or _is_asked(root, root.operations[operation_id], notice) else "early"

    async def _park(self, callback: StoredCallback, notice: Notice, key: str) -> str:
        assert notice.provider_reference is not None
        until = self.clock.now() + PARKED_AGAIN
        async with self.pool.acquire() as connection:
            await store.park(connection, callback.id, notice.provider_reference, key, until=until)
        return "parked"

    async def _finish(self, callback: StoredCallback, result: str, key: str | None) -> str:
        async with self.pool.acquire() as connection:
            if key is not None and await store.seen(connection, callback.account_id, key, callback.id):
                result = "duplicate"
            await store.finish(connection, callback.id, result, key)
        METRICS.callbacks.labels(provider=callback.provider, result=result).inc()
        log.info("callback.handled", provider=callback.provider, result=result)
        return result


def _notices(request: CallbackRequest, spec: CallbackSpec, settings: Struct) -> list[Notice]:
    if spec.verify is not None:
        spec.verify(request, settings)
    secrets = secrets_of(settings)
    return [presentable_notice(notice, secrets) for notice in spec.parse(request)]


def _is_awaited(operation: Operation, notice: Notice) -> bool:
    """Whether it is the answer that the provider still owes us, by its name."""
    awaited, name = operation.awaited, notice.provider_reference
    return notice.answer and awaited is not None and name is not None and matches(name, awaited)


def _is_asked(root: Root, operation: Operation, notice: Notice) -> bool:
    """Whether nothing of a claim is lost: it goes with a query, or names nothing new, or nobody will be asked."""
    claim, query = notice.outcome, root.live_query(operation.id)
    news = isinstance(claim, Succeeded) and claim.provider_reference not in (None, operation.provider_reference)
    coming = query is not None or operation.next_query_at is not None
    return not news or not coming or (query is not None and query.provider_reference == notice.provider_reference)


def _may_wait(notice: Notice, result: str) -> bool:
    """A provider's name that we have not learned yet may come with an answer that is still under way."""
    waits = result == "early" or (result == "unmatched" and notice.reference is None)
    return waits and notice.provider_reference is not None


def _event_key(callback: StoredCallback, notices: list[Notice]) -> str:
    named = next((notice.event_id for notice in notices if notice.event_id), None)
    return named or hashlib.sha256(callback.request.query.encode() + b"\n" + callback.request.body).hexdigest()
