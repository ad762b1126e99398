"""The operations for merchants: one row for each, from which the OpenAPI document and the reference page are made.

The rows exist because handlers read bodies strictly from bytes, which no framework can describe; a test compares them
with the routes that there are.
"""

from typing import Final, Literal

from msgspec import Struct

from gateway.catalogue import ProviderObject
from gateway.http.accounts import AccountQuery, CreateAccount, UpdateAccount
from gateway.http.events import EventQuery
from gateway.http.payments import PaymentQuery
from gateway.http.providers import CatalogueQuery
from gateway.payments.errors import Code
from gateway.payments.requests import ConfirmPayment, CreatePayment, Nothing, ResolvePayment
from gateway.payments.views import EventObject, PaymentObject, PaymentWithOperation
from gateway.usecases.manage_accounts import AccountObject


class Endpoint(Struct, frozen=True, kw_only=True):
    """One operation. With a `query` it answers pages of `returns`.

    `keyed`: needs an Idempotency-Key, and takes `Prefer: wait`. `repeatable`: takes an Idempotency-Key.
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

    @property
    def is_list(self) -> bool:
        """Whether the answer is a page."""
        return self.query is not None


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
        problems=("phone_country_mismatch", "card_number_refused", "no_route"),
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
        path="/v1/payments/{payment_id}/cancel",
        id="cancelPayment",
        summary="Cancel what cannot have been sent yet",
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
    ),
    Endpoint(
        method="get",
        path="/v1/events",
        id="listEvents",
        summary="Read the feed of events, oldest first",
        query=EventQuery,
        returns=EventObject,
        problems=("invalid_cursor",),
    ),
    Endpoint(method="get", path="/v1/events/{event_id}", id="getEvent", summary="Read an event", returns=EventObject),
    Endpoint(
        method="get",
        path="/v1/providers",
        id="listProviders",
        summary="List the providers that accounts can be made at",
        query=CatalogueQuery,
        returns=ProviderObject,
    ),
    Endpoint(
        method="get", path="/v1/providers/{name}", id="getProvider", summary="Read a provider", returns=ProviderObject
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
)
