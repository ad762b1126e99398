"""Proofs about what is declared and how it is written, from the spec and the sources alone."""

import ast
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from providers import references
from providers.conformance.suite import Check, Subject, require
from providers.contract import Verb
from providers.money import CURRENCIES
from providers.phones import COUNTRIES
from providers.simulators import simulators

ADAPTER: Final = ("__init__.py", "spec.py", "wire.py", "operations.py", "callbacks.py")
BESIDE: Final = ("simulator.py", "cases.py")
LINES: Final = 300  # of code in an adapter; what needs more holds something of the engine's
METHODS: Final = {"mobile_money", "card", "redirect"}

_IMPURE_MODULES: Final = {"asyncio", "httpx", "os", "random", "secrets", "socket", "time"}
_IMPURE_NAMES: Final = {"now", "utcnow", "today", "uuid1", "uuid4"}


def the_folder_is_whole_and_small(of: Subject) -> Iterator[Check]:
    """One folder, named like the provider, with an adapter of at most 300 lines of code (or a reason why it has
    more), a simulator and cases."""
    yield Check("the name", lambda: require(of.folder.name == of.name, "SPEC.name is not the folder's name"))
    for file in (*ADAPTER, *BESIDE):
        yield Check(file, partial(_exists, of, file))
    yield Check("its size", partial(_is_small, of))
    yield Check("its simulator", lambda: require(of.name in simulators(), "simulator.py offers no SIMULATOR"))


def _is_small(of: Subject) -> None:
    code = size(of).code
    require(code <= LINES or of.cases.longer, f"the adapter has {code} lines of code, and CASES.longer gives no reason")
    require(code > LINES or not of.cases.longer, "CASES.longer gives a reason for nothing")


class Size(NamedTuple):
    """Lines of an adapter: all, and those of code, without blank ones, comments and docstrings."""

    code: int
    lines: int


def size(of: Subject) -> Size:
    """How long every file is, together, that the `SPEC` is made from."""
    sources = [path.read_text(encoding="utf-8") for path in _adapter(of)]
    return Size(sum(map(_code_lines, sources)), sum(len(source.splitlines()) for source in sources))


def _code_lines(source: str) -> int:
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, described)]
    docstrings = [node.body[0] for node in nodes if ast.get_docstring(node) is not None]
    documented = {line for one in docstrings for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)}
    lines = enumerate(map(str.strip, source.splitlines()), 1)
    return sum(1 for number, line in lines if line and not line.startswith("#") and number not in documented)


def _adapter(of: Subject) -> set[Path]:
    """The files of the folder that `__init__.py` imports, and those that they import."""
    found, waiting = set[Path](), {of.folder / "__init__.py"}
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= {other for other in _imported(of, path) if other.exists()} - found
    return found


def _imported(of: Subject, path: Path) -> Iterator[Path]:
    package = f"providers.{of.name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from (of.folder / f"{alias.name}.py" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package + "."):
            yield of.folder / f"{str(node.module).removeprefix(package + '.')}.py"


def _exists(of: Subject, file: str) -> None:
    require((of.folder / file).exists(), "it is missing")


def the_tables_are_sound(of: Subject) -> Iterator[Check]:
    """Countries, currencies, limits, methods and the query schedule are ones that the engine can work with."""
    spec = of.spec
    limits = spec.limits.values()
    lookups = [verb.uncertainty.lookup for verb in spec.verbs.values()]
    for says, truth in {
        "countries": spec.countries and spec.countries <= COUNTRIES,
        "currencies": spec.currencies and spec.currencies <= CURRENCIES,
        "limits for each currency": set(spec.limits) == spec.currencies,
        "limits in order": all(1 <= limit.min <= limit.max for limit in limits),
        "methods": spec.methods and spec.methods <= METHODS,
        "whole units": spec.whole_units <= spec.currencies,
        "a query, or none that is claimed": Verb.QUERY in spec.verbs or set(lookups) == {"unsupported"},
        "the query schedule": spec.queries.delays_s == tuple(sorted(spec.queries.delays_s)),
        "a deadline": 0 < spec.deadline_s <= 120,
        "identity": spec.identity <= set(spec.settings.__struct_fields__),
    }.items():
        yield Check(says, partial(require, truth, "it is not"))


def a_reference_is_ours_alone(of: Subject) -> Iterator[Check]:
    """Our references fit the provider's alphabet and length, are never made twice, and find their way back."""
    form = of.spec.reference
    made = references.make(form, UUID(int=7))
    room = len(form.alphabet) ** form.length >= 2**48 * 256
    yield Check("room enough", partial(require, room, "48 bits beside the partition do not fit"))
    yield Check("each letter once", partial(require, len(set(form.alphabet)) == len(form.alphabet), "one is repeated"))
    yield Check("its length", partial(require, len(made) == form.length, "it is another"))
    yield Check("its partition", partial(require, references.logical_partition(form, made) == 7, "it is lost"))


def nothing_but_the_operation_is_read(of: Subject) -> Iterator[Check]:
    """No file of the adapter reads a clock, makes an id, draws lots, or does I/O of its own."""
    for file in ADAPTER:
        if (of.folder / file).exists():
            yield Check(file, partial(_is_pure, ast.parse((of.folder / file).read_text(encoding="utf-8"))))


def _is_pure(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = {alias.name.split(".")[0] for alias in node.names} & _IMPURE_MODULES
            require(not found, f"it imports {', '.join(sorted(found))}")
        elif isinstance(node, ast.ImportFrom):
            require((node.module or "").split(".")[0] not in _IMPURE_MODULES, f"it imports from {node.module}")
        elif isinstance(node, ast.Attribute):
            require(node.attr not in _IMPURE_NAMES, f"it calls {node.attr} (line {node.lineno})")


def the_simulator_shares_no_code_with_the_adapter(of: Subject) -> Iterator[Check]:
    """What the simulator understands it read in the documents, not in the adapter: one error cannot hide the other."""
    simulator = of.folder / "simulator.py"
    if simulator.exists():
        source = simulator.read_text(encoding="utf-8")
        shared = [f"providers.{of.name}.{module[:-3]}" for module in ADAPTER[1:]] + ["providers.signing"]
        for module in shared:
            yield Check(module, partial(require, module not in source, "the simulator imports it"))
        package = f"from providers.{of.name} import"
        yield Check(package, partial(require, package not in source, "the simulator imports from it"))
