"""The providers, found by folder: a package `providers.<name>` with a `spec` module, which offers a `SPEC`."""

from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final

from providers.contract import ProviderSpec


def _discover() -> dict[str, ProviderSpec]:
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob("*/spec.py"))
    specs = {name: import_module(f"providers.{name}").SPEC for name in folders if not name.startswith("_")}
    for folder, spec in specs.items():
        if spec.name != folder:
            raise ValueError(f"providers/{folder} declares the name {spec.name!r}: it must be the folder's.")
    return specs


PROVIDERS: Final = MappingProxyType(_discover())
