"""pawaPay's side of its protocol, for its simulator: orders and what is wrong with them, and signed callbacks."""

import base64
import hashlib
import re
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

from providers.simulation import Reply, Request, json

Kind = Literal["deposits", "payouts", "refunds"]
NAMES: Final[dict[str, str]] = {"deposits": "depositId", "payouts": "payoutId", "refunds": "refundId"}
LEDGER: Final[dict[str, str]] = {"deposits": "charges", "payouts": "payouts", "refunds": "refunds"}

KEY_ID: Final = "HTTP_EC_P256_KEY:1"
UUID4: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
AMOUNT: Final = re.compile(r"^([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[1-9])?$")
MESSAGE: Final = re.compile(r"[a-zA-Z0-9 ]{4,22}")
COMPONENTS: Final = ("@method", "@authority", "@path", "signature-date", "content-digest", "content-type")

# Network: calling code, digits of a number without it (the sandbox's one of Lesotho has nine), currency, decimals.
NETWORKS: Final = {
    "MPESA_LSO": ("266", (8, 9), "LSL", 2),
    "MPESA_KEN": ("254", (9,), "KES", 0),
    "MPESA_ETH": ("251", (9,), "ETB", 2),
}


def _private_key(secret: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(secret).digest()) >> 1, ec.SECP256R1())


KEY: Final = _private_key(b"pawapay simulator")
STRANGERS_KEY: Final = _private_key(b"somebody else")
PUBLIC_KEY: Final = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Details(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A wallet."""

    phone_number: str
    provider: str


class Wallet(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Who pays or is paid."""

    type: Literal["MMO"]
    account_details: Details


class Order(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an initiation, of any kind."""

    deposit_id: str | None = None
    payout_id: str | None = None
    refund_id: str | None = None
    amount: str | None = None
    currency: str | None = None
    payer: Wallet | None = None
    recipient: Wallet | None = None
    customer_message: str | None = None
    client_reference_id: str | None = None
    metadata: list[dict[str, Any]] = []


def problem_of(order: Order, wallet: Wallet) -> str | None:
    network = NETWORKS.get(wallet.account_details.provider)
    if network is None:
        return "INVALID_PROVIDER"
    code, lengths, currency, decimals = network
    phone = wallet.account_details.phone_number
    if not phone.startswith(code) or not phone.isdigit() or len(phone) - len(code) not in lengths:
        return "INVALID_PHONE_NUMBER"
    if order.currency != currency:
        return "INVALID_CURRENCY"
    if order.customer_message is not None and not MESSAGE.fullmatch(order.customer_message):
        return "INVALID_PARAMETER"
    whole, _, part = (order.amount or "").partition(".")
    return None if AMOUNT.fullmatch(order.amount or "") and len(part) <= decimals and whole else "INVALID_AMOUNT"


def minor(amount: str, decimals: int) -> int:
    whole, _, part = amount.partition(".")
    return int(whole + part.ljust(decimals, "0"))


def rejected(kind: Kind, identifier: str, failure: str) -> Reply:
    status = 400 if failure in ("INVALID_PARAMETER", "MISSING_PARAMETER") else 200
    reason = {"failureCode": failure, "failureMessage": failure.replace("_", " ").lower()}
    return json({NAMES[kind]: identifier, "status": "REJECTED", "failureReason": reason}, status)


def error(status: int, failure: str) -> Reply:
    return json({"failureReason": {"failureCode": failure, "failureMessage": failure}}, status)


def unauthorized(request: Request) -> Reply | None:
    token = token_of(request)
    if not token:
        return error(401, "NO_AUTHENTICATION")
    return error(403, "AUTHENTICATION_ERROR") if token.startswith("bad") else None


def token_of(request: Request) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def signed(
    content: bytes, url: str, at: datetime, key: ec.EllipticCurvePrivateKey = KEY, *, der: bool = False
) -> dict[str, str]:
    """The headers of a callback, signed as RFC 9421 and pawaPay's page on signatures say."""
    address = urlsplit(url)
    headers = {
        "content-type": "application/json; charset=UTF-8",
        "content-digest": f"sha-512=:{base64.b64encode(hashlib.sha512(content).digest()).decode()}:",
        "signature-date": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    values = {"@method": "POST", "@authority": address.netloc.lower(), "@path": address.path, **headers}
    created = int(at.timestamp())
    covered = " ".join(f'"{name}"' for name in COMPONENTS)
    times = f"created={created};expires={created + 60}"
    parameters = f'({covered});alg="ecdsa-p256-sha256";keyid="{KEY_ID}";{times}'
    lines = [f'"{name}": {values[name]}' for name in COMPONENTS] + [f'"@signature-params": {parameters}']
    signature = key.sign("\n".join(lines).encode(), ec.ECDSA(SHA256()))
    if not der:
        signature = b"".join(number.to_bytes(32) for number in decode_dss_signature(signature))
    given = {"signature-input": f"sig-pp={parameters}", "signature": f"sig-pp=:{base64.b64encode(signature).decode()}:"}
    return {**headers, **given}
