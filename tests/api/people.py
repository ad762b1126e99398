"""People of a test: who they are, and their clients."""

import uuid
from typing import Any

import httpx

from tests.support.installation import Installation

PASSWORD = "correct horse battery"


def ask_token(mypay: Installation, email: str, password: str) -> httpx.Response:
    """The answer to a sign-in."""
    return httpx.post(f"{mypay.base_url}/v1/auth/token", json={"email": email, "password": password}, timeout=10)


def signed_in(mypay: Installation, email: str, password: str) -> dict[str, Any]:
    """Both tokens of a new session."""
    answer = ask_token(mypay, email, password)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def client(mypay: Installation, token: str, **headers: str) -> httpx.Client:
    """A client with an access token."""
    return httpx.Client(base_url=mypay.base_url, headers={"Authorization": f"Bearer {token}", **headers}, timeout=10)


class Person:
    """Somebody with a role, made by the demo's owner, and signed in."""

    def __init__(self, mypay: Installation, owner: httpx.Client, role: str) -> None:
        self.email, self.password = f"{role}-{uuid.uuid4().hex[:8]}@example.test", PASSWORD
        made = owner.post("/v1/admin/users", json={"email": self.email, "role": role, "password": PASSWORD})
        assert made.status_code == 201, made.text
        self.id = str(made.json()["id"])
        self.tokens = signed_in(mypay, self.email, PASSWORD)
        self.mypay = mypay
        self.client = client(mypay, self.tokens["access_token"])

    def of(self, merchant: str, *, livemode: bool = False) -> httpx.Client:
        """A client that acts on a merchant."""
        headers = {"MyPay-Merchant": merchant, "MyPay-Livemode": "true" if livemode else "false"}
        return client(self.mypay, self.tokens["access_token"], **headers)
