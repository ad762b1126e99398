"""Signatures: the good one passes, anything else is `SignatureInvalid` and nothing else."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.contract import CallbackRequest, SignatureInvalid
from providers.signing import matches, verify_body, verify_standard_webhook, verify_timestamped

# The example of the Standard Webhooks reference libraries (their own test vector).
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime.fromtimestamp(1614265330, UTC)
GOOD = CallbackRequest(
    method="POST",
    query="",
    headers={
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
    body=b'{"test": 2432232314}',
    received_at=NOW,
)
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret").decode()


def changed(**fields) -> CallbackRequest:
    headers = {**GOOD.headers, **fields.pop("headers", {})}
    return msgspec.structs.replace(GOOD, headers={k: v for k, v in headers.items() if v is not None}, **fields)


def refuse(request, secrets=(SECRET,)):
    with pytest.raises(SignatureInvalid):
        verify_standard_webhook(request, secrets)


def test_the_published_example():
    verify_standard_webhook(GOOD, [SECRET])


def test_each_byte_counts():
    for place in range(len(GOOD.body)):
        body = bytearray(GOOD.body)
        body[place] ^= 1
        refuse(changed(body=bytes(body)))
    for name, value in GOOD.headers.items():
        for place in range(len(value)):
            refuse(changed(headers={name: value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]}))


@pytest.mark.parametrize("name", sorted(GOOD.headers))
@pytest.mark.parametrize(
    "value", [None, "", " ", "v1", "v1,", ",", "é", "\ud800", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]
)
def test_malformed_headers(name, value):
    refuse(changed(headers={name: value}))


@pytest.mark.parametrize("timestamp", ["1e9", "-1", "1614265330.0", "١٦١٤٢٦٥٣٣٠", "0x1", "9" * 400, " 1614265330"])
def test_malformed_timestamps(timestamp):
    refuse(changed(headers={"webhook-timestamp": timestamp}))


@pytest.mark.parametrize(("seconds", "fresh"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_tolerance_both_ways(seconds, fresh):
    request = changed(received_at=NOW + timedelta(seconds=seconds))
    if fresh:
        verify_standard_webhook(request, [SECRET])
    else:
        refuse(request)


@pytest.mark.parametrize("secret", ["", "whsec_", "not base64!", OTHER_SECRET])
def test_wrong_secrets(secret):
    refuse(GOOD, [secret])


def test_either_secret_while_one_is_rotated():
    verify_standard_webhook(GOOD, [OTHER_SECRET, SECRET])


def test_one_good_signature_among_many():
    many = " ".join(["v1,AAAA", "v2,x", GOOD.headers["webhook-signature"], *["v1,BBBB"] * 1000])
    verify_standard_webhook(changed(headers={"webhook-signature": many}), [SECRET])


@given(st.dictionaries(st.sampled_from([*GOOD.headers, "other"]), st.text(max_size=80)), st.binary(max_size=50))
def test_no_other_error(headers, body):
    refuse(msgspec.structs.replace(GOOD, headers=headers, body=body))


@given(st.text(), st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_matches_is_equality(given_text, expected):
    assert matches(given_text, expected) == (given_text == expected)


# --- In one header ----------------------------------------------------------------------------------------------------

HEADER, KEY, AT = "x-signature", "whsec_test", 1614265330


def hexadecimal(message: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def with_header(value, body=b"{}", late_s=0):
    headers = {} if value is None else {HEADER: value}
    received = NOW + timedelta(seconds=late_s)
    return CallbackRequest(method="POST", query="", headers=headers, body=body, received_at=received)


def test_a_signed_time_and_body():
    right = f"t={AT},v1={hexadecimal(f'{AT}.{{}}'.encode())}"
    verify_timestamped(with_header(right), HEADER, [KEY])
    verify_timestamped(with_header(f"t={AT}, v1=00, v0=1, {right.split(',')[1]}"), HEADER, ["other", KEY])


@pytest.mark.parametrize("late_s", [-301, 301])
def test_a_signed_time_that_is_not_now(late_s):
    right = f"t={AT},v1={hexadecimal(f'{AT}.{{}}'.encode())}"
    with pytest.raises(SignatureInvalid):
        verify_timestamped(with_header(right, late_s=late_s), HEADER, [KEY])


@pytest.mark.parametrize(
    "value", [None, "", "v1=", "t=1", f"t={AT},v1=", f"t={AT + 1},v1=00", "é", "t=,v1=,", "=", ","]
)
@pytest.mark.parametrize("verify", [verify_timestamped, verify_body])
def test_anything_else_is_refused(verify, value):
    for secrets in ([KEY], [""], []):
        with pytest.raises(SignatureInvalid):
            verify(with_header(value), HEADER, secrets)


def test_a_signed_body():
    verify_body(with_header(hexadecimal(b"{}")), HEADER, [KEY])
    for body, key in ((b"{ }", KEY), (b"{}", "other")):
        with pytest.raises(SignatureInvalid):
            verify_body(with_header(hexadecimal(b"{}"), body), HEADER, [key])
