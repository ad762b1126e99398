"""Sealed secrets open where they were sealed, and nowhere else."""

import os
from uuid import UUID

import pytest

from gateway import ids
from gateway.sealing import SealBroken, Sealer, place

HERE = place("account_settings", "sealed", UUID(int=1), 1, UUID(int=2))


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(os.urandom(32))


@pytest.mark.parametrize("plaintext", [b"", b"x", b'{"api_key":"k"}', bytes(10_000)])
def test_what_is_sealed_opens(sealer: Sealer, plaintext: bytes) -> None:
    assert sealer.open(sealer.seal(plaintext, place=HERE), place=HERE) == plaintext


def test_the_sealed_form_shows_nothing_and_never_repeats(sealer: Sealer) -> None:
    first, second = (sealer.seal(b"correct horse battery", place=HERE) for _ in range(2))
    assert b"horse" not in first
    # Not even the wrapped data keys are equal: each secret has a key of its own.
    assert first[9:69] != second[9:69]
    assert first[:9] == second[:9] == b"\x01" + sealer.kek_id


@pytest.mark.parametrize(
    "elsewhere",
    [
        place("operations", "sealed", UUID(int=1), 1, UUID(int=2)),
        place("account_settings", "other", UUID(int=1), 1, UUID(int=2)),
        place("account_settings", "sealed", UUID(int=3), 1, UUID(int=2)),
        place("account_settings", "sealed", UUID(int=1), 2, UUID(int=2)),
        place("account_settings", "sealed", UUID(int=1), 1, UUID(int=3)),
    ],
)
def test_a_moved_secret_does_not_open(sealer: Sealer, elsewhere: str) -> None:
    with pytest.raises(SealBroken, match="moved"):
        sealer.open(sealer.seal(b"secret", place=HERE), place=elsewhere)


def test_every_changed_byte_is_found(sealer: Sealer) -> None:
    sealed = sealer.seal(b"secret", place=HERE)
    for index in range(len(sealed)):
        changed = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        with pytest.raises(SealBroken):
            sealer.open(changed, place=HERE)


def test_a_data_key_of_another_secret_does_not_fit(sealer: Sealer) -> None:
    one, other = (sealer.seal(b"secret", place=HERE) for _ in range(2))
    with pytest.raises(SealBroken):
        sealer.open(one[:69] + other[69:], place=HERE)


@pytest.mark.parametrize("length", [0, 1, 8, 9, 68, 96])
def test_a_cut_off_secret_is_refused(sealer: Sealer, length: int) -> None:
    with pytest.raises(SealBroken):
        sealer.open(sealer.seal(b"secret", place=HERE)[:length], place=HERE)


def test_another_secret_key_is_named_as_the_cause(sealer: Sealer) -> None:
    with pytest.raises(SealBroken, match="another SECRET_KEY"):
        Sealer(os.urandom(32)).open(sealer.seal(b"secret", place=HERE), place=HERE)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(os.urandom(16))


def test_places_of_different_rows_differ() -> None:
    row, merchant = ids.new(), ids.new()
    assert place("t", "c", row, 1, merchant) != place("t", "c", merchant, 1, row)
