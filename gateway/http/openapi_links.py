"""Links of the OpenAPI document: which operations the id in an answer leads to (OpenAPI 3.1, Link Object).

They follow from the paths: what is made or listed at `/v1/things` is what the paths under it name.
"""

from typing import Any, Final

from gateway.http.endpoints import ENDPOINTS, Endpoint

_MADE: Final = "$response.body#/id"
_LISTED: Final = "$response.body#/data/0/id"
_NAMED: Final = "$response.body#/data/0/name"

# From, to, and what is passed on: what no path says.
_OTHERS: Final = (
    ("createPayment", "createRefund", {"requestBody": {"payment": _MADE}}),
    ("listWebhookDeliveries", "getWebhookDelivery", {"parameters": {"delivery_id": _LISTED}}),
    ("listWebhookDeliveries", "retryWebhookDelivery", {"parameters": {"delivery_id": _LISTED}}),
    ("testWebhookEndpoint", "getWebhookDelivery", {"parameters": {"delivery_id": "$response.body#/delivery/id"}}),
    ("createAccount", "listPayments", {"parameters": {"query.account": _MADE}}),
    ("createPayment", "listRefunds", {"parameters": {"query.payment": _MADE}}),
    ("createPayment", "listEvents", {"parameters": {"query.object_id": _MADE}}),
)


def links(endpoint: Endpoint) -> dict[str, Any]:
    """The links of the answer of one operation, by the operation that they lead to."""
    found = {
        each.id: {"parameters": {_parameter(each): _expression(endpoint)}}
        for each in ENDPOINTS
        if _source(each) is endpoint
    }
    found |= {to: passed for source, to, passed in _OTHERS if source == endpoint.id}
    return {to: {"operationId": to, **passed} for to, passed in found.items()}


def _source(endpoint: Endpoint) -> Endpoint | None:
    """Who tells the first id in this path: who makes such an object or, where nobody does, who lists them."""
    collection, found, _ = endpoint.path.partition("/{")
    sources = [each for each in ENDPOINTS if each.path == collection and (each.status == 201 or each.is_list)]
    return min(sources, key=lambda each: each.is_list, default=None) if found else None


def _parameter(endpoint: Endpoint) -> str:
    return endpoint.path.partition("{")[2].partition("}")[0]


def _expression(source: Endpoint) -> str:
    if not source.is_list:
        return _MADE
    return _NAMED if source.id == "listProviders" else _LISTED
