"""/docs shows all of /openapi.json, and asks nothing of anybody else."""

import re
from html.parser import HTMLParser

import httpx

from gateway.http.endpoints import ENDPOINTS
from tests.support.installation import Installation

VOID = {"meta", "br"}


class Page(HTMLParser):
    """What is in a page; closing tags must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_every_operation_offline(mypay: Installation) -> None:
    answer = httpx.get(f"{mypay.base_url}/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    shown = Page(answer.text)
    assert shown.open == []
    assert {each.id for each in ENDPOINTS} <= set(shown.ids)
    assert len(set(shown.ids)) == len(shown.ids)
    assert not {"script", "link", "img", "iframe"} & shown.tags
    assert [link for link in shown.links if not link.startswith("#")] == ["/openapi.json"]
    assert {link[1:] for link in shown.links if link.startswith("#")} <= set(shown.ids)
    assert not re.search(r"url\(|@import", answer.text)


def test_the_document_is_served(mypay: Installation) -> None:
    api = httpx.get(f"{mypay.base_url}/openapi.json").json()
    assert api["openapi"] == "3.1.0"
    assert api["servers"] == [{"url": mypay.base_url}]
    assert sum(len(operations) for operations in api["paths"].values()) == len(ENDPOINTS)
