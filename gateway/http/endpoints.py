"""The operations: one row for each, from which the OpenAPI document and the reference page are made.

The rows exist because handlers read bodies strictly from bytes, which no framework can describe; a test compares them
with the routes that there are.
"""

from typing import Final, Literal

from msgspec import UNSET, Struct, UnsetType

from gateway.catalogue import ProviderObject
from gateway.http.accounts import AccountQuery, CreateAccount, UpdateAccount
from gateway.http.admin import CreateMerchant, CreateUser, MerchantQuery, StatisticsQuery, UpdateUser, UserQuery
from gateway.http.api_keys import ApiKeyQuery, CreateApiKey, RotateApiKey
from gateway.http.audit_events import AuditQuery, AuditVerification, VerifyQuery
from gateway.http.callback_log import CallbackQuery
from gateway.http.dead_letters import DeadLetterQuery
from gateway.http.events import EventQuery, EventStreamQuery
from gateway.http.payments import PaymentQuery, TimelineQuery
from gateway.http.payouts import PayoutQuery
from gateway.http.providers import CatalogueQuery
from gateway.http.refunds import RefundQuery
from gateway.http.scopes import of_route
from gateway.http.sign_in import OwnMerchantQuery, Refresh, SignedOut, SignIn, SignOut, TokensObject
from gateway.http.webhook_endpoints import (
    CreateWebhookEndpoint,
    ReplayWebhooks,
    UpdateWebhookEndpoint,
    WebhookDeliveryQuery,
    WebhookEndpointQuery,
)
from gateway.payments.errors import Code
from gateway.payments.requests import (
    CapturePayment,
    ConfirmPayment,
    CreatePayment,
    CreatePayout,
    CreateRefund,
    Nothing,
    ResolvePayment,
)
from gateway.payments.views import (
    EventObject,
    PaymentObject,
    PaymentWithOperation,
    PayoutObject,
    PayoutWithOperation,
    RefundObject,
)
from gateway.scopes import InstallationResource, Resource
from gateway.usecases.audit_trail import AuditEventObject
from gateway.usecases.manage_accounts import AccountObject
from gateway.usecases.manage_api_keys import ApiKeyObject, NewApiKeyObject
from gateway.usecases.manage_merchants import MerchantObject, NewMerchantObject
from gateway.usecases.manage_users import NewUserObject, UserObject
from gateway.usecases.replay_callback import CallbackObject
from gateway.usecases.replay_dead_letter import DeadLetterObject
from gateway.usecases.route_payments import PutRouting, RouteObject, RoutingObject
from gateway.usecases.send_webhooks import Replayed, SentPing
from gateway.usecases.statistics import StatisticsObject
from gateway.usecases.timeline import TimelineEntry
from gateway.usecases.webhook_objects import (
    NewWebhookEndpointObject,
    WebhookDeliveryObject,
    WebhookDeliveryWithAttempts,
    WebhookEndpointObject,
)


class Endpoint(Struct, frozen=True, kw_only=True):
    """One operation. With a `query` it answers pages of `returns`, unless `is_one`.

    `keyed`: needs an Idempotency-Key, and takes `Prefer: wait`. `repeatable`: takes an Idempotency-Key. `resource` is
    what a restricted key must be allowed to read or write; None: every key may. `caller`: who may call it, a merchant's
    key or a person on behalf of a merchant, only a person, or anybody. `streams`: answers server-sent events of which
    each carries one of `returns`.
    """

    method: Literal["get", "post", "put", "patch", "delete"]
    path: str
    id: str
    summary: str
    returns: type[Struct]
    status: int = 200
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    keyed: bool = False
    repeatable: bool = False
    problems: tuple[Code, ...] = ()
    resource: Resource | InstallationResource | UnsetType | None = UNSET
    caller: Literal["merchant", "person", "anybody"] = "merchant"
    is_one: bool = False
    streams: bool = False

    @property
    def permission(self) -> str | None:
        """What a restricted key needs; by default on the resource that the path names."""
        resource = self.path.split("/")[2] if self.resource is UNSET else self.resource
        return of_route(None if resource is None else str(resource), self.method.upper())

    @property
    def is_list(self) -> bool:
        """Whether the answer is a page."""
        return self.query is not None and not self.is_one


