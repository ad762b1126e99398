"""`make site`: the documentation as a site in build/site, strict, and without anything from the network.

The pages stay as they are read on GitHub. A copy is made for the builder, in which pages from outside docs/ have a
place, links follow them, a link to what is no page is only its words, and diagrams are drawn by the mermaid.js that
came as a wheel.
"""

import json
import posixpath
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gateway.http.docs_page import page as api_page
from gateway.http.openapi import document
from tests.docs.pages import CHECKOUT, text_of

DOCS: Final = CHECKOUT / "docs"
CONFIG: Final = DOCS / "zensical.toml"
OUTPUT: Final = CHECKOUT / "build/site"
ASSETS: Final = sorted(  # whatever else is in docs/, such as a schema to download
    path.relative_to(CHECKOUT) for path in DOCS.rglob("*.*") if path.suffix != ".md" and path != CONFIG
)
# Diagrams in their own size, to be scrolled, where the builder would shrink them until nobody can read them.
OWN_SIZE: Final = json.dumps({kind: {"useMaxWidth": False} for kind in ("er", "flowchart", "sequence", "state")})
LINK: Final = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s:]*)\)")
FENCED: Final = re.compile(r"(^ *```.*\n(?:.*\n)*? *```$)", re.MULTILINE)

Nav = list[Any]  # of names, and of tables {title: name or Nav}


class SiteError(Exception):
    """The site cannot be built; the message says why."""


def config() -> dict[str, Any]:
    """The builder's configuration, with a nav that names every page."""
    read = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    nav = read["project"]["nav"]
    named = {name for name in names(nav) if "*" not in name}
    read["project"]["nav"] = [expanded(entry, named) for entry in nav]
    return read


def names(nav: Nav) -> Iterator[str]:
    """The names in a nav, at any depth, as they are written."""
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from names(value if isinstance(value, list) else [value])


def expanded(entry: Any, named: set[str]) -> Any:
    """An entry in which names are places of the site, and a name with `*` is the pages that it stands for."""
    if isinstance(entry, str):
        return place(source(entry))
    return {
        title: expanded(value, named) if isinstance(value, str) else [*_entries(value, named)]
        for title, value in entry.items()
    }


def _entries(nav: Nav, named: set[str]) -> Iterator[Any]:
    for entry in nav:
        if isinstance(entry, str) and "*" in entry:
            found = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob(entry))
            yield from (expanded(name, named) for name in found if name not in named)
        else:
            yield expanded(entry, named)


def source(name: str) -> Path:
    """A page of the nav, relative to the checkout."""
    return Path(posixpath.normpath(posixpath.join("docs", name)))


def place(page: Path) -> str:
    """Where a page stands in the site: those of docs/ as they are, the others in project/."""
    if page.is_relative_to("docs"):
        return page.relative_to("docs").as_posix()
    return f"project/{'-'.join(part.lower() for part in page.parts if part != 'README.md').removesuffix('.md')}.md"


def nav_pages() -> list[Path]:
    """Every page of the nav, relative to the checkout."""
    places = {place(page): page for page in [*_outside(), *(path.relative_to(CHECKOUT) for path in DOCS.rglob("*.md"))]}
    nav = names(config()["project"]["nav"])
    return [places.get(name, Path("docs") / name) for name in nav if name.endswith(".md")]


def _outside() -> list[Path]:
    nav = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]
    return [source(name) for name in names(nav) if name.startswith("../")]


def staged(page: Path, there: set[Path]) -> str:
    """The page's Markdown for the builder. `there` are the files of the site, by where they are in the checkout."""
    parts = FENCED.split(text_of(page))
    parts[::2] = [LINK.sub(lambda found: _link(page, there, found[1], found[2]), prose) for prose in parts[::2]]
    text = "".join(parts)
    if "```mermaid" in text:
        up = "../" * place(page).count("/")
        text = text.replace("```mermaid\n", f"```mermaid\n%%{{init: {OWN_SIZE}}}%%\n")
        text += f'\n<script src="{up}assets/mermaid.js"></script>\n'
    return text


def _link(page: Path, there: set[Path], words: str, target: str) -> str:
    path, _, anchor = target.partition("#")
    file = Path(posixpath.normpath(posixpath.join(page.parent.as_posix(), path))) if path else page
    if file == Path("README.md"):
        file, anchor = Path("docs/index.md"), ""
    if file not in there:
        return words
    way = posixpath.relpath(place(file), posixpath.dirname(place(page)) or ".")
    return f"[{words}]({way}{'#' if anchor else ''}{anchor})"


def build(output: Path = OUTPUT) -> None:
    """Build the site; raises `SiteError` with what the builder complains of."""
    with tempfile.TemporaryDirectory() as made:
        stage(Path(made))
        tool = Path(sys.executable).parent / "zensical"
        ran = subprocess.run(
            [tool, "build", "--strict", "--clean"], cwd=made, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise SiteError(ran.stdout + ran.stderr)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(Path(made) / "site", output)


def stage(directory: Path) -> None:
    """Write what the builder reads."""
    docs = directory / "docs"
    pages = nav_pages()
    for page in pages:
        _write(docs / place(page), staged(page, {*pages, *ASSETS}))
    for asset in ASSETS:
        _write(docs / place(asset), text_of(asset))
    (docs / "assets").mkdir(exist_ok=True)
    (docs / "assets/mermaid.js").write_bytes(files("mermaidx").joinpath("assets/mermaid.js").read_bytes())
    contract = document("http://localhost:5000", version("mypay"))
    _write(docs / "reference/openapi.json", contract.decode())
    _write(docs / "reference/openapi.html", api_page(json.loads(contract)).decode().replace('"/openapi', '"openapi'))
    _write(directory / "zensical.toml", toml(config()))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def toml(read: dict[str, Any]) -> str:
    """The configuration as TOML again, one line for each member."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in read.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(name)} = {_value(each)}' for name, each in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Build it where `make site` says."""
    try:
        build()
    except SiteError as error:
        sys.exit(str(error))
    print(f"{OUTPUT.relative_to(CHECKOUT)}/index.html: open it, or serve it (search needs that): "
          "python3 -m http.server --directory build/site")  # fmt: skip


if __name__ == "__main__":
    main()
