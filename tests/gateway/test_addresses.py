"""Whose address a request came from: only trusted proxies are believed, from the right."""

import pytest

from gateway import addresses

PROXIES = addresses.networks(["10.0.0.0/8", "2001:db8::/32", "192.168.1.7"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [b"1.2.3.4"], "203.0.113.9"),
        ("203.0.113.9", [], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.2.3.4, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.2.3.4", b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.2.3.4, 203.0.113.9, 10.9.9.9,192.168.1.7"], "203.0.113.9"),
        ("10.0.0.1", [b"10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", [b"1.2.3.4, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"1.2.3.4, 203.0.113.9, , 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"\xff"], "10.0.0.1"),
        ("2001:db8::1", [b"2001:4860::8888"], "2001:4860::8888"),
        ("::ffff:10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"::ffff:203.0.113.9"], "203.0.113.9"),
        (None, [b"203.0.113.9"], None),
    ],
)
def test_the_client_behind_proxies(peer: str | None, forwarded: list[bytes], client: str | None) -> None:
    assert addresses.client(peer, forwarded, PROXIES) == client


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert addresses.client("10.0.0.1", [b"203.0.113.9"], ()) == "10.0.0.1"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "localhost", "10.0.0.0/33", "", "10.0.0"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError):
        addresses.networks([text])


def test_ranges_within_ranges() -> None:
    wide, narrow, other, six = addresses.networks(["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/16", "2001:db8::/32"])
    assert addresses.contains(wide, narrow)
    assert addresses.contains(wide, wide)
    assert not any(addresses.contains(outer, inner) for outer, inner in [(narrow, wide), (wide, other), (wide, six)])
