"""The documentation as data: its pages, their fenced blocks, and the comparison of shown with real output."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

CHECKOUT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    path.relative_to(CHECKOUT)
    for path in [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("migrations/*.md")]
)

_FENCE: Final = re.compile(r"^ *```(.*)\n((?:.*\n)*?) *```$", re.MULTILINE)
_VARIES: Final = (  # what differs from run to run
    (re.compile(r"\b(pay|ref|pout|op|acc|mer|evt|req|cb|usr|key)_[0-9a-z]{26}\b"), r"\1_…"),
    (re.compile(r"\bsk_(test|live)_[0-9A-Za-z]{38}\b"), r"sk_\1_…"),
    (re.compile(r'"prefix": "sk_live_\w{4}"'), '"prefix": "…"'),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|\+00:00)"), "<time>"),
    (re.compile(r"\bch_[0-9a-z]{24}\b"), "ch_…"),
    (re.compile(r"\bCP\d{10}\b"), "CP…"),
    (re.compile(r'"reference": "[0-9A-Z]{20}"'), '"reference": "…"'),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:…"),
)


class Block(NamedTuple):
    """A fenced block: what stands after the fence, and the lines between."""

    info: str
    text: str


class Example(NamedTuple):
    """A block that is run, and the output that is shown below it, if any is."""

    script: str
    output: str | None


def text_of(page: Path) -> str:
    """The page's Markdown."""
    return (CHECKOUT / page).read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def blocks(page: Path) -> list[Block]:
    """The fenced blocks, in order."""
    return [Block(info.strip(), text) for info, text in _FENCE.findall(text_of(page))]


def examples(page: Path) -> list[Example]:
    """The blocks marked `sh run`, each with the `json` or `text` block that follows it."""
    found = blocks(page)
    following = [*found[1:], Block("", "")] if found else []
    return [
        Example(block.text, after.text if after.info in ("json", "text") else None)
        for block, after in zip(found, following, strict=True)
        if block.info == "sh run"
    ]


def shell_lines(page: Path) -> Iterator[str]:
    """Every line of every shell block, without its comment."""
    for block in blocks(page):
        if block.info.split(" ")[0] == "sh":
            yield from (line.split("  #")[0].strip() for line in block.text.splitlines())


def agrees(shown: str, real: str) -> bool:
    """Whether output is what the page shows, but for what varies; a line `…` stands for any lines."""
    lines = [re.escape(line) + r"\n" for line in _normalised(shown).rstrip("\n").splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if re.fullmatch(r"\s*…\s*", _plain(line)) else line for line in lines)
    return re.fullmatch(pattern, _normalised(real).rstrip("\n") + "\n") is not None


def _plain(escaped: str) -> str:
    return re.sub(r"\\(.)", r"\1", escaped.removesuffix(r"\n"))


def _normalised(text: str) -> str:
    for pattern, replacement in _VARIES:
        text = pattern.sub(replacement, text)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())
