"""Which addresses we connect to: group 42 of the list of bad inputs, with a local DNS that answers what it likes."""

import asyncio
import socket
from collections.abc import Iterator, Sequence

import httpcore
import pytest

from gateway.payments.errors import MyPayError
from gateway.webhook_targets import check_filters, check_url
from providers.addresses import AddressRefused, PublicNetwork, is_public, is_public_host
from providers.connections import Connections
from providers.contract import HttpRequest
from tests.support.receiver import Receiver, receiver, status

PUBLIC, OTHER, PUBLIC_6 = "93.184.216.34", "198.41.0.4", "2606:4700::1111"
PRIVATE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("168.63.129.16", "::", "::1", "::ffff:10.0.0.1", "::ffff:93.184.216.34", "::10.0.0.1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:0a00:0001::1", "2002:5db8:d822::1", "3fff::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1111%eth0", "fec0::1", "ff02::1", "4000::1"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, OTHER, PUBLIC_6, "1.1.1.1", "172.32.0.1", "100.128.0.1", "2a00::1"])
def test_addresses_of_the_public_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["shop.example", "xn--80ak6aa92e.com", "a.b.c.example.", PUBLIC, PUBLIC_6])
def test_hosts_that_may_be_public(host: str) -> None:
    assert is_public_host(host)


REFUSED = [
    *("http://shop.example/", "ftp://shop.example/", "unix:///run/docker.sock", "file:///etc/passwd", "shop.example"),
    *("https://127.0.0.1/", "https://[::1]/", "https://0.0.0.0/", "https://169.254.169.254/latest/meta-data"),
    *("https://[::ffff:10.0.0.1]/", "https://[::ffff:7f00:1]/", "https://2130706433/", "https://0x7f000001/"),
    *("https://0177.0.0.1/", "https://10.1/", "https://127.0.0.0x1/", "https://localhost/", "https://localhost./"),
    *("https://user:pw@shop.example/", "https://user@shop.example/", "https://shop.example#@10.0.0.1/"),
    *("https://shop.example:25/", "https://shop.example:0/", "https://shop.example:99999/", "https://shop.example:x/"),
    *(
        "https://sh\u043ep.example/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://x.localhost/",
    ),
    *("https://[64:ff9b::a9fe:a9fe]/", "https://[2002:a00:1::]/", "https://[fe80::1%25eth0]/", "https://[::1/"),
    *(f"https://{'a' * 296}.com/", f"https://{'a.' * 148}com/", f"https://{'a' * 64}.example/", "https://a..example/"),
    *("https://shop.example/a\r\nx: 1", "https://shop.example/a b", "https://shop.example\\@10.0.0.1/", "https:///x"),
    *("https://-shop.example/", "https://sh%6fp/", "//shop.example/", ""),
]


@pytest.mark.parametrize("url", REFUSED)
def test_urls_that_are_refused_when_they_are_written(url: str) -> None:
    with pytest.raises(MyPayError) as refused:
        check_url(url, anywhere=False)
    assert [each.pointer for each in refused.value.errors] == ["/url"]
    assert not url or url not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["https://shop.example", "https://shop.example:8443/h?a=b&c=@x", f"https://{PUBLIC}/", f"https://[{PUBLIC_6}]/"],
)
def test_urls_that_are_taken(url: str) -> None:
    check_url(url, anywhere=False)


def test_in_development_test_endpoints_may_be_anywhere_but_not_anything() -> None:
    for url in ("http://127.0.0.1:9000/hooks", "http://localhost:3000", "https://10.0.0.1:25/"):
        check_url(url, anywhere=True)
    for url in ("ftp://127.0.0.1/", "http://user@127.0.0.1/", "http://a..b/", "http://x/ y"):
        with pytest.raises(MyPayError):
            check_url(url, anywhere=True)


def test_filters() -> None:
    check_filters(["*", "payment.*", "payment.succeeded", "webhook_endpoint.disabled"])
    for bad in ("payments.*", "payment", "payment.", "payment.*.x", "ping", "*.*", "Payment.succeeded", ""):
        with pytest.raises(MyPayError):
            check_filters(["payment.*", bad])


