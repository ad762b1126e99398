"""The documentation itself: fresh, linked, without addresses of any machine, and claiming no more than is kept."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest

from gateway import cli
from gateway.crash_points import POINTS
from gateway.roles import MAY
from gateway.scopes import Resource
from tests.docs.generate import DOCS
from tests.docs.generate import PAGES as GENERATED
from tests.docs.pages import CHECKOUT, PAGES, agrees, blocks, prose_of, shell_lines, text_of

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HOSTS = {
    *("pay.example.com", "app"),  # in docs/guides/deploy.md
    *("localhost", "127.0.0.1", "cpay.example", "api.acme.example", "bank.example"),
    *("www.standardwebhooks.com", "keepachangelog.com", "semver.org", "zensical.org", "html.spec.whatwg.org"),
}
# The first step of all that may be written as a path from the root: addresses of the API and of the simulators, a
# JSON pointer, a device.
ROOTS = {
    *("v1", "callbacks", "health", "metrics", "openapi.json", "errors", "docs", "return", "mypay"),
    *("_simulator", "tmp", "api", "amount", "dev", "oauth2", "pay"),
}
REDIRECTS = re.compile(r" (?:\d?>|\||&|\\$)")


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_fresh(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == GENERATED[name](), "run `make docs`"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The relative links of a page: the file, relative to the checkout, and the anchor."""
    for target in LINK.findall(prose_of(page)):
        parts = urlsplit(target)
        if not parts.scheme:
            file = (CHECKOUT / page).parent / parts.path if parts.path else CHECKOUT / page
            yield file.resolve().relative_to(CHECKOUT), parts.fragment


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        assert (CHECKOUT / file).exists(), file
        assert not anchor or anchor in anchors(file), f"{file}#{anchor}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [Path("README.md")]
    while waiting:
        page = waiting.pop()
        if page not in seen:
            seen.add(page)
            waiting += [file for file, _ in links(page) if file.suffix == ".md"]
    assert {page for page in PAGES if page.parts[0] in ("docs", "README.md")} <= seen


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_address_of_a_machine_or_a_registry(page: Path) -> None:
    text = text_of(page)
    assert {urlsplit(url).hostname for url in re.findall(r"https?://[^\s)'\"`<>,;]+", text)} <= HOSTS
    without_addresses = re.sub(r"https?://\S+", "", text)
    assert set(re.findall(r"(?<![\w.}>~/*])/([\w.]+)(?=[/\s`)\"?])", without_addresses)) <= ROOTS


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_can_be_run(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in shell_lines(page):
        if line.startswith("mypay "):
            cli._parser().parse_args(shlex.split(REDIRECTS.split(line)[0])[1:])
        if line.startswith("make "):
            assert {word for word in line.split()[1:] if "=" not in word} <= targets, line


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_quoted_python_is_in_the_code(page: Path) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (CHECKOUT / "providers").glob("*/*.py")]
    for block in blocks(page):
        if block.info == "python":
            wanted = ast.dump(ast.parse(re.sub(r"^   ", "", block.text, flags=re.MULTILINE)).body[0])
            assert any(wanted == ast.dump(node) for source in sources for node in ast.parse(source).body)


def test_every_crash_point_is_in_the_table() -> None:
    table = text_of(Path("docs/architecture.md")).split("## What a crash leaves behind")[1].split("\n## ")[0]
    assert [point for point in POINTS if f"`{point}`" not in table] == []


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?;:])\s", re.sub(r"\s+", " ", text))


def claimed() -> Iterator[tuple[Path, str]]:
    """Every sentence, in prose and in code, that says the two words."""
    code = [
        path for top in ("gateway", "providers", "streams", "migrations") for path in CHECKOUT.glob(f"{top}/**/*.py")
    ]
    for path in [*(CHECKOUT / page for page in PAGES), *code]:
        for sentence in sentences(path.read_text(encoding="utf-8")):
            if re.search(r"exactly[ -]once", sentence, re.IGNORECASE):
                yield path.relative_to(CHECKOUT), sentence


def test_exactly_once_is_said_nowhere() -> None:
    assert list(claimed()) == []


def test_comparison_of_output() -> None:
    shown = 'a\n    …\n"id": "pay_01m884qpspf5h9r0g8d3c7bq47"\n'
    assert agrees(shown, 'a\nb\nc\n"id": "pay_01m884qq1geqf9931573fwzj6b"')
    assert agrees(shown, 'a\n"id": "pay_01m884qq1geqf9931573fwzj6b"')
    assert not agrees(shown, 'a\nb\n"id": "op_01m884qq1geqf9931573fwzj6b"')
    assert not agrees(shown, 'b\n"id": "pay_01m884qq1geqf9931573fwzj6b"')


def test_the_table_of_roles_is_that_of_the_code() -> None:
    text = text_of(Path("docs/guides/people-and-keys.md")).split("## Roles")[1].split("\n## ")[0]
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")
    ]
    shown = {row[0]: row[1:] for row in rows if "," not in row[0]}
    assert shown == {
        resource: ["write" if may is None else may.get(resource, "") for may in MAY.values()]
        for resource in get_args(Resource)
    }
