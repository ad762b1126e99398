"""Masking."""

import pytest

from providers.contract import Secret
from providers.redaction import EXCERPT_LENGTH, mask_exchange, mask_headers, mask_text, masks, secrets_of
from providers.registry import PROVIDERS


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("card 4111111111111111.", "card ***1111."),
        ("card 4111 1111 1111 1111", "card ***1111"),
        ("card 5555-5555-5555-4444", "card ***4444"),
        ("amex 378282246310005", "amex ***0005"),
        ("no card 4111111111111112", "no card 4111111111111112"),
        ("phone +26658123456, id 1234567890123", "phone +26658123456, id 1234567890123"),
        ("key sk_one, sk_one2", "key ***, ***"),
    ],
)
def test_text(text, masked):
    assert mask_text(text, ["sk_one", "sk_one2"]) == masked


HIDDEN = masks([Secret("sk_one"), 'a"b', "line\nbreak", "p@ss/w", ""], "+26658123456")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"msisdn":"58123456","phone": "+26658123456"}', '{"msisdn":"***456","phone": "+266***456"}'),
        ('{"apiKey":"abc","Password": "x\\"y","ok":"z"}', '{"apiKey":"***","Password": "***","ok":"z"}'),
        ('{"otp":123456,"token":null,"a":1}', '{"otp":"***","token":"***","a":1}'),
        ('{"keys":["abc","def"],"n":[1]}', '{"keys":"***","n":[1]}'),
        ('{"secret":"cut off in the mid', '{"secret":"***"'),
        ('{"pin":"1234","shipping":"x"}', '{"pin":"***","shipping":"x"}'),
        ("a=1&access_token=abc&x=26658123456", "a=1&access_token=***&x=266***456"),
        ("/v1/pay?reference=A&key=1", "/v1/pay?reference=A&key=***"),
        ("<a><Password>abc</Password></a>", "<a><Password>***</Password></a>"),
        ('sk_one a\\"b line\\nbreak p%40ss%2Fw', "*** *** *** ***"),
        ("4111 1111 1111 1111", "***1111"),
        ('{"amount":15000,"reference":"R58"}', '{"amount":15000,"reference":"R58"}'),
    ],
)
def test_exchange(text, masked):
    assert mask_exchange(text.encode(), HIDDEN) == masked


def test_a_long_exchange_is_cut_after_it_is_masked():
    text = b"x" * (EXCERPT_LENGTH - 3) + b"sk_one" + b"y" * 100_000
    assert mask_exchange(text, HIDDEN) == "x" * (EXCERPT_LENGTH - 3) + "***"
    assert mask_exchange(b"\x00\xff", HIDDEN) == "\N{REPLACEMENT CHARACTER}"


def test_the_phone_of_a_test_trigger_is_masked_unless_it_is_too_short_to_be_told_from_anything():
    assert mask_exchange(b"000000000001 is 000123", masks([], "000000000001")) == "***001 is 000123"
    assert mask_exchange(b"123 of 1234", masks([], "123")) == "123 of 1234"


def test_headers():
    headers = {
        "authorization": "Bearer x",
        "x-api-key": "x",
        "webhook-signature": "x",
        "set-cookie": "x",
        "content-type": "a/b",
    }
    assert mask_headers(headers) == {**dict.fromkeys(headers, "***"), "content-type": "a/b"}


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_settings_hold_secrets_that_are_never_shown(name, settings):
    account = settings(name)
    secrets = secrets_of(account)
    assert secrets
    assert all(isinstance(secret, Secret) for secret in secrets)
    assert not any(secret in repr(account) for secret in secrets)
