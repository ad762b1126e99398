"""docs/reference/cli.md: the commands and their arguments."""

import argparse

from gateway.cli import COMMANDS, Command
from tests.docs.markdown import code, codes, page, table

INTRODUCTION = """
`mypay COMMAND`; `mypay COMMAND --help` says the same. How they are used: [run MyPay](../guides/run.md). Exit status: 0,
2 for settings and arguments that make no sense, 1 for the rest; each with one sentence on stderr.
"""


def cli() -> str:
    """The page."""
    sections = [part for name, command in COMMANDS.items() for part in section(name, command)]
    return page("Commands", "gateway/cli.py", INTRODUCTION, *sections)


def section(name: str, command: Command) -> tuple[str, str, str]:
    """One command: its name, what it is for, its arguments."""
    parser = argparse.ArgumentParser(add_help=False)
    command.arguments(parser)
    rows = [(code(written(each)), meaning(each)) for each in parser._actions]
    arguments = table(["argument", "meaning"], rows) if rows else "It takes no arguments."
    return f"## `mypay {name}`", f"{command.help[0].upper()}{command.help[1:]}.", arguments


def written(argument: argparse.Action) -> str:
    """As it is written on the command line."""
    value = str(argument.metavar or argument.dest.upper())
    return " ".join([*argument.option_strings, *([] if argument.nargs == 0 else [value])])


def meaning(argument: argparse.Action) -> str:
    """Its help, and its choices where it has some."""
    choices = f"one of {codes(argument.choices)}" if argument.choices else ""
    return ": ".join(filter(None, [argument.help, choices]))