# --- When it is connected to -----------------------------------------------------------------------------------------


class Dns:
    """A local DNS: each question takes the next of its answers, the last for ever; CNAMEs are followed."""

    def __init__(self, **records: Sequence[Sequence[str]]) -> None:
        self._answers: dict[str, Iterator[Sequence[str]]] = {}
        self._records = records
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        name = host.split(".")[0]
        self.asked.append(name)
        if name not in self._records:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        answers = self._records[name]
        answer = answers[min(self.asked.count(name), len(answers)) - 1]
        return await self(answer[0].removeprefix("cname:"), port) if answer[0].startswith("cname:") else answer


class Internet(httpcore.AnyIOBackend):
    """The internet: every public address is one local receiver. `connected` are the addresses that were dialled."""

    def __init__(self, shop: Receiver, *, dead: Sequence[str] = ()) -> None:
        self._port, self._dead = int(shop.url.split(":")[2].split("/")[0]), dead
        self.connected: list[str] = []

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        self.connected.append(host)
        if host in self._dead:
            raise httpcore.ConnectError("refused")
        return await super().connect_tcp("127.0.0.1", self._port, timeout, local_address, socket_options)


async def fetch(network: httpcore.AsyncNetworkBackend, url: str = "http://shop.example") -> int:
    connections = Connections(url, slots=1, ca_bundle=None, network=network)
    try:
        return (await connections.exchange(HttpRequest(method="POST", path="/"), {}, None)).status
    finally:
        await connections.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_inside_is_not_connected_to(address: str) -> None:
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        async with receiver() as shop:
            internet = Internet(shop)
            with pytest.raises(AddressRefused):
                await fetch(PublicNetwork(Dns(shop=[answer]), internet))
        assert (internet.connected, shop.connections) == ([], 0)


@pytest.mark.anyio
async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    """The DNS says something else the next time; we asked once, and the name is in the Host header alone."""
    async with receiver() as shop:
        dns, internet = Dns(shop=[[PUBLIC], ["127.0.0.1"]]), Internet(shop)
        assert await fetch(PublicNetwork(dns, internet)) == 200
        assert (dns.asked, internet.connected) == (["shop"], [PUBLIC])
        assert shop.got[0].headers["host"] == "shop.example"
        with pytest.raises(AddressRefused):
            await fetch(PublicNetwork(dns, internet))
        assert internet.connected == [PUBLIC]


@pytest.mark.anyio
async def test_an_alias_to_the_inside() -> None:
    async with receiver() as shop:
        with pytest.raises(AddressRefused):
            await fetch(PublicNetwork(Dns(shop=[["cname:db"]], db=[["10.0.0.5"]]), Internet(shop)))


@pytest.mark.anyio
async def test_a_redirect_to_the_inside_is_an_answer_and_nothing_more() -> None:
    async with receiver() as inside:
        async with receiver(status("302 Found", location=inside.url)) as shop:
            internet = Internet(shop)
            assert await fetch(PublicNetwork(Dns(shop=[[PUBLIC]]), internet)) == 302
        assert (internet.connected, inside.connections) == ([PUBLIC], 0)


@pytest.mark.anyio
async def test_the_next_address_is_tried_when_one_is_dead() -> None:
    async with receiver() as shop:
        internet = Internet(shop, dead=[PUBLIC])
        assert await fetch(PublicNetwork(Dns(shop=[[PUBLIC, OTHER]]), internet)) == 200
        assert internet.connected == [PUBLIC, OTHER]


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["http://nowhere.example", "http://127.0.0.1:9", "http://[::1]:9", "http://2130706433"])
async def test_names_without_address_and_literal_addresses_with_the_real_resolver(url: str) -> None:
    dns = {"resolve": Dns()} if "nowhere" in url else {}
    expected = httpcore.ConnectError if "nowhere" in url else AddressRefused
    with pytest.raises(expected):
        await fetch(PublicNetwork(**dns), url)


@pytest.mark.anyio
async def test_a_dns_that_does_not_answer_is_not_waited_for() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(httpcore.ConnectTimeout):
        await PublicNetwork(silent).connect_tcp("shop.example", 443, timeout=0.05)
