"""The document as tests walk it: one entry for each operation, with a body that works and its parameters."""

import re
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
from msgspec import Struct

from tests.support.installation import Installation


class Operation(Struct, frozen=True):
    """One operation of the document. `body` is its example, `{}` where none is shown, None where it takes none."""

    id: str
    method: str
    path: str
    parameters: tuple[str, ...]  # of the path
    filters: tuple[str, ...]  # of the query
    body: dict[str, Any] | None
    is_list: bool
    needs_person: bool

    def call(self, client: httpx.Client, names: Mapping[str, str], **query: str) -> httpx.Response:
        """Ask it; `names` are values of the path's parameters."""
        path = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], self.path)
        headers = {"Idempotency-Key": uuid.uuid4().hex} if self.method != "get" else {}
        body = {"json": self.body} if self.body is not None else {}
        return client.request(self.method, path, params=query or None, headers=headers, **body)


def operations(mypay: Installation) -> list[Operation]:
    """All that answer in JSON; streams do not."""
    api = httpx.get(f"{mypay.base_url}/openapi.json").json()
    return [
        _operation(method, path, described)
        for path, methods in api["paths"].items()
        for method, described in methods.items()
        if not _is_stream(described)
    ]


def streams(mypay: Installation) -> list[str]:
    """The ids of the operations whose answers do not end."""
    api = httpx.get(f"{mypay.base_url}/openapi.json").json()
    return [each["operationId"] for methods in api["paths"].values() for each in methods.values() if _is_stream(each)]


def _is_stream(described: dict[str, Any]) -> bool:
    return any("text/event-stream" in answer.get("content", {}) for answer in described["responses"].values())


def _operation(method: str, path: str, described: dict[str, Any]) -> Operation:
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    answers = (
        answer["content"]["application/json"]["schema"]
        for code, answer in described["responses"].items()
        if code < "300"
    )
    return Operation(
        id=described["operationId"],
        method=method,
        path=path,
        parameters=tuple(each["name"] for each in described["parameters"] if each["in"] == "path"),
        filters=tuple(each["name"] for each in described["parameters"] if each["in"] == "query"),
        body=None if content is None else content.get("example", {}),
        is_list=any("data" in schema.get("properties", {}) for schema in answers),
        needs_person=described.get("security") == [{"accessToken": []}],
    )