ENDPOINTS: Final = (
    Endpoint(
        method="post",
        path="/v1/payments",
        id="createPayment",
        summary="Collect money from a payer",
        body=CreatePayment,
        returns=PaymentObject,
        status=201,
        keyed=True,
        problems=("phone_country_mismatch", "no_route"),
    ),
    Endpoint(
        method="get",
        path="/v1/payments",
        id="listPayments",
        summary="List payments, newest first",
        query=PaymentQuery,
        returns=PaymentObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get", path="/v1/payments/{payment_id}", id="getPayment", summary="Read a payment", returns=PaymentObject
    ),
    Endpoint(
        method="get",
        path="/v1/payments/{payment_id}/timeline",
        id="getPaymentTimeline",
        summary="Read everything that happened to a payment, oldest first",
        query=TimelineQuery,
        returns=TimelineEntry,
    ),
    Endpoint(
        method="post",
        path="/v1/payments/{payment_id}/confirm",
        id="confirmPayment",
        summary="Pass the payer's code on to the provider",
        body=ConfirmPayment,
        returns=PaymentWithOperation,
        keyed=True,
        problems=("payment_not_confirmable",),
    ),
    Endpoint(
        method="post",
        path="/v1/payments/{payment_id}/capture",
        id="capturePayment",
        summary="Take what is authorized, or a part of it",
        body=CapturePayment,
        returns=PaymentWithOperation,
        keyed=True,
        problems=("payment_not_capturable", "amount_exceeds_authorized"),
    ),
    Endpoint(
        method="post",
        path="/v1/payments/{payment_id}/cancel",
        id="cancelPayment",
        summary="Cancel what cannot have been sent yet, or release what is authorized",
        body=Nothing,
        returns=PaymentWithOperation,
        keyed=True,
        problems=("payment_not_cancelable",),
    ),
    Endpoint(
        method="post",
        path="/v1/payments/{payment_id}/verify",
        id="verifyPayment",
        summary="Ask the provider now",
        body=Nothing,
        returns=PaymentWithOperation,
        repeatable=True,
    ),
    Endpoint(
        method="post",
        path="/v1/payments/{payment_id}/resolve",
        id="resolvePayment",
        summary="End a review with a person's decision",
        body=ResolvePayment,
        returns=PaymentWithOperation,
        keyed=True,
        problems=("payment_not_resolvable",),
        resource="reviews",
    ),
    Endpoint(
        method="post",
        path="/v1/refunds",
        id="createRefund",
        summary="Give a payment back, or a part of it",
        body=CreateRefund,
        returns=RefundObject,
        status=201,
        keyed=True,
        problems=("payment_not_refundable", "amount_exceeds_captured"),
    ),
    Endpoint(
        method="get",
        path="/v1/refunds",
        id="listRefunds",
        summary="List refunds, newest first",
        query=RefundQuery,
        returns=RefundObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get", path="/v1/refunds/{refund_id}", id="getRefund", summary="Read a refund", returns=RefundObject
    ),
    Endpoint(
        method="post",
        path="/v1/payouts",
        id="createPayout",
        summary="Pay money out to a wallet",
        body=CreatePayout,
        returns=PayoutObject,
        status=201,
        keyed=True,
        problems=("phone_country_mismatch", "no_route"),
    ),
    Endpoint(
        method="get",
        path="/v1/payouts",
        id="listPayouts",
        summary="List payouts, newest first",
        query=PayoutQuery,
        returns=PayoutObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get", path="/v1/payouts/{payout_id}", id="getPayout", summary="Read a payout", returns=PayoutObject
    ),
    Endpoint(
        method="post",
        path="/v1/payouts/{payout_id}/cancel",
        id="cancelPayout",
        summary="Cancel a payout that cannot have been sent yet",
        body=Nothing,
        returns=PayoutWithOperation,
        keyed=True,
        problems=("payment_not_cancelable",),
    ),
    Endpoint(
        method="post",
        path="/v1/payouts/{payout_id}/resolve",
        id="resolvePayout",
        summary="End a payout's review with a person's decision",
        body=ResolvePayment,
        returns=PayoutWithOperation,
        keyed=True,
        problems=("payment_not_resolvable",),
        resource="reviews",
    ),
    Endpoint(
        method="get",
        path="/v1/events",
        id="listEvents",
        summary="Read the feed of events, oldest first",
        query=EventQuery,
        returns=EventObject,
        problems=("invalid_cursor", "cursor_expired"),
    ),
    Endpoint(
        method="get",
        path="/v1/events/stream",
        id="streamEvents",
        summary="Follow events as they come, as server-sent events",
        query=EventStreamQuery,
        returns=EventObject,
        problems=("invalid_cursor",),
        is_one=True,
        streams=True,
    ),
    Endpoint(method="get", path="/v1/events/{event_id}", id="getEvent", summary="Read an event", returns=EventObject),
    Endpoint(
        method="get",
        path="/v1/providers",
        id="listProviders",
        summary="List the providers that accounts can be made at",
        query=CatalogueQuery,
        returns=ProviderObject,
        resource=None,
    ),
    Endpoint(
        method="get",
        path="/v1/providers/{name}",
        id="getProvider",
        summary="Read a provider",
        returns=ProviderObject,
        resource=None,
    ),
    Endpoint(
        method="post",
        path="/v1/accounts",
        id="createAccount",
        summary="Make an account at a provider",
        body=CreateAccount,
        returns=AccountObject,
        status=201,
        repeatable=True,
    ),
    Endpoint(
        method="get",
        path="/v1/accounts",
        id="listAccounts",
        summary="List accounts, newest first",
        query=AccountQuery,
        returns=AccountObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get",
        path="/v1/accounts/{account_id}",
        id="getAccount",
        summary="Read an account",
        returns=AccountObject,
    ),
    Endpoint(
        method="patch",
        path="/v1/accounts/{account_id}",
        id="updateAccount",
        summary="Change an account, and replace its secrets",
        body=UpdateAccount,
        returns=AccountObject,
        problems=("settings_immutable",),
    ),
    Endpoint(
        method="delete",
        path="/v1/accounts/{account_id}",
        id="disableAccount",
        summary="Disable an account: it takes no new payments",
        returns=AccountObject,
    ),
    Endpoint(
        method="post",
        path="/v1/accounts/{account_id}/check",
        id="checkAccount",
        summary="Ask the provider whether an account's credentials work; no money moves",
        body=Nothing,
        returns=AccountObject,
        repeatable=True,
    ),
    Endpoint(
        method="get",
        path="/v1/routing",
        id="getRouting",
        summary="Read which accounts are preferred for which payments",
        returns=RoutingObject,
    ),
    Endpoint(
        method="put",
        path="/v1/routing",
        id="replaceRouting",
        summary="Replace the routing rules",
        body=PutRouting,
        returns=RoutingObject,
        problems=("version_conflict",),
    ),
    Endpoint(
        method="post",
        path="/v1/routing/preview",
        id="previewRoute",
        summary="See which account would take a payment, and why no other; nothing is charged",
        body=CreatePayment,
        returns=RouteObject,
        problems=("phone_country_mismatch", "no_route"),
    ),
    Endpoint(
        method="post",
        path="/v1/api_keys",
        id="createApiKey",
        summary="Make an API key, which is shown this once",
        body=CreateApiKey,
        returns=NewApiKeyObject,
        status=201,
        repeatable=True,
        problems=("secret_already_shown",),
    ),
    Endpoint(
        method="get",
        path="/v1/api_keys",
        id="listApiKeys",
        summary="List API keys, newest first",
        query=ApiKeyQuery,
        returns=ApiKeyObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get", path="/v1/api_keys/{key_id}", id="getApiKey", summary="Read an API key", returns=ApiKeyObject
    ),
    Endpoint(
        method="delete",
        path="/v1/api_keys/{key_id}",
        id="revokeApiKey",
        summary="Revoke an API key: it is refused within 5 seconds",
        returns=ApiKeyObject,
    ),
    Endpoint(
        method="post",
        path="/v1/api_keys/{key_id}/rotate",
        id="rotateApiKey",
        summary="Replace an API key by one that may do the same; the old one goes on working for a while",
        body=RotateApiKey,
        returns=NewApiKeyObject,
        status=201,
        repeatable=True,
        problems=("secret_already_shown",),
    ),
    Endpoint(
        method="get",
        path="/v1/callbacks",
        id="listCallbacks",
        summary="List what providers sent, newest first",
        query=CallbackQuery,
        returns=CallbackObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="post",
        path="/v1/callbacks/{callback_id}/replay",
        id="replayCallback",
        summary="Have a callback handled again",
        body=Nothing,
        returns=CallbackObject,
        repeatable=True,
    ),
    Endpoint(
        method="get",
        path="/v1/dead_letters",
        id="listDeadLetters",
        summary="List what workers could not handle, newest first",
        query=DeadLetterQuery,
        returns=DeadLetterObject,
        problems=("invalid_cursor",),
        resource="callbacks",
    ),
    Endpoint(
        method="post",
        path="/v1/dead_letters/{dead_letter_id}/replay",
        id="replayDeadLetter",
        summary="Have a dead letter handled again",
        body=Nothing,
        returns=DeadLetterObject,
        repeatable=True,
        resource="callbacks",
    ),
    Endpoint(
        method="get",
        path="/v1/audit_events",
        id="listAuditEvents",
        summary="List who changed what, newest first",
        query=AuditQuery,
        returns=AuditEventObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get",
        path="/v1/audit_events/verify",
        id="verifyAuditEvents",
        summary="Check that the audit trail was not changed",
        query=VerifyQuery,
        returns=AuditVerification,
        is_one=True,
    ),
    Endpoint(
        method="post",
        path="/v1/auth/token",
        id="signIn",
        summary="Sign in: a password for an access token and a refresh token",
        body=SignIn,
        returns=TokensObject,
        problems=("rate_limited",),
        resource=None,
        caller="anybody",
    ),
    Endpoint(
        method="post",
        path="/v1/auth/refresh",
        id="refreshTokens",
        summary="Get newer tokens; a refresh token works once, and using it again ends the session",
        body=Refresh,
        returns=TokensObject,
        resource=None,
        caller="anybody",
    ),
    Endpoint(
        method="post",
        path="/v1/auth/logout",
        id="signOut",
        summary="Sign out, by the access token or by the refresh token",
        body=SignOut,
        returns=SignedOut,
        resource=None,
        caller="anybody",
    ),
    Endpoint(
        method="get",
        path="/v1/auth/merchants",
        id="listOwnMerchants",
        summary="List the merchants that a person may act on, newest first",
        query=OwnMerchantQuery,
        returns=MerchantObject,
        problems=("invalid_cursor",),
        resource=None,
        caller="person",
    ),
    Endpoint(
        method="post",
        path="/v1/admin/merchants",
        id="createMerchant",
        summary="Make a merchant and its first test key, which is shown this once",
        body=CreateMerchant,
        returns=NewMerchantObject,
        status=201,
        repeatable=True,
        problems=("secret_already_shown",),
        resource="merchants",
        caller="person",
    ),
    Endpoint(
        method="get",
        path="/v1/admin/merchants",
        id="listMerchants",
        summary="List merchants, newest first",
        query=MerchantQuery,
        returns=MerchantObject,
        problems=("invalid_cursor",),
        resource="merchants",
        caller="person",
    ),
    Endpoint(
        method="get",
        path="/v1/admin/merchants/{merchant_id}",
        id="getMerchant",
        summary="Read a merchant",
        returns=MerchantObject,
        resource="merchants",
        caller="person",
    ),
    Endpoint(
        method="post",
        path="/v1/admin/users",
        id="createUser",
        summary="Make a person who may sign in",
        body=CreateUser,
        returns=NewUserObject,
        status=201,
        repeatable=True,
        problems=("secret_already_shown",),
        resource="users",
        caller="person",
    ),
    Endpoint(
        method="get",
        path="/v1/admin/users",
        id="listUsers",
        summary="List people, newest first",
        query=UserQuery,
        returns=UserObject,
        problems=("invalid_cursor",),
        resource="users",
        caller="person",
    ),
    Endpoint(
        method="get",
        path="/v1/admin/users/{user_id}",
        id="getUser",
        summary="Read a person",
        returns=UserObject,
        resource="users",
        caller="person",
    ),
    Endpoint(
        method="patch",
        path="/v1/admin/users/{user_id}",
        id="updateUser",
        summary="Change a person's role or password, or whether he may sign in; his sessions end",
        body=UpdateUser,
        returns=UserObject,
        resource="users",
        caller="person",
    ),
    Endpoint(
        method="get",
        path="/v1/admin/statistics",
        id="getStatistics",
        summary="Count payments by status, provider and currency, and what waits for somebody",
        query=StatisticsQuery,
        returns=StatisticsObject,
        resource="statistics",
        caller="person",
        is_one=True,
    ),
    Endpoint(
        method="post",
        path="/v1/webhook_endpoints",
        id="createWebhookEndpoint",
        summary="Have events sent to an address; the answer alone shows the secret",
        body=CreateWebhookEndpoint,
        returns=NewWebhookEndpointObject,
        status=201,
        repeatable=True,
        problems=("secret_already_shown",),
    ),
    Endpoint(
        method="get",
        path="/v1/webhook_endpoints",
        id="listWebhookEndpoints",
        summary="List webhook endpoints, newest first",
        query=WebhookEndpointQuery,
        returns=WebhookEndpointObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get",
        path="/v1/webhook_endpoints/{endpoint_id}",
        id="getWebhookEndpoint",
        summary="Read a webhook endpoint",
        returns=WebhookEndpointObject,
    ),
    Endpoint(
        method="patch",
        path="/v1/webhook_endpoints/{endpoint_id}",
        id="updateWebhookEndpoint",
        summary="Change a webhook endpoint, disable it, or enable it again",
        body=UpdateWebhookEndpoint,
        returns=WebhookEndpointObject,
    ),
    Endpoint(
        method="delete",
        path="/v1/webhook_endpoints/{endpoint_id}",
        id="deleteWebhookEndpoint",
        summary="Remove a webhook endpoint",
        returns=WebhookEndpointObject,
    ),
    Endpoint(
        method="post",
        path="/v1/webhook_endpoints/{endpoint_id}/rotate_secret",
        id="rotateWebhookSecret",
        summary="Make a new secret; the old one signs too for 24 hours",
        body=Nothing,
        returns=NewWebhookEndpointObject,
        repeatable=True,
        problems=("secret_already_shown",),
    ),
    Endpoint(
        method="post",
        path="/v1/webhook_endpoints/{endpoint_id}/test",
        id="testWebhookEndpoint",
        summary="Send a webhook endpoint an event of type ping",
        body=Nothing,
        returns=SentPing,
        repeatable=True,
        problems=("webhook_endpoint_disabled",),
    ),
    Endpoint(
        method="post",
        path="/v1/webhook_endpoints/{endpoint_id}/replay",
        id="replayWebhooks",
        summary="Send a webhook endpoint the events of a span of time, again or for the first time",
        body=ReplayWebhooks,
        returns=Replayed,
        repeatable=True,
        problems=("webhook_endpoint_disabled",),
    ),
    Endpoint(
        method="get",
        path="/v1/webhook_endpoints/{endpoint_id}/deliveries",
        id="listWebhookDeliveries",
        summary="List deliveries to a webhook endpoint, newest first",
        query=WebhookDeliveryQuery,
        returns=WebhookDeliveryObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(
        method="get",
        path="/v1/webhook_deliveries/{delivery_id}",
        id="getWebhookDelivery",
        summary="Read a delivery with its attempts",
        returns=WebhookDeliveryWithAttempts,
        resource="webhook_endpoints",
    ),
    Endpoint(
        method="post",
        path="/v1/webhook_deliveries/{delivery_id}/retry",
        id="retryWebhookDelivery",
        summary="Send a delivery now",
        body=Nothing,
        returns=WebhookDeliveryObject,
        repeatable=True,
        problems=("webhook_endpoint_disabled",),
        resource="webhook_endpoints",
    ),
)
