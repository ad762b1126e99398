"""The transport against servers that misbehave: what was sent decides between NotSent and Unknown."""

import asyncio
import ipaddress
import socket
import ssl
import struct
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from providers.contract import (
    Ambiguous,
    ConfigurationMissing,
    Credentials,
    Declined,
    HttpRequest,
    LoginRefused,
    NotSent,
    Pending,
    Secret,
    Succeeded,
    Unknown,
)
from providers.declines import DeclineCode
from providers.registry import PROVIDERS
from providers.transport import BODY_LIMIT, Caller, LeaseTooShort

pytestmark = pytest.mark.anyio

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


@pytest.fixture
async def call():
    """Performs flows at a URL, with one caller for each spec."""
    callers = {}

    async def perform(url, flow=None, *, spec=None, account=None, deadline_s=2.0, before_send=None):
        spec = spec or DEFAULT
        account = account or Account()
        key = (id(spec), url, account.ca_bundle)
        if key not in callers:
            callers[key] = Caller(spec, account, url)
        outcome = await callers[key].call(flow or charge(), deadline_s=deadline_s, before_send=before_send)
        assert SECRET not in repr(outcome)
        return outcome

    yield perform
    for one in callers.values():
        await one.aclose()


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


# --- Nothing was sent ---------------------------------------------------------------------------------------------


async def test_refused(call):
    assert isinstance(await call(f"http://127.0.0.1:{closed_port()}"), NotSent)


async def test_no_such_host(call):
    assert isinstance(await call("http://nowhere.invalid"), NotSent)


async def test_nobody_accepts(call):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        outcome = await call(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline_s=0.3)
        for filler in fillers:
            filler.close()
    assert isinstance(outcome, NotSent)


async def test_a_full_pool(call, peer):
    url = await peer(answering(ANSWER, before=1.5))
    one_slot = provider(slots=1)
    first = asyncio.create_task(call(url, spec=one_slot, deadline_s=5))
    await asyncio.sleep(0.1)
    assert isinstance(await call(url, spec=one_slot, deadline_s=5), NotSent)
    assert await first == Succeeded()


async def test_an_unwritable_header(call, peer):
    url = await peer(answering(ANSWER))
    assert isinstance(await call(url, charge(headers={"x": "a\nb"})), NotSent)


async def test_a_bug_before_the_first_request(call, peer, caplog):
    def flow():
        raise KeyError(SECRET)
        yield

    url = await peer(answering(ANSWER))
    assert await call(url, flow()) == NotSent(detail="KeyError")
    assert "KeyError" in caplog.text
    assert SECRET not in caplog.text


# --- TLS ----------------------------------------------------------------------------------------------------------


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


@pytest.fixture
def tls(tmp_path):
    def make(**fields):
        pem, both = certificate(**fields)
        (tmp_path / "tls.pem").write_bytes(both)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "tls.pem")
        return pem, context

    return make


async def test_a_self_signed_certificate_is_trusted_only_by_name(call, peer, tls):
    pem, context = tls()
    url = await peer(answering(ANSWER), ssl=context)
    assert isinstance(await call(url), NotSent)
    assert await call(url, account=Account(ca_bundle=pem)) == Succeeded()


@pytest.mark.parametrize("fields", [{"host": "127.0.0.2"}, {"days": -1}])
async def test_a_wrong_certificate(call, peer, tls, fields):
    pem, context = tls(**fields)
    url = await peer(answering(ANSWER), ssl=context)
    assert isinstance(await call(url, account=Account(ca_bundle=pem)), NotSent)


async def test_no_tls_at_all(call, peer):
    async def behave(reader, writer):
        await reader.read(1)
        writer.write(ANSWER)

    url = await peer(behave)
    assert isinstance(await call(url.replace("http:", "https:")), NotSent)


def test_a_bundle_without_certificates():
    with pytest.raises(ConfigurationMissing):
        Caller(DEFAULT, Account(ca_bundle="none"), "https://127.0.0.1")


# --- Something may have happened ----------------------------------------------------------------------------------


def response(head: str, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {head}\r\n\r\n".encode() + body


def sized(body: bytes, *, status="200 OK", extra="") -> bytes:
    return response(f"{status}\r\ncontent-length: {len(body)}{extra}", body)


ANSWERS = {
    "closed": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "no http": b"\x16\x03\x01 nonsense\r\n\r\n",
    "less than promised": response("200 OK\r\ncontent-length: 100", b'{"ok":'),
    "truncated json": sized(b'{"ok": '),
    "html": sized(b"<html>Bad gateway</html>"),
    "empty": sized(b""),
    "not utf-8": sized(b'{"ok": "\xff"}'),
    "too deep": sized(b"[" * 100_000),
    "too long": sized(b" " * (BODY_LIMIT + 1)),
    "endless": response("200 OK\r\ntransfer-encoding: chunked", b"ffff\r\n" + b" " * 65535 + b"\r\n")
    + (b"ffff\r\n" + b" " * 65535 + b"\r\n") * 20,
    "compressed": sized(b"\x1f\x8b\x08", extra="\r\ncontent-encoding: gzip"),
}


@pytest.mark.parametrize("name", sorted(ANSWERS))
async def test_unusable_answers(call, peer, name):
    url = await peer(answering(ANSWERS[name]))
    assert isinstance(await call(url), Unknown)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 409, 429, 500, 502, 503, 504])
