"""Signatures: the good one passes, anything else is `SignatureInvalid` and nothing else."""

import base64
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.contract import CallbackRequest, SignatureInvalid
from providers.signing import matches, verify_standard_webhook

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
