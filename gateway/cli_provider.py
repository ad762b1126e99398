"""`mypay provider`: make a new provider, try one, check one. Without a database, a broker or any setting of ours.

The providers are imported when an action runs, so that `mypay --help` answers at once.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec


class NotPossible(Exception):
    """What was asked for cannot be done; one sentence that says what to change."""


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; returns the exit status."""
    from providers.conformance.scaffold import NameUnusable
    from providers.conformance.trial import WishImpossible

    try:
        return {"new": _new, "check": _check, "try": _try}[options.action](options)
    except (NameUnusable, WishImpossible) as error:
        raise NotPossible(str(error)) from error


def _new(options: argparse.Namespace) -> int:
    from providers.conformance.scaffold import create

    folder = create(options.name, options.title or options.name.replace("_", " ").title())
    print(f"{folder} is a provider that works, with invented words. Put the real ones in; see that it holds with")
    print(f"  mypay provider check {options.name}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from providers.conformance.report import report, text

    found = asyncio.run(report(_known(options.name)))
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() if options.json else text(found))
    return 0 if found.passed else 1


def _try(options: argparse.Namespace) -> int:
    from providers.conformance.suite import subject
    from providers.conformance.trial import attempt
    from providers.contract import NotSent, Unknown

    outcome = asyncio.run(attempt(subject(_known(options.name)), _wish(options), print))
    return 1 if isinstance(outcome, Unknown | NotSent) else 0


def _known(name: str) -> str:
    from providers.registry import PROVIDERS

    if name not in PROVIDERS:
        raise NotPossible(f"There is no provider {name}: there are {', '.join(PROVIDERS)}.")
    return name


def _wish(options: argparse.Namespace) -> Any:
    from providers.conformance.trial import Wish

    names = ("verb", "amount", "currency", "phone", "token", "otp", "reference", "provider_reference", "base_url")
    return Wish(
        settings={**_from_file(options.settings), **_from_words(options.set)},
        wait_s=options.wait,
        **{name: getattr(options, name) for name in names},
    )


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise NotPossible(f"{path} is no JSON file with an object of settings: {error}.") from error


def _from_words(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if not all(equals for _, equals, _ in pairs):
        raise NotPossible("A setting is written --set name=value.")
    return {name: value for name, _, value in pairs}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Those of all three actions."""
    parser.add_argument("action", choices=["new", "try", "check"])
    parser.add_argument("name", help="the provider: its folder's name")
    parser.add_argument("verb", nargs="?", help="try: charge, query, confirm, payout, refund …")
    parser.add_argument("--title", help="new: what people call it")
    parser.add_argument("--json", action="store_true", help="check: print the report as JSON")
    parser.add_argument("--amount", type=int, help="try: in minor units; like all that is left out, as in its cases")
    parser.add_argument("--currency", help="try: of the amount, such as LSL")
    parser.add_argument("--phone", help="try: the payer's number, or who is paid")
    parser.add_argument("--token", help="try: the payer's card, as the provider's token")
    parser.add_argument("--otp", help="try confirm: the payer's code")
    parser.add_argument("--reference", help="try query, confirm, refund: our reference of what it is about")
    parser.add_argument("--provider-reference", help="try query, refund: the provider's name of what it is about")
    parser.add_argument("--base-url", help="try: where to send (default: the provider's simulator, started for this)")
    parser.add_argument("--settings", type=Path, help="try: a JSON file with the account's settings")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="try: one setting")
    parser.add_argument("--wait", type=float, default=0, help="try: ask for so many seconds until it is settled")
