"""The transport while nothing was sent: every failure is NotSent."""

import asyncio
import socket
import ssl

import pytest

from providers.addresses import PublicNetwork
from providers.contract import ConfigurationMissing, HttpRequest, NotSent, Pending, Succeeded
from providers.transport import Caller, LeaseTooShort
from tests.providers.peers import (
    ANSWER,
    DEFAULT,
    SECRET,
    Account,
    answering,
    certificate,
    charge,
    closed_port,
    provider,
    read_request,
)

pytestmark = pytest.mark.anyio


# --- Nothing was sent ---------------------------------------------------------------------------------------------


async def test_refused(call):
    assert isinstance(await call(f"http://127.0.0.1:{closed_port()}"), NotSent)


async def test_no_such_host(call):
    assert isinstance(await call("http://nowhere.invalid"), NotSent)


async def test_an_address_that_is_not_of_the_public_internet(peer):
    """A merchant's `base_url` whose name leads inside: nothing is connected to."""
    connections = []

    async def behave(reader, writer):
        connections.append(writer)

    url = (await peer(behave)).replace("127.0.0.1", "localhost")
    caller = Caller(DEFAULT, Account(), url, network=PublicNetwork())
    try:
        assert await caller.call(charge(), deadline_s=5) == NotSent(detail="AddressRefused")
    finally:
        await caller.aclose()
    assert connections == []


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
    url = await peer(answering(ANSWER, before=2.5))
    one_slot = provider(slots=1)
    first = asyncio.create_task(call(url, spec=one_slot, deadline_s=20))
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


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "x", "http://x:port", "http://" + "x" * 70])
def test_an_address_that_is_none(url):
    with pytest.raises(ConfigurationMissing):
        Caller(DEFAULT, Account(), url)


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
