"""Rules of a request that depend on several members or on tables: currencies, phones, cards, return addresses."""

import re
from typing import Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import Struct

from gateway import ids
from gateway.addresses import URL_TEXT
from gateway.payments import cards
from gateway.payments.errors import FieldError, MyPayError, invalid
from gateway.payments.requests import CardInput, CreatePayment, CreatePayout, MobileMoneyInput, RedirectInput
from gateway.routing.choose import Wanted
from providers import money, phones
from providers.contract import Card, Method, MobileMoney, Redirect, Verb
from providers.registry import PROVIDERS

METADATA_BYTES: Final = 8 * 1024


def verb(capture: Literal["automatic", "manual"]) -> Verb:
    """What is asked of the provider first."""
    return Verb.CHARGE if capture == "automatic" else Verb.AUTHORIZE


class Checked(Struct, frozen=True):
    """The method as it is stored, the country, and the phone by which the payment is found."""

    method: Method
    country: str | None
    phone: str | None = None


def check(request: CreatePayment, livemode: bool) -> Checked:
    """Check what no single member shows. Raises 400 with the member that is wrong and what to write there."""
    _check_currency(request.currency)
    check_metadata(request.metadata or {})
    _check_return_url(request)
    if isinstance(request.method, MobileMoneyInput):
        phone, country = _phone(request.method.phone, request.country, livemode, "/method/phone")
        return Checked(MobileMoney(phone), country, phone)
    if request.country is not None and request.country not in phones.COUNTRIES:
        raise invalid("/country", "invalid", "This is not a country code of ISO 3166-1.")
    if isinstance(request.method, CardInput):
        return Checked(_card(request.method), request.country)
    return Checked(Redirect(), request.country)


def check_payout(request: CreatePayout, livemode: bool) -> Checked:
    """The same for a payout."""
    _check_currency(request.currency)
    check_metadata(request.metadata or {})
    phone, country = _phone(request.destination.phone, request.country, livemode, "/destination/phone")
    return Checked(MobileMoney(phone), country, phone)


def wanted(request: CreatePayment | CreatePayout, livemode: bool, checked: Checked, verb: Verb) -> Wanted:
    """The request as routing sees it. Raises 404 for an account's id that is none."""
    return Wanted(
        livemode=livemode,
        amount=request.amount,
        currency=request.currency,
        country=checked.country,
        method=type(checked.method).__struct_config__.tag,  # type: ignore[arg-type]  # each method has a text tag
        verb=verb,
        account=None if request.account is None else _account(request.account),
        provider=request.provider,
        minor_per_unit=10 ** money.EXPONENTS[request.currency],
    )


def _check_currency(currency: str) -> None:
    if currency not in money.EXPONENTS:
        raise invalid("/currency", "invalid", "This is not an active ISO 4217 currency code.")


def _account(text: str) -> UUID:
    account = ids.read(ids.ACCOUNT, text)
    if account is None:
        raise MyPayError("not_found", "There is no such account.")
    return account


def check_metadata(metadata: dict[str, str]) -> None:
    """Raises 400 where keys and values are too long together."""
    if sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) > METADATA_BYTES:
        raise invalid("/metadata", "too_long", f"All keys and values together may have {METADATA_BYTES} bytes.")


def _check_return_url(request: CreatePayment) -> None:
    url = request.return_url
    if url is None:
        if isinstance(request.method, RedirectInput):
            raise invalid("/return_url", "required", "A redirected payer needs an address to come back to.")
        return
    if not _is_web_address(url):
        raise invalid("/return_url", "invalid", "Write an ASCII http or https address without user name or password.")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_plain = parts.port != 0 and "@" not in parts.netloc  # reading a port that is none raises, too
    except ValueError:
        return False
    return (
        is_plain and parts.scheme in ("http", "https") and bool(parts.hostname) and URL_TEXT.fullmatch(url) is not None
    )


def _phone(number: str, country: str | None, livemode: bool, pointer: str) -> tuple[str, str | None]:
    try:
        phone = phones.normalise(number, country)
    except phones.PhoneCountryMismatch as error:
        detail = str(error)
        raise MyPayError("phone_country_mismatch", detail, errors=[FieldError(pointer, "invalid", detail)]) from None
    except phones.PhoneInvalid as error:
        if not livemode and _is_trigger(number):
            return number, country
        raise invalid(pointer, "invalid", str(error)) from None
    return phone.e164, phone.country


def otp(text: str) -> str:
    """A one-time password: letters and digits. Raises 400."""
    if not (text.isascii() and text.isalnum()):
        raise invalid("/otp", "invalid", "Write the code's letters and digits alone.")
    return text


def phone_filter(number: str) -> str:
    """A phone by which payments are looked for, as it was stored."""
    # In a query, a "+" that was not escaped is a space.
    written = "+" + number[1:] if number.startswith(" ") else number
    try:
        return phones.normalise(written).e164
    except (phones.PhoneInvalid, phones.PhoneCountryMismatch):
        return number


def _is_trigger(number: str) -> bool:
    return any(spec.trigger_phones and re.fullmatch(spec.trigger_phones, number) for spec in PROVIDERS.values())


def _card(method: CardInput) -> Card:
    if cards.is_number(method.token):
        raise MyPayError("card_number_refused")
    return Card(method.token)
