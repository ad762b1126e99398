"""The sandbox's tables: its settings, limits, words and promises."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from providers.contract import (
    ActionRequired,
    Authorized,
    ConfigurationMissing,
    Declined,
    Limit,
    Outcome,
    Pending,
    QuerySchedule,
    ReferenceFormat,
    Secret,
    Succeeded,
    Uncertainty,
    Verb,
)
from providers.declines import DeclineCode
from providers.money import CURRENCIES as ISO_CURRENCIES
from providers.phones import COUNTRIES as ISO_COUNTRIES


class SandboxAccount(Struct, frozen=True, kw_only=True):
    """An account at the sandbox. Any key but "refused" is accepted; the default secret belongs to the default key."""

    api_key: Secret = Secret("sandbox")
    webhook_secret: Secret = Secret("whsec_bjAjdOLn/CqScq8aC2OsyBM0Otzp/26Q9QFxMTU5YzY=")
    base_url: str | None = None


IDENTITY: Final = frozenset({"base_url"})
COUNTRIES: Final = ISO_COUNTRIES
CURRENCIES: Final = ISO_CURRENCIES
METHODS: Final = frozenset({"mobile_money", "card", "redirect"})
LIMITS: Final = dict.fromkeys(CURRENCIES, Limit(min=1, max=10**15))
REFERENCE: Final = ReferenceFormat(alphabet="0123456789abcdefghijklmnopqrstuvwxyz", length=24)

# The operation's id is the idempotency key, for ever; what a query does not find after 2 s was never charged.
BY_KEY: Final = Uncertainty(idempotency="key", lookup="authoritative", absence_after_s=2)
QUERIES: Final = QuerySchedule(delays_s=(1, 2, 4, 8, 16, 32), every_s=60)

COLLECTIONS: Final = {
    Verb.CHARGE: "charges",
    Verb.AUTHORIZE: "authorizations",
    Verb.CAPTURE: "captures",
    Verb.VOID: "voids",
    Verb.REFUND: "refunds",
    Verb.PAYOUT: "payouts",
}

STATUSES: Final[Mapping[str, type[Outcome]]] = {
    "succeeded": Succeeded,
    "authorized": Authorized,
    "pending": Pending,
    "requires_action": ActionRequired,
    "declined": Declined,
}

DECLINES: Final = {
    "insufficient_funds": DeclineCode.INSUFFICIENT_FUNDS,
    "payer_canceled": DeclineCode.PAYER_CANCELED,
    "payer_refused": DeclineCode.PAYER_CANCELED,
    "invalid_otp": DeclineCode.INVALID_OTP,
    "do_not_honor": DeclineCode.DECLINED,
    "not_possible": DeclineCode.INVALID_REQUEST,
    "voided": DeclineCode.CANCELED,
}

# An error of the request itself, before anything was done. Every other status than 200 proves nothing.
REFUSALS: Final[Mapping[int, Outcome]] = {
    400: Declined(code=DeclineCode.INVALID_REQUEST, provider_code="400"),
    401: Declined(code=DeclineCode.CONFIGURATION, provider_code="401"),
}


def base_url(settings: SandboxAccount, livemode: bool) -> str:
    """Where the sandbox listens.

    An account without a base URL means the installation's own simulator, of which only the gateway knows: it fills
    `base_url` in before it calls. `ConfigurationMissing` when it did not.
    """
    if settings.base_url is None:
        raise ConfigurationMissing("this installation runs no sandbox simulator, and the account names no base_url")
    return settings.base_url
