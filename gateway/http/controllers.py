"""Every controller whose callers need an API key."""

from typing import Final

from litestar import Controller

from gateway.http.accounts import AccountController
from gateway.http.api_keys import ApiKeyController
from gateway.http.audit_events import AuditController
from gateway.http.callback_log import CallbackController
from gateway.http.events import EventController
from gateway.http.payments import PaymentController
from gateway.http.payouts import PayoutController
from gateway.http.providers import ProviderController
from gateway.http.refunds import RefundController
from gateway.http.webhook_endpoints import WebhookDeliveryController, WebhookEndpointController

CONTROLLERS: Final[tuple[type[Controller], ...]] = (
    PaymentController,
    RefundController,
    PayoutController,
    EventController,
    ProviderController,
    AccountController,
    ApiKeyController,
    CallbackController,
    AuditController,
    WebhookEndpointController,
    WebhookDeliveryController,
)
