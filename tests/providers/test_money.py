"""ISO 4217 and exact conversion."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.money import CURRENCIES, exponent, from_major, to_major

AMOUNTS = st.integers(min_value=0, max_value=10**15)


@pytest.mark.parametrize(
    ("currency", "places"),
    [("LSL", 2), ("ZAR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("UGX", 0), ("MGA", 2), ("XOF", 0)],
)
def test_exponents(currency, places):
    assert exponent(currency) == places


@pytest.mark.parametrize(
    "code", ["XXX", "XTS", "XAU", "XDR", "DEM", "HRK", "ZWL", "SLL", "BGN", "ANG", "lsl", "", "LSLL", "US\u0405"]
)
def test_what_is_no_active_currency_is_refused(code):
    assert code not in CURRENCIES
    with pytest.raises(ValueError, match="active"):
        exponent(code)


@given(AMOUNTS, st.sampled_from(sorted(CURRENCIES)))
def test_there_and_back(amount, currency):
    text = to_major(amount, currency)
    assert from_major(text, currency) == amount
    assert from_major(Decimal(text), currency) == amount
    assert Decimal(text) == Decimal(amount) / 10 ** exponent(currency)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (15000, "LSL", "150.00"),
        (1, "LSL", "0.01"),
        (1999, "LSL", "19.99"),
        (150, "JPY", "150"),
        (1, "KWD", "0.001"),
        (0, "LSL", "0.00"),
    ],
)
def test_major_text(amount, currency, text):
    assert to_major(amount, currency) == text


@pytest.mark.parametrize(
    ("text", "minor"), [("150", 15000), ("150.5", 15050), ("150.000", 15000), (Decimal("1E+2"), 10000)]
)
def test_equal_writings_are_read(text, minor):
    assert from_major(text, "LSL") == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "150.001",
        "-1",
        "+1",
        "1e3",
        "1,000.00",
        " 1",
        "1 ",
        "\u0661",
        "0x1",
        ".5",
        "5.",
        "NaN",
        Decimal("NaN"),
        Decimal("-1"),
        "9" * 5000,
    ],
)
def test_what_is_not_exact_is_refused(text):
    with pytest.raises(ValueError, match=r"decimal|finer"):
        from_major(text, "LSL")


def test_a_negative_amount_is_refused():
    with pytest.raises(ValueError, match="negative"):
        to_major(-1, "LSL")
