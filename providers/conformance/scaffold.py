"""`mypay provider new`: a folder that the registry finds, made from a template that passes the suite."""

import re
from pathlib import Path
from typing import Final

import providers

TEMPLATE: Final = Path(providers.__file__).parent / "_template"
NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,30}")


class NameUnusable(Exception):
    """No provider can have this name; one sentence that says why."""


def create(name: str, title: str, folder: Path | None = None) -> Path:
    """Make the folder of a new provider beside the others, or in `folder`; answers it. `NameUnusable` says why not."""
    if NAME.fullmatch(name) is None:
        raise NameUnusable("A provider's name is 2 to 31 small letters, digits and underscores, as in acme_pay.")
    target = (folder or TEMPLATE.parent) / name
    if target.exists():
        raise NameUnusable(f"{target} exists already: choose another name.")
    target.mkdir(parents=True)
    for source in sorted(TEMPLATE.glob("*.py")):
        text = source.read_text(encoding="utf-8")
        (target / source.name).write_text(_named(text, name, title), encoding="utf-8")
    return target


def _named(text: str, name: str, title: str) -> str:
    """The template's text with another provider's names."""
    class_name = "".join(part.capitalize() for part in name.split("_"))
    for old, new in (("Template Pay", title), ("TemplatePay", class_name), ("_template", name)):
        text = text.replace(old, new)
    return text
