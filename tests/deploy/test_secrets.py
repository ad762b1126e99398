"""No secret of anybody lies in the repository: what keys and tokens look like is looked for in every file."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.parts import CHECKOUT

# The published forms of the issuers' own documentation.
FORMS = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/=]{20}"),
    "AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "GitHub token": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_\w{60,})"),
    "Slack token": re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    "Stripe key": re.compile(r"\b[rs]k_live_[0-9A-Za-z]{20,30}\b"),
    "JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    "password in an address": re.compile(
        r"\b(?:postgres(?:ql)?|redis|amqp|https?)://[\w.-]+:(?!\$\{)[^\s@/'\"{}<>]{8,}@(?!127\.)[\w.-]+\.(?!example\b)\w+"
    ),
    "SECRET_KEY": re.compile(r"^(?:export )?(?:JWT_)?SECRET_KEY\s*=\s*[A-Za-z0-9+/_-]{32,}={0,2}$", re.MULTILINE),
    "key of MyPay": re.compile(r"\bsk_live_[0-9A-Za-z]{38}\b"),
}
# Shown in documentation, made for it, and revoked with the installation that made them.
SHOWN = {("docs/guides/people-and-keys.md", "sk_live_DQEZT1hpAcqafHHy0sOXKM1QS8j237uY37U3ow")}


def files() -> Iterator[Path]:
    """What the repository holds, or would."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.split("\n")
    names = [name for name in listed if name] or [str(path) for path in CHECKOUT.rglob("*") if "/." not in str(path)]
    yield from (CHECKOUT / name for name in names)


def found(text: str) -> Iterator[tuple[str, str]]:
    for name, form in FORMS.items():
        yield from ((name, match[0]) for match in form.finditer(text))


def test_no_file_holds_a_secret() -> None:
    leaks = []
    for path in files():
        if path.is_file() and path != Path(__file__):
            text = path.read_bytes().decode("utf-8", errors="replace")
            place = str(path.relative_to(CHECKOUT))
            leaks += [f"{place}: {name}: {what[:24]}…" for name, what in found(text) if (place, what) not in SHOWN]
    assert leaks == []


@pytest.mark.parametrize(
    "planted",
    [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA0123456789",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a" * 36,
        "postgresql://mypay:hunter2hunter2@db.internal.net/mypay",
        "SECRET_KEY=" + "A" * 43 + "=",
        "sk_live_" + "a" * 38,
    ],
)
def test_what_is_looked_for_is_found(planted: str) -> None:
    assert list(found(f"x\n{planted}\n"))
