"""Servers that misbehave, and the smallest of providers to call them with."""

import asyncio
import ipaddress
import socket
import struct
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from providers.contract import Ambiguous, Credentials, HttpRequest, Secret, Succeeded
from providers.registry import PROVIDERS

ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"ok": "yes"}'
SECRET = "sk_canary"


class Account(Struct, frozen=True, kw_only=True):
    """The settings of the provider of these tests."""

    api_key: Secret = Secret(SECRET)
    ca_bundle: str | None = None


def authenticate(settings):
    yield from ()
    return Credentials(headers={"authorization": settings.api_key})


def provider(**fields):
    return msgspec.structs.replace(
        PROVIDERS["sandbox"],
        settings=Account,
        **{"authenticate": authenticate, "ca_bundle": lambda settings: settings.ca_bundle, **fields},
    )


def charge(path="/charge", **fields):
    """A flow that reads JSON, and leaves what it cannot judge to the transport."""
    response = yield HttpRequest(method="POST", path=path, content=b"{}", **fields)
    if response.status != 200:
        return Ambiguous(detail=f"HTTP {response.status}")
    msgspec.json.decode(response.content)
    return Succeeded()


DEFAULT = provider()


async def read_request(reader):
    """One request with its body of two bytes, as bytes."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(
        next((line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
    )
    return head + await reader.readexactly(length)


def reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answering(data: bytes, *, before=0.0, pause=0.0, end=True):
    """A peer that reads a request, answers `data` (slowly: in pieces of one byte) and closes."""

    async def behave(reader, writer):
        await read_request(reader)
        await asyncio.sleep(before)
        for piece in [data] if not pause else [data[i : i + 1] for i in range(len(data))]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if not end:
            await reader.read()

    return behave


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def response(head: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {head}\r\n\r\n".encode() + body


def sized(body: bytes, *, status="200 OK", extra="") -> bytes:
    return response(f"{status}\r\ncontent-length: {len(body)}{extra}", body)


def certificate(*, host="127.0.0.1", days=1):
    """A self-signed certificate and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    names = [x509.IPAddress(ipaddress.ip_address(host))]
    until = datetime.now(UTC) + timedelta(days=days)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=10))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = cert.public_bytes(serialization.Encoding.PEM)
    return pem.decode(), pem + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
