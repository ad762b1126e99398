"""Masking."""

import pytest

from providers.contract import Secret
from providers.redaction import mask_headers, mask_text, secrets_of
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
