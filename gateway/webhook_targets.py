"""Where webhooks may go, as far as the text of a URL tells, and which events an endpoint asks for."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from gateway.addresses import URL_TEXT
from gateway.payments.errors import invalid
from providers.addresses import is_public_host

PORTS: Final = (443, 8443)
FAMILIES: Final = ("payment", "refund", "payout", "account", "webhook_endpoint")
EVERYTHING: Final = "*"

_FILTER: Final = re.compile(rf"\*|({'|'.join(FAMILIES)})\.(\*|[a-z_]+)")


def check_url(url: str, *, anywhere: bool) -> None:
    """Raises 400. `anywhere`: a test endpoint of a development installation that allows private targets."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:  # UnicodeError included: a label that is empty or too long
        raise invalid("/url", "invalid", "This is not an address.") from None
    schemes = ("http", "https") if anywhere else ("https",)
    if parts.scheme not in schemes or not host or not URL_TEXT.fullmatch(url):
        raise invalid(
            "/url", "invalid", f"Write an {' or '.join(schemes)} address; a name with other letters as xn--…."
        )
    if "@" in parts.netloc or "#" in url:
        raise invalid("/url", "invalid", "Leave out user name and fragment: we sign what we send.")
    if anywhere:
        return
    if (443 if port is None else port) not in PORTS:
        raise invalid("/url", "invalid", f"Use one of the ports {' and '.join(map(str, PORTS))}.")
    if not is_public_host(host):
        raise invalid("/url", "invalid", "This address is not on the public internet.")


def check_filters(events: Sequence[str], pointer: str = "/events") -> None:
    """Raises 400 for a filter that can match no event."""
    for number, each in enumerate(events):
        if not _FILTER.fullmatch(each):
            families = ", ".join(f"{family}.*" for family in FAMILIES)
            raise invalid(
                f"{pointer}/{number}", "invalid", f"Write a type such as payment.succeeded, {families}, or *."
            )
