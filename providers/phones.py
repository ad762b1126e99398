"""Phone numbers of mobile-money wallets (MSISDN), and the countries that have numbers.

Numbers are read by the phonenumbers library (Google's libphonenumber metadata) and checked for a possible length, not
against the operators' number ranges: ranges open faster than metadata is published, and a number that nobody has is
declined by its operator anyway.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

import phonenumbers

CACHE_SIZE: Final = 16_384

# ISO 3166-1 alpha-2 as the metadata knows them. AC and TA (Ascension, Tristan da Cunha) are dialling regions of SH;
# XK (Kosovo) is user-assigned and kept: payment providers use it.
COUNTRIES: Final = frozenset(phonenumbers.SUPPORTED_REGIONS) - {"AC", "TA"}

_WRITTEN: Final = re.compile(r"\+?[0-9 ().\-]{4,30}")
_LESOTHO: Final = re.compile(r"\+266(\d{8})")


class Phone(NamedTuple):
    """A number in E.164 ("+26658123456") and the country it belongs to ("LS")."""

    e164: str
    country: str


class PhoneInvalid(ValueError):
    """Not a phone number, or a local number without a country."""


class PhoneCountryMismatch(ValueError):
    """The number belongs to another country than the one given."""


def normalise(number: str, country: str | None = None) -> Phone:
    """Read a number as people write it; a local one ("5812 3456") needs its country.

    Raises `PhoneInvalid` or `PhoneCountryMismatch`. Cached, since it is on the path of every request.
    """
    return _normalise(number, country)


@lru_cache(maxsize=CACHE_SIZE)
def _normalise(number: str, country: str | None) -> Phone:
    if country is not None and country not in COUNTRIES:
        raise PhoneInvalid(f"{country!r} is not a country")
    if _WRITTEN.fullmatch(number) is None:
        raise PhoneInvalid("not a phone number")
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException as error:
        raise PhoneInvalid("local numbers need a country" if country is None else str(error)) from None
    if not phonenumbers.is_possible_number(parsed):
        raise PhoneInvalid("too short or too long for its country")
    home = _country(parsed)
    if country is not None and home != country:
        raise PhoneCountryMismatch(f"the number belongs to {home}, not to {country}")
    return Phone(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164), home)


def _country(parsed: phonenumbers.PhoneNumber) -> str:
    """Where a number belongs: its range decides where countries share a calling code, else the code alone."""
    home = phonenumbers.region_code_for_number(parsed)
    if home is None and parsed.country_code is not None:
        home = phonenumbers.region_code_for_country_code(parsed.country_code)
    if home not in COUNTRIES:  # "001": satellite and other networks without a country
        raise PhoneInvalid("the number belongs to no country")
    return home


@lru_cache(maxsize=CACHE_SIZE)
def local_part(number: str) -> str:
    """The digits without the country's, of a number in E.164; all digits of any other, such as a test trigger."""
    try:
        return str(phonenumbers.parse(number).national_number)
    except phonenumbers.NumberParseException:
        return re.sub(r"\D", "", number)


def local8(e164: str) -> str:
    """The eight local digits of a Lesotho number: "+26658123456" is "58123456". `PhoneInvalid` for any other."""
    found = _LESOTHO.fullmatch(e164)
    if found is None:
        raise PhoneInvalid("not a number of Lesotho in E.164")
    return found[1]