async def test_statuses_are_left_to_the_flow(call, peer, status):
    seen = []

    async def behave(reader, writer):
        seen.append(await read_request(reader))
        writer.write(sized(b"", status=f"{status} X", extra=f"\r\nlocation: {url}/elsewhere\r\nset-cookie: a=b"))
        await writer.drain()

    url = await peer(behave)
    assert await call(url) == Ambiguous(detail=f"HTTP {status}")
    await call(url)
    assert len(seen) == 2, "nothing is repeated, and no redirect followed"
    assert b"cookie" not in seen[1].lower()


async def test_reset_after_the_request(call, peer):
    async def behave(reader, writer):
        await read_request(reader)
        reset(writer)

    assert isinstance(await call(await peer(behave)), Unknown)


async def test_reset_at_once(call, peer):
    async def behave(reader, writer):
        reset(writer)

    assert isinstance(await call(await peer(behave)), (Unknown, NotSent))


@pytest.mark.parametrize(
    "behave",
    [answering(b"", end=False), answering(ANSWER, pause=0.1), answering(ANSWER[:40], end=False)],
    ids=["hangs", "drips", "stops midway"],
)
async def test_the_deadline_bounds_everything(call, peer, behave):
    url = await peer(behave)
    started = time.monotonic()
    assert isinstance(await call(url, deadline_s=0.4), Unknown)
    assert time.monotonic() - started < 0.9


async def test_a_slow_answer_within_the_deadline(call, peer):
    assert await call(await peer(answering(ANSWER, before=0.3))) == Succeeded()


async def test_the_biggest_answer(call, peer):
    assert await call(await peer(answering(sized(b" " * (BODY_LIMIT - 4) + b"null")))) == Succeeded()


async def test_a_bug_after_the_request(call, peer, caplog):
    def flow():
        yield HttpRequest(method="GET", path="/")
        raise ValueError(SECRET)

    assert await call(await peer(answering(ANSWER)), flow()) == Unknown(detail="ValueError")
    assert SECRET not in caplog.text


async def test_a_second_request_that_is_not_sent(call, peer):
    """Once the first went out nothing is NotSent any more."""

    async def behave(reader, writer):
        await read_request(reader)
        writer.write(ANSWER)
        await writer.drain()
        await hang_up()

    async def hang_up():
        servers.pop().close()

    servers = []

    async def connected(reader, writer):
        await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    servers.append(server)

    def flow():
        yield HttpRequest(method="GET", path="/first")
        yield HttpRequest(method="GET", path="/second")
        return Succeeded()

    assert isinstance(await call(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flow()), Unknown)


async def test_cancellation_is_passed_on(call, peer):
    task = asyncio.create_task(call(await peer(answering(b"", end=False))))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- Kept connections ---------------------------------------------------------------------------------------------


async def test_a_connection_is_kept_and_a_closed_one_is_noticed(call, peer):
    connections = []

    async def behave(reader, writer):
        connections.append(0)
        while await read_request(reader):
            writer.write(ANSWER)
            await writer.drain()
            connections[-1] += 1
            if connections[-1] == 2:
                return

    url = await peer(behave)
    for _ in range(3):
        assert await call(url) == Succeeded()
        await asyncio.sleep(0.05)
    assert connections == [2, 1]


async def test_a_kept_connection_that_dies_under_the_request(call, peer):
    async def behave(reader, writer):
        await read_request(reader)
        writer.write(ANSWER)
        await read_request(reader)
        reset(writer)

    url = await peer(behave)
    assert await call(url) == Succeeded()
    assert isinstance(await call(url), Unknown)


async def test_a_second_answer_to_one_request_is_not_taken_for_the_next(call, peer):
    async def behave(reader, writer):
        while await read_request(reader):
            writer.write(ANSWER)
            await asyncio.sleep(0.02)
            writer.write(sized(b"broken"))

    url = await peer(behave)
    for _ in range(2):
        assert await call(url) == Succeeded()
        await asyncio.sleep(0.05)


# --- The hook before sending --------------------------------------------------------------------------------------


