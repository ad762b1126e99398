"""Card numbers are refused wherever people write them, and other numbers are not."""

from typing import Any

import pytest

from gateway.payments import cards
from gateway.payments.errors import MyPayError


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"description": "paid with 4111 1111 1111 1111, thanks"}, "/description"),
        ({"customer": {"name": "5555-5555-5555-4444"}}, "/customer/name"),
        ({"metadata": {"a/b~": "378282246310005"}}, "/metadata/a~1b~0"),
        ({"metadata": {"6011000990139424": "x"}}, "/metadata"),
        ({"metadata": {"reference": "4111111111111111"}}, "/metadata/reference"),
        ({"reason": "3530111333300000"}, "/reason"),
    ],
)
def test_a_card_number_is_refused_where_it_is(body: dict[str, Any], pointer: str) -> None:
    with pytest.raises(MyPayError) as refused:
        cards.refuse(body)
    assert (refused.value.code, [each.pointer for each in refused.value.errors]) == ("card_number_refused", [pointer])
    assert "1111" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # its check digit is wrong
        "order4111111111111111",
        "41111111111111111111",
        "1764032536507001",  # microseconds: no card begins with 1
        "490154203237518",  # an IMEI: 15 digits, but not of American Express
        "+26658123456",
        "2026-11-25 12:00:00",
    ],
)
def test_other_numbers_are_not(text: str) -> None:
    cards.refuse({"description": text, "metadata": {"k": text}})


def test_what_names_things_and_what_is_sealed_is_not_looked_at() -> None:
    pan = "4111111111111111"
    cards.refuse({"reference": pan, "password": pan, "settings": {"api_key": pan}, "method": {"token": pan}})
    assert cards.is_number(pan)
    assert not cards.is_number("tok_4111111111111111")
