"""Every controller whose callers need a credential; and that of those who come for one."""

from typing import Final

from litestar import Controller

from gateway.http.accounts import AccountController
from gateway.http.admin import MerchantController, StatisticsController, UserController
from gateway.http.api_keys import ApiKeyController
from gateway.http.audit_events import AuditController
from gateway.http.callback_log import CallbackController
from gateway.http.dead_letters import DeadLetterController
from gateway.http.events import EventController
from gateway.http.payments import PaymentController
from gateway.http.payouts import PayoutController
from gateway.http.providers import ProviderController
from gateway.http.refunds import RefundController
from gateway.http.routing import RoutingController
from gateway.http.sign_in import OwnMerchantController, SignInController
from gateway.http.webhook_endpoints import WebhookDeliveryController, WebhookEndpointController

CONTROLLERS: Final[tuple[type[Controller], ...]] = (
    PaymentController,
    RefundController,
    PayoutController,
    EventController,
    ProviderController,
    AccountController,
    RoutingController,
    ApiKeyController,
    CallbackController,
    DeadLetterController,
    AuditController,
    OwnMerchantController,
    MerchantController,
    UserController,
    StatisticsController,
    WebhookEndpointController,
    WebhookDeliveryController,
)
OPEN_CONTROLLERS: Final[tuple[type[Controller], ...]] = (SignInController,)
