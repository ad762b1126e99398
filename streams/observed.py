"""What the executor says about an operation: in its log lines, its metrics and its spans."""

import re

import structlog

from gateway import ids, telemetry
from gateway.metrics import METRICS
from gateway.payments.model import Operation, Root
from gateway.payments.views import public_id
from gateway.telemetry import Nothing, Origin
from providers.contract import Declined, Outcome
from providers.transport import Exchange


def word(outcome: Outcome) -> str:
    """An outcome as metrics, spans and logs name it: succeeded, action_required, not_sent, …"""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(outcome).__name__).lower()


def bind(root: Root, operation: Operation, origin: Origin) -> None:
    """Have every log line of this task say what it is about."""
    request = {} if origin.request_id is None else {"request_id": origin.request_id}
    structlog.contextvars.bind_contextvars(
        payment=public_id(root.payment),
        operation=ids.show(ids.OPERATION, operation.id),
        merchant=ids.show(ids.MERCHANT, operation.merchant_id),
        **request,
    )


def span(root: Root, operation: Operation, origin: Origin, *, began: float) -> Nothing:
    """The span of a claimed operation: from the record that brought it, else from the payment's row."""
    return telemetry.span(
        f"{operation.verb} {operation.provider}",
        "consumer",
        parent=origin.traceparent or root.payment.traceparent,
        began=began,
        attributes=_attributes(root, operation) if telemetry.is_on() else telemetry.NONE,
    )


def count(operation: Operation, outcome: Outcome, seconds: float) -> None:
    """A call to a provider has ended with this outcome."""
    provider, verb = operation.provider, operation.verb
    METRICS.operations.labels(provider=provider, verb=verb, outcome=word(outcome)).inc()
    METRICS.provider_seconds.labels(provider=provider, verb=verb).observe(seconds)
    if isinstance(outcome, Declined):
        METRICS.declines.labels(provider=provider, code=outcome.code).inc()


def trace(operation: Operation, exchange: Exchange) -> None:
    """One request to the provider. Its path may name a payer, and its query a key: neither is shown."""
    telemetry.ended(
        f"{exchange.request.method} {operation.provider}",
        "client",
        began=exchange.began,
        failure=exchange.failure,
        attributes={
            "http.request.method": exchange.request.method,
            "http.response.status_code": None if exchange.response is None else exchange.response.status,
            "mypay.provider": operation.provider,
        },
    )


def _attributes(root: Root, operation: Operation) -> telemetry.Attributes:
    return {
        "mypay.payment": public_id(root.payment),
        "mypay.operation": ids.show(ids.OPERATION, operation.id),
        "mypay.merchant": ids.show(ids.MERCHANT, operation.merchant_id),
        "mypay.account": ids.show(ids.ACCOUNT, operation.account_id),
        "mypay.provider": operation.provider,
        "mypay.verb": operation.verb,
    }
