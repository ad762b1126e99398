"""Group 18 over HTTP: a token that names a key of its own makes us fetch nothing, and opens nothing."""

import json
import socket
import time
import uuid
from base64 import urlsafe_b64encode

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.installation import Installation

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NUMBERS = PRIVATE.public_key().public_numbers()


def encoded(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


JWK = {"kty": "RSA", "kid": "theirs", "n": encoded(NUMBERS.n), "e": encoded(NUMBERS.e)}


@pytest.mark.parametrize("member", ["jku", "x5u", "jwk", "kid"])
def test_18_no_token_makes_us_fetch_a_key(mypay: Installation, member: str) -> None:
    now = int(time.time())
    claims = {"iss": mypay.base_url, "aud": mypay.base_url, "sub": "usr_x", "sid": str(uuid.uuid4()), "jti": "1"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
        header = {"typ": "at+jwt", "kid": "theirs", member: JWK if member == "jwk" else url}
        token = jwt.encode({**claims, "iat": now, "nbf": now, "exp": now + 900}, PRIVATE, "RS256", headers=header)
        answer = httpx.get(f"{mypay.base_url}/v1/auth/merchants", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, json.loads(answer.content)["code"]) == (401, "unauthorized")
        with pytest.raises(TimeoutError):
            listener.accept()
