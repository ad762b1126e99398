"""API keys carry their own checksum; passwords are argon2id."""

import re
import zlib

import pytest

from gateway import keys, passwords


@pytest.mark.parametrize(("livemode", "start"), [(True, "sk_live_"), (False, "sk_test_")])
def test_a_key_has_the_documented_shape(livemode: bool, start: str) -> None:
    key = keys.make(livemode)
    assert re.fullmatch(start + "[0-9A-Za-z]{38}", key)
    assert keys.is_well_formed(key)
    assert keys.prefix(key) == key[:12]


def test_the_checksum_is_crc32_in_base62() -> None:
    key = keys.make(livemode=False)
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = 0
    for character in key[-6:]:
        value = value * 62 + alphabet.index(character)
    assert value == zlib.crc32(key[:-6].encode())


def test_every_mistyped_character_is_found() -> None:
    key = keys.make(livemode=False)
    for index in range(len(key)):
        mistyped = key[:index] + ("A" if key[index] != "A" else "B") + key[index + 1 :]
        assert not keys.is_well_formed(mistyped), mistyped


@pytest.mark.parametrize("text", ["", "sk_test_", "pk_test_" + "0" * 38, "sk_test_" + "0" * 38, "sk_test_" + "é" * 38])
def test_other_text_is_no_key(text: str) -> None:
    assert not keys.is_well_formed(text)


def test_a_trailing_line_end_is_no_key() -> None:
    assert not keys.is_well_formed(keys.make(livemode=True) + "\n")


def test_keys_do_not_repeat() -> None:
    made = [keys.make(livemode=False) for _ in range(1000)]
    assert len(set(made)) == 1000
    assert len({keys.digest(key) for key in made}) == 1000


def test_a_password_is_verified() -> None:
    stored = passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert stored != passwords.hash("correct horse")
    assert passwords.verify(stored, "correct horse")
    assert not passwords.verify(stored, "correct hors")
    assert not passwords.verify(stored, "")


def test_nobody_can_sign_in_as_an_unknown_person() -> None:
    assert not passwords.verify(None, "anything")
    assert not passwords.verify(None, "nobody's password")
