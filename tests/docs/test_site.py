"""The documentation as a site: every page is in its nav, it builds strictly, and it needs nothing from elsewhere."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs import database_page
from tests.docs.generate import DATABASE, DOCS
from tests.docs.pages import CHECKOUT
from tests.docs.site import _link, build, nav_pages

LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"?([^\"\s>]+)")


def test_every_page_is_in_the_nav_once() -> None:
    pages = [page for page in nav_pages() if page.is_relative_to("docs")]
    there = {path.relative_to(CHECKOUT) for path in DOCS.rglob("*.md")}
    assert sorted(pages) == sorted(there), "put the page into `nav` of docs/zensical.toml"


def test_it_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build(site)
    made = list(site.glob("**/*.html"))
    assert len(made) > len(nav_pages())
    for path in made:
        for address in LOADED.findall(path.read_text(encoding="utf-8")):
            assert not urlsplit(address).netloc, f"{path.name} loads {address}"
            start = site if address.startswith("/") else path.parent
            assert (start / urlsplit(address).path.lstrip("/")).exists(), f"{path.name} lacks {address}"


@pytest.mark.parametrize(
    ("page", "target", "written"),
    [
        ("docs/guides/a.md", "../states.md#x", "[w](../states.md#x)"),
        ("docs/a.md", "../SECURITY.md#scope", "[w](project/security.md#scope)"),
        ("SECURITY.md", "docs/a.md", "[w](../a.md)"),
        ("docs/guides/a.md", "../../README.md#run-it", "[w](../index.md)"),
        ("docs/a.md", "../gateway/cli.py", "w"),
        ("docs/a.md", "#below", "[w](a.md#below)"),
    ],
)
def test_links_follow_the_pages(page: str, target: str, written: str) -> None:
    pages = {Path(name) for name in ("docs/a.md", "docs/index.md", "docs/states.md", "docs/guides/a.md", "SECURITY.md")}
    assert _link(Path(page), pages, "w", target) == written


def test_the_page_of_the_database_is_fresh(database_uri: str) -> None:
    assert (DOCS / DATABASE).read_text(encoding="utf-8") == database_page.database(database_uri), "run `make docs`"
