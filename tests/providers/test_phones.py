"""Phone numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.phones import COUNTRIES, Phone, PhoneCountryMismatch, PhoneInvalid, local8, normalise


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("+26658123456", None, Phone("+26658123456", "LS")),
        ("58123456", "LS", Phone("+26658123456", "LS")),
        ("5812 3456", "LS", Phone("+26658123456", "LS")),
        ("+266 5812-3456", "LS", Phone("+26658123456", "LS")),
        ("0026658123456", "LS", Phone("+26658123456", "LS")),
        ("+27821234000", None, Phone("+27821234000", "ZA")),
        ("082 123 4000", "ZA", Phone("+27821234000", "ZA")),
        ("+254708374149", None, Phone("+254708374149", "KE")),
        ("+12025550123", None, Phone("+12025550123", "US")),
        ("+14165550123", None, Phone("+14165550123", "CA")),
    ],
)
def test_what_people_write(number, country, expected):
    assert normalise(number, country) == expected


@pytest.mark.parametrize(
    "number",
    [
        "",
        "+",
        "58123456",
        "+2665812345",
        "+26658123456789",
        "+99912345678",
        "abc",
        "+26658123456;ext=1",
        "1-800-FLOWERS",
        "+88161234567",
        "+٢٦٦٥٨١٢٣٤٥٦",
        "\x00+26658123456",
        "+26658123456\n",
    ],
)
def test_what_is_no_number(number):
    with pytest.raises(PhoneInvalid):
        normalise(number, None)


def test_another_country_is_a_mismatch():
    with pytest.raises(PhoneCountryMismatch):
        normalise("+27821234000", "LS")


@pytest.mark.parametrize("country", ["XX", "ls", "LSO", ""])
def test_what_is_no_country(country):
    with pytest.raises(PhoneInvalid):
        normalise("58123456", country)


@given(st.text(max_size=40), st.sampled_from([None, "LS", "ZA"]))
def test_nothing_else_is_ever_raised(text, country):
    try:
        phone = normalise(text, country)
    except (PhoneInvalid, PhoneCountryMismatch):
        return
    assert normalise(phone.e164, phone.country) == phone


def test_local8():
    assert local8("+26658123456") == "58123456"
    for number in ("+27821234000", "58123456", "+2665812345", "+266581234567"):
        with pytest.raises(PhoneInvalid):
            local8(number)


def test_countries_are_iso_3166():
    assert {"LS", "ZA", "KE", "TZ", "US"} <= COUNTRIES
    assert all(len(code) == 2 and code.isupper() for code in COUNTRIES)
    assert "001" not in COUNTRIES
