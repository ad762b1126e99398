"""One attempt to deliver a webhook: signed, sent over kept connections, and its answer read as far as it matters.

The status decides; of the body only the beginning is read, and what goes wrong after the status changes nothing.
Redirects are not followed, and bodies without end are not read.
"""

import asyncio
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import httpcore
import structlog

from gateway import ids, telemetry, webhook_signing
from gateway.clock import Clock
from gateway.sealing import SealBroken, Sealer
from gateway.settings import Settings
from gateway.store.webhook_endpoints import open_keys
from gateway.usecases.webhook_objects import is_filtered
from gateway.webhook_signing import SigningKeys
from providers.addresses import AddressRefused, PublicNetwork
from providers.connections import Connections, headers_of
from providers.contract import HttpRequest
from providers.redaction import mask_text
from streams.delivery_rules import LANE_MAX, Reply, read_retry_after
from streams.due import Claimed

TIMEOUT_S: Final = 15.0  # connecting and the whole answer
BODY_S: Final = 2.0  # once the status is here
EXCERPT_CHARACTERS: Final = 1024
_EXCERPT_BYTES: Final = 1200  # with a margin, so that a card number at the end is whole when it is masked
_DRAIN_BYTES: Final = 16_384  # of a longer answer the connection is not kept

_ERRORS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (AddressRefused, "The address is not on the public internet."),
    (httpcore.ConnectTimeout, "No connection was made in time."),
    (httpcore.ConnectError, "No connection could be made: the name, the port or the certificate."),
    (httpcore.RemoteProtocolError, "The connection was closed, or the answer is not HTTP."),
    (httpcore.NetworkError, "The connection broke before the answer."),
)
_FAILURES: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)

log = structlog.get_logger(__name__)


class Sender:
    """Connections to one endpoint. `filtered`: only to the public internet. `ca_bundle`: whom to trust in tests."""

    def __init__(
        self,
        url: str,
        *,
        filtered: bool,
        clock: Clock,
        pace: float = 1.0,
        network: httpcore.AsyncNetworkBackend | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.url = url
        self._clock, self._timeout_s = clock, TIMEOUT_S * pace
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connections = Connections(
            f"{parts.scheme}://{parts.netloc}",
            slots=LANE_MAX,
            ca_bundle=ca_bundle,
            network=(network or PublicNetwork()) if filtered else network,
        )

    async def send(self, headers: dict[str, str], body: bytes) -> Reply:
        """Send it once; `headers` sign the body. Raises nothing that the network or the receiver can do."""
        request = HttpRequest(
            method="POST",
            path=self._target,
            headers={"content-type": "application/json", "accept": "*/*", **headers},
            content=body,
        )
        began: httpcore.Response | None = None
        content = bytearray()
        error = None
        try:
            async with asyncio.timeout(self._timeout_s) as limit, self._connections.answer(request) as response:
                began = response
                limit.reschedule(asyncio.get_running_loop().time() + BODY_S)
                await _read_beginning(response, content)
        except TimeoutError:
            error = f"No answer within {self._timeout_s:g} s."
        except _FAILURES as failure:
            error = _words(failure)
        return Reply(status=None, error=error) if began is None else self._reply(began, bytes(content))

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        await self._connections.aclose()

    def _reply(self, response: httpcore.Response, content: bytes) -> Reply:
        """What the receiver said, whatever happened to the rest of its answer."""
        retry_after = read_retry_after(headers_of(response).get("retry-after"), self._clock.now())
        return Reply(status=response.status, excerpt=excerpt(content), retry_after_s=retry_after)


async def _read_beginning(response: httpcore.Response, content: bytearray) -> None:
    async for chunk in response.aiter_stream():
        content += chunk
        if len(content) > _DRAIN_BYTES:
            return


class Senders:
    """Signs and sends for every endpoint, over connections of its own. The arguments are as those of `Sender`."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        sealer: Sealer,
        *,
        network: httpcore.AsyncNetworkBackend | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        self._settings, self._clock, self._sealer = settings, clock, sealer
        self._network, self._ca_bundle = network, ca_bundle
        self._senders: dict[UUID, Sender] = {}

    async def send(self, claimed: Claimed, at: datetime) -> Reply:
        """Make one attempt, signed for the time `at`."""
        try:
            keys = self._keys(claimed)
        except SealBroken:
            log.exception("webhook.no_secret", endpoint=ids.show(ids.WEBHOOK_ENDPOINT, claimed.endpoint_id))
            return Reply(status=None, error="The endpoint's secret cannot be opened.")
        headers = webhook_signing.headers(keys, ids.show(ids.EVENT, claimed.event_id), at, claimed.body)
        if (traceparent := telemetry.origin().traceparent) is not None:
            headers["traceparent"] = traceparent
        return await (await self._sender(claimed)).send(headers, claimed.body)

    async def forget(self, endpoint_id: UUID) -> None:
        """Close the connections to an endpoint."""
        if (sender := self._senders.pop(endpoint_id, None)) is not None:
            await sender.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        for endpoint_id in list(self._senders):
            await self.forget(endpoint_id)

    def _keys(self, claimed: Claimed) -> list[SigningKeys]:
        """The keys that sign: those of now, and during an overlap those before."""
        versions = [(claimed.sealed, claimed.secret_version), (claimed.previous_sealed, claimed.secret_version - 1)]
        return [
            open_keys(
                self._sealer,
                sealed,
                endpoint_id=claimed.endpoint_id,
                version=version,
                merchant_id=claimed.merchant_id,
            )
            for sealed, version in versions
            if sealed is not None
        ]

    async def _sender(self, claimed: Claimed) -> Sender:
        """The connections to the endpoint; new ones when its address has changed."""
        known = self._senders.get(claimed.endpoint_id)
        if known is not None and known.url == claimed.url:
            return known
        self._senders[claimed.endpoint_id] = sender = Sender(
            claimed.url,
            filtered=is_filtered(self._settings, livemode=claimed.livemode),
            clock=self._clock,
            pace=self._settings.pace,
            network=self._network,
            ca_bundle=self._ca_bundle,
        )
        if known is not None:
            await known.aclose()
        return sender


def excerpt(content: bytes) -> str:
    """The beginning of an answer, fit to be stored and shown: without card numbers and U+0000."""
    text = content[:_EXCERPT_BYTES].decode(errors="replace").replace("\x00", "")
    return mask_text(text)[:EXCERPT_CHARACTERS]


def _words(error: Exception) -> str:
    return next((words for kind, words in _ERRORS if isinstance(error, kind)), "The request could not be sent.")
