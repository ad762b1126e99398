"""The little Markdown that the generated pages are made of."""

from collections.abc import Iterable, Sequence


def page(title: str, sources: str, *parts: str) -> str:
    """A whole page. `sources` names the modules that it is made from."""
    note = f"<!-- Written by `make docs` from {sources}. Do not edit. -->"
    return "\n\n".join([note, f"# {title}", *(part.strip("\n") for part in parts)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def code(text: object) -> str:
    """The text as code; nothing for nothing."""
    return f"`{text}`" if text not in (None, "") else ""


def codes(texts: Iterable[object]) -> str:
    """Several, separated by commas."""
    return ", ".join(map(code, texts))


def mermaid(*lines: str) -> str:
    """A diagram."""
    return "\n".join(["```mermaid", *lines, "```"])
