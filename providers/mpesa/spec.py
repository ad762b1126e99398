"""M-Pesa's tables: markets, settings and words of the Vodacom group's OpenAPI (v2).

Source: the pages of openapiportal.m-pesa.com, which give each call its fields, their patterns and response codes; what
is final is read from the descriptions. Daraja (Kenya) and Mozambique's v1x API are other products with other codes.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NamedTuple

from msgspec import Meta, Struct

from providers.contract import Absent, Ambiguous, ConfigurationMissing, Outcome, Pending, Secret, Succeeded, Throttled
from providers.declines import DeclineCode


class Market(NamedTuple):
    """A country of the platform, in ISO 3166 and in M-Pesa's words, its one currency, the prefix of its numbers."""

    country: str
    code: str
    currency: str
    prefix: str


MARKETS: Final = {
    "vodacomLES": Market("LS", "LES", "LSL", "266"),
    "vodacomTZN": Market("TZ", "TZN", "TZS", "255"),
    "vodacomMOZ": Market("MZ", "MOZ", "MZN", "258"),
    "vodacomDRC": Market("CD", "DRC", "USD", "243"),
    "vodafoneGHA": Market("GH", "GHA", "GHS", "233"),
}


class MpesaAccount(Struct, frozen=True, kw_only=True):
    """One application of an organisation, in one market.

    `environment`: sandbox for test accounts, openapi for live ones; each has its own `public_key` (base64, as the
    portal shows it). `service_provider_code`: the shortcode, "000000" in the sandbox. `origin`: one of the trusted
    sources. In the portal, products need our callback address, and the query product must answer synchronously.
    """

    environment: Literal["sandbox", "openapi"]
    market: Literal["vodacomLES", "vodacomTZN", "vodacomMOZ", "vodacomDRC", "vodafoneGHA"]
    api_key: Secret
    public_key: Annotated[str, Meta(min_length=1, max_length=4096)]
    service_provider_code: Annotated[str, Meta(pattern="^[0-9A-Za-z]{4,12}$")]
    origin: Annotated[str, Meta(pattern="^[!-~]{1,255}$")] = "*"
    base_url: str | None = None


def base_url(settings: MpesaAccount, livemode: bool) -> str:
    """One address for both environments. `ConfigurationMissing` where a test would move real money, or the reverse."""
    if settings.base_url is None and livemode != (settings.environment == "openapi"):
        raise ConfigurationMissing("live accounts are in the environment openapi, test accounts in sandbox")
    return settings.base_url or "https://openapi.m-pesa.com"


WHOLE_UNITS: Final = frozenset({"TZS"})
TRIGGERS: Final = "0{11}[1-9]"  # payers of the sandbox
LOCAL: Final = "[0-9]{8,11}"  # a number without prefix: documented are 12 to 14 digits with it, but Lesotho's have 11
PAYER_REFERENCE_LENGTH: Final = 20  # of the TransactionReference, which the payer sees
DESCRIPTION_LENGTH: Final = 256
SESSION_S: Final = 19 * 60  # the portal sets it; what integrators take
SETTLES_S: Final = 30  # "SessionID can take up to 30 seconds to become 'live' … and will be invalid until it is"

# Response codes, and callbacks' result codes, of a request that moves money. Success without a transaction id is only
# acceptance; INS-10 is about an earlier send of ours, as no two requests share a conversation id.
CODES: Final[Mapping[str, type[Outcome] | DeclineCode]] = {
    **dict.fromkeys(("INS-0", "0"), Succeeded),
    **dict.fromkeys(("INS-1", "INS-9", "INS-10", "INS-16"), Ambiguous),
    "INS-23": Absent,  # of a query alone
    "INS-6": DeclineCode.DECLINED,  # a wrong PIN, a refusal, anything; HTTP 401
    "INS-15": DeclineCode.AMOUNT_OUT_OF_RANGE,
    "INS-996": DeclineCode.PROVIDER_UNAVAILABLE,
    "INS-2006": DeclineCode.INSUFFICIENT_FUNDS,
    "INS-2051": DeclineCode.INVALID_PAYER,
    **dict.fromkeys((f"INS-{n}" for n in (13, 997, 998, 999)), DeclineCode.CONFIGURATION),
    **dict.fromkeys((f"INS-{n}" for n in (17, 18, 20, 21, 26, 28, 30, 31, 35, 52, 57)), DeclineCode.INVALID_REQUEST),
    **dict.fromkeys((f"INS-{n}" for n in range(990, 996)), DeclineCode.LIMIT_EXCEEDED),
}
# What a query says of the transaction, in capitals.
STATES: Final[Mapping[str, type[Outcome] | DeclineCode]] = {
    "COMPLETED": Succeeded,
    **dict.fromkeys(("PENDING", "PROCESSING"), Pending),
    **dict.fromkeys(("CANCELLED", "CANCELED"), DeclineCode.PAYER_CANCELED),
    "EXPIRED": DeclineCode.PAYER_TIMEOUT,
    **dict.fromkeys(("FAILED", "DECLINED"), DeclineCode.DECLINED),
}
# The platform's door knows no response codes, and lets nothing through: a session that is not live, too many requests.
CLOSED: Final = {status: Throttled(retry_after_s=5, provider_code=str(status)) for status in (401, 429)}
ORIGIN_REFUSED: Final = "Origin not allowed"  # its word under HTTP 403 for what is no trusted source
