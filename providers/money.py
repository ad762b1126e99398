"""ISO 4217: the active currencies, how many decimals each has, and exact conversion to and from major units.

Money is an integer of minor units everywhere; only an adapter whose provider wants "150.00" converts, here. Nothing
is ever rounded: what cannot be said exactly is a `ValueError`.

Source: ISO 4217 list one as published on 2026-01-01 (SIX, the maintenance agency): every code that has a minor unit.
Codes without one (metals, bond-market units, XDR, XSU, XUA, XTS, XXX) cannot be an amount and are left out. Providers
sometimes use other decimals than ISO does; their adapter says so, this table does not.
"""

import re
from decimal import Decimal
from types import MappingProxyType
from typing import Final

_BY_EXPONENT: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
        CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF
        IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
        MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP
        SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG
        YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

EXPONENTS: Final = MappingProxyType({code: places for places, codes in _BY_EXPONENT.items() for code in codes.split()})
CURRENCIES: Final = frozenset(EXPONENTS)

_MAJOR: Final = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)


def exponent(currency: str) -> int:
    """The number of decimals of a currency's major unit: 2 for LSL, 0 for JPY. `ValueError` for no active code."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise ValueError(f"{currency!r} is not an active ISO 4217 currency") from None


def to_major(amount: int, currency: str) -> str:
    """Minor units as the decimal text of major units, with all of the currency's decimals: 15000 LSL is "150.00"."""
    if amount < 0:
        raise ValueError("an amount is not negative")
    places = exponent(currency)
    if places == 0:
        return str(amount)
    whole, part = divmod(amount, 10**places)
    return f"{whole}.{part:0{places}d}"


def from_major(value: str | Decimal, currency: str) -> int:
    """Major units as a provider states them ("150", "150.0", "150.000") in minor units.

    `ValueError` for anything that is no plain decimal number, is negative, or has a fraction of a minor unit.
    """
    found = _MAJOR.fullmatch(format(value, "f") if isinstance(value, Decimal) else value)
    if found is None:
        raise ValueError("not a plain decimal number")
    places = exponent(currency)
    whole, part = found[1], found[2] or ""
    if part[places:].strip("0"):
        raise ValueError(f"finer than the minor unit of {currency}")
    return int(whole + part[:places].ljust(places, "0"))
