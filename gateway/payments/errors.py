"""What MyPay refuses, and why: every public error code, in one append-only table.

`MyPayError` is the only exception that reaches a client as itself: `raise MyPayError("payment_not_cancelable", "…")`.
The HTTP face renders it as RFC 9457, and the page of each code (`/errors/<code>`) is made from the same table. A code
never changes its status or its meaning, and is never removed: clients branch on it.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from msgspec import Struct

Code: TypeAlias = Literal[
    "invalid_request",
    "invalid_json",
    "invalid_cursor",
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "idempotency_key_in_progress",
    "secret_already_shown",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "body_too_large",
    "unsupported_media_type",
    "phone_country_mismatch",
    "card_number_refused",
    "payment_not_capturable",
    "payment_not_cancelable",
    "payment_not_refundable",
    "payment_not_confirmable",
    "payment_not_resolvable",
    "amount_exceeds_captured",
    "amount_exceeds_authorized",
    "no_route",
    "account_in_use",
    "settings_immutable",
    "rate_limited",
    "unavailable",
    "accept_unknown",
    "internal_error",
    "version_conflict",
    "gone",
    "cursor_expired",
    "webhook_endpoint_disabled",
]


class Kind(NamedTuple):
    """What one code always means: HTTP status, title, one line of meaning, and what the caller can do about it."""

    status: int
    title: str
    meaning: str
    advice: str
    retry_after_s: int | None = None


# fmt: off
PROBLEMS: Final[dict[Code, Kind]] = {
    "invalid_request": Kind(
        400, "The request is not valid",
        "A member, header or query parameter is missing, unknown, or has a value that is not allowed.",
        "Correct what `errors` points at, and send the request again."),
    "invalid_json": Kind(
        400, "The body is not valid JSON",
        "The body is not one JSON value in UTF-8, or it is nested more than 32 levels deep.",
        "Send one JSON object in UTF-8, without a byte order mark."),
    "invalid_cursor": Kind(
        400, "The cursor is not valid",
        "The cursor did not come from the `next` of this list.",
        "Start again without `after`, and pass on `next` exactly as it was given."),
    "idempotency_key_missing": Kind(
        400, "Idempotency-Key is missing",
        "This request creates or moves money, and carries no Idempotency-Key.",
        "Make one key per intent, such as a UUID; store it; send it again with every repetition."),
    "idempotency_key_invalid": Kind(
        400, "Idempotency-Key is not valid",
        "The key is not 1 to 255 characters of A-Z a-z 0-9 _ . : ~ + / = -, or there is more than one.",
        "Send one Idempotency-Key header of that form, bare or in double quotes."),
    "idempotency_key_reused": Kind(
        422, "Idempotency-Key was used for another request",
        "Another request was accepted under this key.",
        "Use a new key for a new intent; repeat a request only with the body it had."),
    "idempotency_key_in_progress": Kind(
        409, "A request with this Idempotency-Key is being processed",
        "The first request with this key has no answer yet.",
        "Wait for `Retry-After`, and send the same request with the same key.", 1),
    "secret_already_shown": Kind(
        409, "The secret was already shown",
        "The first answer to this key contained a secret, and secrets are shown once.",
        "Rotate the secret if the first answer was lost."),
    "unauthorized": Kind(
        401, "Not authenticated",
        "The request carries no credential, or one that is unknown, revoked, expired or malformed.",
        "Send one API key, or a person's access token, as `Authorization: Bearer …`."),
    "forbidden": Kind(
        403, "Not allowed",
        "The credential is good, and does not permit this.",
        "Use a key with the scope that this request needs, from an address it may be used from; or ask an owner."),
    "not_found": Kind(
        404, "Not found",
        "There is no such object for this credential: it does not exist, is not yours, or is of the other mode.",
        "Check the id, and that a test key is not used for a live object."),
    "method_not_allowed": Kind(
        405, "Method not allowed",
        "This resource does not know the method.",
        "Use one of the methods in `Allow`."),
    "body_too_large": Kind(
        413, "The body is too large",
        "The body is larger than this resource takes: 64 KiB, or 1 MiB for a provider's callback.",
        "Send less, for example shorter metadata."),
    "unsupported_media_type": Kind(
        415, "Unsupported media type",
        "The body is not declared as plain JSON in UTF-8.",
        "Send `Content-Type: application/json`, and no `Content-Encoding`."),
    "phone_country_mismatch": Kind(
        400, "Phone number and country disagree",
        "The phone number belongs to another country than `country` says.",
        "Leave `country` out, or correct one of the two."),
    "card_number_refused": Kind(
        400, "Card numbers are not accepted",
        "The request contains what looks like a card number.",
        "Send a token made by the provider. Treat the number as disclosed where you logged it."),
    "payment_not_capturable": Kind(
        409, "The payment cannot be captured",
        "The payment is not authorized, or a capture or void of it is under way.",
        "Read the payment: capture it while its status is `authorized`."),
    "payment_not_cancelable": Kind(
        409, "The payment cannot be canceled",
        "The payment is final, or something may already have been sent to the provider.",
        "Read the payment, and wait for its outcome; refund it if it succeeded."),
    "payment_not_refundable": Kind(
        409, "The payment cannot be refunded",
        "Nothing of the payment is captured, or its outcome is still unknown.",
        "Read the payment: refund it once its status is `succeeded`."),
    "payment_not_confirmable": Kind(
        409, "The payment cannot be confirmed",
        "The payment does not wait for a code from the payer.",
        "Read the payment: confirm it while `next_action.type` is `otp`."),
    "payment_not_resolvable": Kind(
        409, "The payment cannot be resolved",
        "The payment has no open review, or this action does not fit its review.",
        "Read `review` of the payment."),
    "amount_exceeds_captured": Kind(
        409, "The amount exceeds what is captured",
        "The refunds, those under way included, would exceed what was captured.",
        "Refund at most `amount_captured` less what is refunded or being refunded."),
    "amount_exceeds_authorized": Kind(
        409, "The amount exceeds what is authorized",
        "The captures would exceed the authorized amount.",
        "Capture at most what is left of `amount`."),
    "no_route": Kind(
        422, "No account can take this payment",
        "None of the merchant's accounts fits the payment; `accounts` says why, for each.",
        "Add or enable an account that fits, or change what `accounts` objects to."),
    "account_in_use": Kind(
        409, "The account is in use",
        "Payments of this account are open or can still be refunded.",
        "Disable the account instead; it then takes no new payments."),
    "settings_immutable": Kind(
        409, "These settings cannot change",
        "Settings that identify money (merchant code, market, address) never change; only secrets do.",
        "Make a new account, and disable this one."),
    "rate_limited": Kind(
        429, "Too many requests",
        "The credential or the address has used up its rate, an e-mail address was tried too often, or too many cards "
        "of the account were declined.",
        "Wait for `Retry-After`; spread the requests.", 1),
    "unavailable": Kind(
        503, "Not available",
        "The request was not accepted, and nothing was written.",
        "Wait for `Retry-After`, and send the same request with the same Idempotency-Key.", 1),
    "accept_unknown": Kind(
        503, "It is not known whether the request was accepted",
        "The database did not answer in time: the object may exist.",
        "Wait for `Retry-After`, and send the same request with the same Idempotency-Key, never with a new one.", 2),
    "internal_error": Kind(
        500, "Internal error",
        "Something failed that should not; it was logged under the request id.",
        "Send the same request with the same Idempotency-Key; report the request id if it happens again."),
    "version_conflict": Kind(
        409, "Somebody else has changed it meanwhile",
        "The version that the request names is not the newest one.",
        "Read it again, apply your change to what it is now, and send that with its version."),
    "gone": Kind(
        410, "This address is of a former version",
        "The path belongs to the service that this one replaces, and does nothing any more.",
        "Use the address in the `Link` header; docs/migrating.md says what changes."),
    "cursor_expired": Kind(
        410, "The cursor is too old",
        "Events that followed this cursor are not kept any more.",
        "Start again without `after`, with the oldest event that is kept; read the objects that matter to you."),
    "webhook_endpoint_disabled": Kind(
        409, "The webhook endpoint is disabled",
        "Nothing is delivered to an endpoint that is disabled, or was deleted; `disabled_reason` says why it is.",
        "Set `status` to `enabled`, then test, retry or replay."),
}
# fmt: on

if list(PROBLEMS) != list(get_args(Code)):
    raise AssertionError("the table of problems and the list of codes differ")

FieldCode: TypeAlias = Literal[
    "required", "unknown_field", "wrong_type", "out_of_range", "too_long", "too_short", "invalid", "duplicate"
]


class FieldError(Struct, frozen=True):
    """What is wrong with one member: `pointer` is RFC 6901 ("/method/phone"; for a query parameter "/limit")."""

    pointer: str
    code: FieldCode
    detail: str


class MyPayError(Exception):
    """A refusal that the caller is told: a code of `PROBLEMS`, and what is particular to this occurrence.

    `detail` is a sentence for a developer; it never echoes what was sent. `errors` point into body or query, only for
    status 400. `retry_after_s` overrides the table's.
    """

    def __init__(
        self,
        code: Code,
        detail: str | None = None,
        *,
        errors: Iterable[FieldError] = (),
        retry_after_s: int | None = None,
    ) -> None:
        kind = PROBLEMS[code]
        super().__init__(code, detail or kind.meaning)
        self.code: Code = code
        self.status = kind.status
        self.title = kind.title
        self.detail = detail or kind.meaning
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s if retry_after_s is not None else kind.retry_after_s

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


def invalid(pointer: str, code: FieldCode, detail: str) -> MyPayError:
    """The commonest refusal: one member of the request is not acceptable."""
    return MyPayError("invalid_request", detail, errors=[FieldError(pointer, code, detail)])


class Refusal(Struct, frozen=True):
    """Why one account ("acc_…") cannot take a payment: disabled, mode, currency, country, method, and so on."""

    account: str
    reason: str


class NoRoute(MyPayError):
    """No account can take the payment; carries the reason of each that was considered."""

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        super().__init__("no_route")
