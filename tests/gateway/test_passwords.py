"""Passwords: an unknown person costs what a known one costs, and a flood of them is turned away."""

import asyncio

import pytest
from argon2 import PasswordHasher

from gateway import passwords


def test_an_unknown_person_costs_one_verification_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, verified = passwords.hash("correct horse"), 0
    real = PasswordHasher.verify

    def counting(self: PasswordHasher, *arguments: str) -> bool:
        nonlocal verified
        verified += 1
        return bool(real(self, *arguments))

    monkeypatch.setattr(PasswordHasher, "verify", counting)
    assert passwords.verify(stored, "correct horse")
    assert not passwords.verify(stored, "battery staple")
    assert not passwords.verify(None, "correct horse")
    assert not passwords.verify(None, "nobody's password")
    assert verified == 4


async def test_a_flood_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 1)
    found = await asyncio.gather(*(passwords.matches(None, "x") for _ in range(5)), return_exceptions=True)
    assert found.count(False) == passwords.AT_ONCE + 1
    assert sum(isinstance(each, passwords.TooManyPasswords) for each in found) == 2
    assert await passwords.matches(await passwords.hashed("x"), "x")
