"""HTTP Message Signatures of callbacks: the RFC's own example, and everything that must be refused."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from providers.contract import CallbackRequest, SignatureInvalid
from providers.message_signatures import _P256, public_keys, verify_message
from providers.pawapay import protocol
from providers.pawapay.protocol import KEY, PUBLIC_KEY, STRANGERS_KEY, signed

URL = "https://pay.example/callbacks/pawapay/token"
AT = datetime(2026, 3, 31, 22, 0, tzinfo=UTC)
BODY = b'{"depositId": "afb57b93-7849-49aa-8abb-4c3ccbfe3d79"}'
STRANGERS_PEM = STRANGERS_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

# RFC 9421, appendix B.2.4, with the key of B.1.3.
RFC_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCn"
    "TNnoXQ=="
)
RFC_SIGNATURE = "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw=="
RFC_DIGEST = "mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ=="
RFC_COVERED = '("@status" "content-type" "content-digest" "content-length")'
RFC_BASE = "\n".join(
    [
        '"@status": 200',
        '"content-type": application/json',
        f'"content-digest": sha-512=:{RFC_DIGEST}:',
        '"content-length": 23',
        f'"@signature-params": {RFC_COVERED};created=1618884473;keyid="test-key-ecc-p256"',
    ]
)


def test_the_rfcs_own_signature_raw_and_in_der():
    verifier = _P256(public_key=load_der_public_key(base64.b64decode(RFC_KEY)))
    raw = base64.b64decode(RFC_SIGNATURE)
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    for signature in (raw, der):
        verifier.verify(signature, RFC_BASE.encode())
        with pytest.raises(InvalidSignature):
            verifier.verify(signature, RFC_BASE.replace("200", "201").encode())


def received(headers=None, **fields):
    known = {"method": "POST", "query": "", "body": BODY, "received_at": AT, "url": URL}
    return CallbackRequest(headers=signed(BODY, URL, AT) if headers is None else headers, **{**known, **fields})


def refuse(request, keys=PUBLIC_KEY):
    with pytest.raises(SignatureInvalid):
        verify_message(request, keys)


def test_what_was_signed_for_us():
    verify_message(received(), PUBLIC_KEY)
    verify_message(received(), STRANGERS_PEM + PUBLIC_KEY)  # while the key changes
    verify_message(received(signed(BODY, URL, AT, der=True)), PUBLIC_KEY)
    verify_message(received(received_at=AT + timedelta(seconds=60)), PUBLIC_KEY)


def test_what_was_signed_for_another_address_is_not_ours():
    """All customers of a provider see the same key: only the address tells whose a callback is."""
    refuse(received(url="https://pay.example/callbacks/pawapay/other"))
    refuse(received(url="https://other.example/callbacks/pawapay/token"))
    refuse(received(method="PUT"))
    refuse(received(url=""))


def test_another_time_another_key_another_body():
    refuse(received(received_at=AT + timedelta(seconds=61)))  # expires 60 s after it was made
    refuse(received(received_at=AT - timedelta(seconds=301)))
    refuse(received(signed(BODY, URL, AT, STRANGERS_KEY)))
    refuse(received(body=BODY + b" "))
    refuse(received(), None)
    refuse(received(headers={}))


@pytest.mark.parametrize("component", ["@method", "@authority", "@path", "content-digest"])
def test_what_is_not_covered_proves_nothing(component, monkeypatch):
    rest = tuple(name for name in protocol.COMPONENTS if name != component)
    monkeypatch.setattr(protocol, "COMPONENTS", rest)
    refuse(received(signed(BODY, URL, AT)))


@pytest.mark.parametrize("parameter", ["alg", "created", "expires"])
def test_what_does_not_say_how_and_when_is_refused(parameter, monkeypatch):
    def without(name):
        return ";".join(part for part in name.split(";") if not part.startswith(parameter + "="))

    class Signer:
        def sign(self, base, how):
            return KEY.sign(without(base.decode()).encode(), how)

    headers = protocol.signed(BODY, URL, AT, Signer())
    refuse(received({**headers, "signature-input": without(headers["signature-input"])}))


@given(
    st.sampled_from(["signature", "signature-input", "content-digest", "signature-date", "content-type"]),
    st.text(max_size=60),
)
def test_whatever_stands_in_a_header(name, value):
    headers = signed(BODY, URL, AT)
    if value != headers[name]:
        refuse(received({**headers, name: value}))


def test_each_letter_of_a_signature_counts():
    """Also the last, of which base64 needs only a part (in DER, whose length is any)."""
    for _ in range(20):
        headers = signed(BODY, URL, AT, der=True)
        given = headers["signature"]
        for place in range(len(given) - 6, len(given) - 1):
            for bit in (1, 2, 4):
                other = given[:place] + chr(ord(given[place]) ^ bit) + given[place + 1 :]
                refuse(received({**headers, "signature": other}))
    for odd in (":A:", ":AAAAA:", ":=:", "::"):
        refuse(received({**signed(BODY, URL, AT), "signature": "sig-pp=" + odd}))


@pytest.mark.parametrize(
    "text", ["", "key", "-----END PUBLIC KEY-----", PUBLIC_KEY.replace("MFkw", "AAAA"), PUBLIC_KEY[:80]]
)
def test_what_is_no_key(text):
    with pytest.raises(ValueError):
        public_keys(text)


def test_keys_of_a_text():
    assert len(public_keys(PUBLIC_KEY)) == 1
    assert public_keys(STRANGERS_PEM + "\n" + PUBLIC_KEY)[1:] == public_keys(PUBLIC_KEY)
