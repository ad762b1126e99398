"""What a client may send: the bodies of the API, strict. Unknown members are refused.

The constraints here are those of one member alone; what depends on several, or on tables, is in
`gateway.payments.rules`.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from gateway.payments.model import Customer

AMOUNT_MAX = 10**15

Amount: TypeAlias = Annotated[
    int, Meta(ge=1, le=AMOUNT_MAX, description="Integer of the currency's minor units.", examples=[15000])
]
CurrencyCode: TypeAlias = Annotated[
    str, Meta(pattern="^[A-Z]{3}$", description="Active ISO 4217 code.", examples=["LSL"])
]
CountryCode: TypeAlias = Annotated[
    str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2 code.", examples=["LS"])
]


class MobileMoneyInput(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="mobile_money"):
    """A mobile-money wallet: E.164, or a local number where `country` is given."""

    phone: Annotated[str, Meta(min_length=1, max_length=32, examples=["+26658123456"])]


class CardInput(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="card"):
    """A card, by a provider's token. A card number is refused."""

    token: Annotated[str, Meta(min_length=1, max_length=255, examples=["tok_ok"])]


class RedirectInput(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="redirect"):
    """A page of the provider's; needs `return_url`."""


MethodInput: TypeAlias = MobileMoneyInput | CardInput | RedirectInput


class CustomerInput(Struct, frozen=True, forbid_unknown_fields=True):
    """Who pays, for the merchant's own records."""

    name: Annotated[str, Meta(max_length=200)] | None = None
    email: Annotated[str, Meta(max_length=254)] | None = None

    def record(self) -> Customer:
        """As it is stored."""
        return Customer(name=self.name, email=self.email)


Metadata: TypeAlias = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=40)],
        Annotated[str, Meta(max_length=500)],
    ],
    Meta(max_length=50),
]


class CreatePayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/payments."""

    amount: Amount
    currency: CurrencyCode
    method: MethodInput
    country: CountryCode | None = None
    capture: Literal["automatic", "manual"] = "automatic"
    provider: Annotated[str, Meta(max_length=40)] | None = None
    account: Annotated[str, Meta(max_length=64)] | None = None
    reference: Annotated[str, Meta(max_length=100)] | None = None
    description: Annotated[str, Meta(max_length=500)] | None = None
    customer: CustomerInput | None = None
    metadata: Metadata | None = None
    return_url: Annotated[str, Meta(max_length=2048)] | None = None
    expires_in: Annotated[int, Meta(ge=60, le=604_800, description="Seconds.")] | None = None


class DestinationInput(MobileMoneyInput, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="mobile_money"):
    """Where a payout goes: a mobile-money wallet; `name` is that of its holder."""

    name: Annotated[str, Meta(max_length=200)] | None = None


class CreatePayout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/payouts."""

    amount: Amount
    currency: CurrencyCode
    destination: DestinationInput
    country: CountryCode | None = None
    provider: Annotated[str, Meta(max_length=40)] | None = None
    account: Annotated[str, Meta(max_length=64)] | None = None
    reference: Annotated[str, Meta(max_length=100)] | None = None
    description: Annotated[str, Meta(max_length=500)] | None = None
    metadata: Metadata | None = None


class CreateRefund(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/refunds. The default amount is what is left."""

    payment: Annotated[str, Meta(max_length=64, examples=["pay_01k3n4rj0sf7dtqmvnj3wj8k7a"])]
    amount: Amount | None = None
    reason: Annotated[str, Meta(max_length=500)] | None = None
    metadata: Metadata | None = None


class CapturePayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/payments/{id}/capture. The default amount is what is left."""

    amount: Amount | None = None


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a POST that needs none: `{}`, or no body at all."""


class ResolvePayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/payments/{id}/resolve."""

    action: Literal["mark_succeeded", "mark_failed", "refund"]
    reason: Annotated[str, Meta(min_length=3, max_length=500)]


class ConfirmPayment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/payments/{id}/confirm."""

    otp: Annotated[str, Meta(min_length=1, max_length=32)]
