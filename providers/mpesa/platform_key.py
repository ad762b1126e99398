"""The platform's key pair and its sessions, of the simulator alone.

The public half is what the portal shows (`PUBLIC_KEY`, base64 of DER), the private half decrypts. It protects nothing,
and is fixed, so that accounts keep working over restarts; so do sessions, which say themselves whose they are.
"""

import base64
import binascii
import re
import time
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

SESSION_S: Final = 3600

_E: Final = 65537
_P: Final = int(
    "f9a65c3edd2e047d542afbce26197874737784db8dda238ac20961e515237b198012ad7e29fbf539bacaa2b719e928541fca"
    "5877c81ba1554b31249e0ef67f7af32dca462c52a725997b51c81df8496759b0afdbbafa8b25a5c4630013b7a4b59a61522f"
    "e2e128ebb693ffc659a1b41fc23600a40e4f2d3678efbee92bfb00e94b64c0be96ee28595dd3494c7133003357623ed232cb"
    "a8726a91482809b27b9de3f79c62508066675f78a8f0a7bf855de20929d36989d9ae9246e8fa41834323850c9d51e1af6f2f"
    "c6023cfb755fe102ed17367a9b6e0ed4225b4a515227794933a5a8fc5aaba97fdbe1222d6eec1a19e16f76fff2280fa45b9b"
    "55551948bfeb",
    16,
)
_Q: Final = int(
    "f228672e516833a7824941e7c966e01daa05514ef6183456283de5e1d63f27ccb8f045f3c64b091b0c19e4b6df2a8028f863"
    "7f2d4fe48f5712b25d18d39f392bed247f1a801c14c5e802be6d9f9544bf304e1b14d1d3852118ba361cc941127ab1a5ff4e"
    "b007ccb67baf5ef81d2ac8ce71df4a3f093c22a214842b0457ba547931c1a35e4c283cca3aa8a9dcd9b31f95e6967988bc82"
    "5443ab6ee7d4d6fbbfffb6cb3493a0f45f9a5b85ab7c0322b532b9e856f0826460ce8524e1e8f4e6ec9e18aca852da3923d9"
    "3cd9d5b317ef2ea0e19c435b35a6f74d796472c4761996147efe2c967afbef73c9690e0a5a9aadb7d2fb28b6955cc8215538"
    "92ee3f9831b3",
    16,
)
_D: Final = pow(_E, -1, (_P - 1) * (_Q - 1))
_PRIVATE_KEY: Final = rsa.RSAPrivateNumbers(
    p=_P,
    q=_Q,
    d=_D,
    dmp1=rsa.rsa_crt_dmp1(_D, _P),
    dmq1=rsa.rsa_crt_dmq1(_D, _Q),
    iqmp=rsa.rsa_crt_iqmp(_P, _Q),
    public_numbers=rsa.RSAPublicNumbers(e=_E, n=_P * _Q),
).private_key()

PUBLIC_KEY: Final = base64.b64encode(
    _PRIVATE_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


def decrypted(bearer: str) -> str | None:
    """The key or session in an Authorization header, or None when it was not encrypted for this platform."""
    scheme, _, token = bearer.partition(" ")
    try:
        text = _PRIVATE_KEY.decrypt(base64.b64decode(token, validate=True), PKCS1v15()).decode("ascii")
    except (ValueError, binascii.Error):
        return None
    return text if scheme == "Bearer" and text.isprintable() else None


class Sessions(Struct):
    """How many were opened, and for how long after that each is not live yet."""

    live_after_s: float = 0
    opened: int = 0

    def open(self, api_key: str) -> str:
        """A new session of the holder of an API key."""
        self.opened += 1
        return f"{time.time():.3f}x{api_key}"

    def holder(self, bearer: str) -> str | None:
        """The API key of a live session, or None."""
        found = re.fullmatch(r"(\d+\.\d+)x(.+)", decrypted(bearer) or "")
        is_live = found and self.live_after_s <= time.time() - float(found[1]) < SESSION_S
        return found[2] if found and is_live else None
