"""Which accounts' addresses are filtered when the executor connects."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway import ids
from gateway.settings import Settings
from gateway.store.directory import AccountRow
from gateway.store.vault import network_for
from providers.contract import Secret

SIMULATOR, ELSEWHERE = "http://127.0.0.1:5101", "https://pay.example"


def settings(**members: Any) -> Settings:
    secret = Secret("x" * 43)
    return Settings(
        secret_key=secret,
        jwt_secret_key=secret,
        database_uri=secret,
        simulator_urls=f"sandbox={SIMULATOR}",
        **members,
    )


def account(*, livemode: bool) -> AccountRow:
    return AccountRow(
        id=ids.new(),
        merchant_id=ids.new(),
        provider="sandbox",
        livemode=livemode,
        label="",
        enabled=True,
        priority=1,
        callback_token="t",
        settings_version=1,
        created_at=datetime.now(UTC),
    )


@pytest.mark.parametrize(
    ("environment", "allowed", "livemode", "url", "filtered"),
    [
        ("production", False, False, ELSEWHERE, True),
        ("production", True, False, ELSEWHERE, True),
        ("development", False, False, ELSEWHERE, True),
        ("development", True, False, ELSEWHERE, False),
        ("development", True, True, ELSEWHERE, True),
        ("production", False, True, SIMULATOR, False),
        ("production", False, True, f"{SIMULATOR}.example", True),
    ],
)
def test_only_the_installation_itself_lets_an_account_reach_inside(
    environment: Any, allowed: bool, livemode: bool, url: str, filtered: bool
) -> None:
    made = settings(mypay_env=environment, allow_private_targets=allowed)
    assert (network_for(made, account(livemode=livemode), url) is not None) is filtered