async def test_the_hook_stops_a_call_before_its_first_byte(call, peer):
    seen = bytearray()

    async def behave(reader, writer):
        while data := await reader.read(1000):
            seen.extend(data)
            writer.write(ANSWER)

    def refuse():
        raise LeaseTooShort

    url = await peer(behave)
    assert isinstance(await call(url, before_send=refuse), NotSent)
    await asyncio.sleep(0.05)
    assert not seen
    assert await call(url) == Succeeded()
    first = len(seen)
    assert isinstance(await call(url, before_send=refuse), NotSent), "on a kept connection too"
    await asyncio.sleep(0.05)
    assert len(seen) == first


async def test_the_hook_is_called_once_for_two_requests(call, peer):
    async def behave(reader, writer):
        while await read_request(reader):
            writer.write(ANSWER)

    def flow():
        yield HttpRequest(method="GET", path="/first")
        yield HttpRequest(method="GET", path="/second")
        return Succeeded()

    calls = []
    assert await call(await peer(behave), flow(), before_send=lambda: calls.append(1)) == Succeeded()
    assert calls == [1]


async def test_the_hook_is_not_called_without_a_connection(call):
    calls = []
    await call(f"http://127.0.0.1:{closed_port()}", before_send=lambda: calls.append(1))
    assert calls == []


# --- Logging in ---------------------------------------------------------------------------------------------------


def logging_in(*, ttl_s=None):
    def login(settings):
        response = yield HttpRequest(method="POST", path="/login", content=b"{}")
        if response.status == 403:
            raise LoginRefused("403")
        token = msgspec.json.decode(response.content)["token"]
        return Credentials(headers={"authorization": f"Bearer {token}"}, ttl_s=ttl_s)

    return provider(authenticate=login)


class Bank:
    """Gives tokens, and accepts only the one it gave last."""

    def __init__(self) -> None:
        self.logins = 0
        self.paths = []
        self.login_answer = None
        self.expired = False

    async def behave(self, reader, writer):
        while request := await read_request(reader):
            path = request.split(b" ")[1].decode()
            self.paths.append(path)
            writer.write(self._answer(path, request))

    def _answer(self, path, request):
        if path == "/login":
            self.logins += 1
            self.expired = False
            return self.login_answer or sized(b'{"token": "t%d"}' % self.logins)
        if self.expired or b"Bearer t%d\r\n" % self.logins not in request:
            return sized(b"{}", status="401 Unauthorized")
        return ANSWER


@pytest.fixture
def bank():
    return Bank()


async def test_one_login_for_many_calls(call, peer, bank):
    url, spec = await peer(bank.behave), logging_in()
    assert await asyncio.gather(*(call(url, spec=spec) for _ in range(10))) == [Succeeded()] * 10
    assert bank.logins == 1


async def test_a_login_ends_with_its_life(call, peer, bank):
    url, spec = await peer(bank.behave), logging_in(ttl_s=0.2)
    await call(url, spec=spec)
    await asyncio.sleep(0.2)
    assert await call(url, spec=spec) == Succeeded()
    assert bank.logins == 2


async def test_an_expired_login_is_made_anew_for_the_next_call(call, peer, bank):
    url, spec = await peer(bank.behave), logging_in()
    await call(url, spec=spec)
    bank.expired = True
    assert await call(url, spec=spec) == Ambiguous(detail="HTTP 401")
    assert await call(url, spec=spec) == Succeeded()
    assert bank.paths == ["/login", "/charge", "/charge", "/login", "/charge"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (sized(b"", status="403 Forbidden"), Declined(code=DeclineCode.CONFIGURATION, provider_code="403")),
        (sized(b"<html>"), NotSent(detail="DecodeError")),
        (sized(b'{"other": 1}'), NotSent(detail="KeyError")),
    ],
)
async def test_a_login_that_fails_sends_nothing(call, peer, bank, answer, expected):
    bank.login_answer = answer
    assert await call(await peer(bank.behave), spec=logging_in()) == expected
    assert bank.paths == ["/login"]


async def test_a_login_that_hangs_sends_nothing(call, peer):
    url = await peer(answering(b"", end=False))
    assert isinstance(await call(url, spec=logging_in(), deadline_s=0.3), NotSent)


# --- Addresses ----------------------------------------------------------------------------------------------------


async def test_paths_and_queries(call, peer):
    seen = []

    async def behave(reader, writer):
        seen.append((await read_request(reader)).split(b"\r\n")[0])
        writer.write(ANSWER)

    def flow():
        yield HttpRequest(method="GET", path="/status", query={"phone": "+266 58", "when": "2026-01-01"})
        return Pending()

    url = await peer(behave)
    assert await call(url + "/api/", flow()) == Pending()
    assert seen == [b"GET /api/status?phone=%2B266%2058&when=2026-01-01 HTTP/1.1"]
