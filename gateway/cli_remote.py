"""What the commands for integrators share: an installation somewhere, reached with nothing but its address and a key.

Both come from the arguments, else from MYPAY_URL and MYPAY_API_KEY, else from what `mypay up` wrote down here. httpx
is imported when something is asked, so that `mypay --help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from gateway import keys

if TYPE_CHECKING:
    import httpx

DEMO: Final = Path(".mypay/demo.json")
TIMEOUT_S: Final = 30.0


class TargetUnusable(Exception):
    """No installation, or no key, to ask: one sentence that says what to change."""


class Refused(Exception):
    """The installation did not do what it was asked: one sentence. `status` and `pointers`: its answer, if it did."""

    def __init__(self, sentence: str, *, status: int | None = None, pointers: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.status, self.pointers = status, pointers


class Target(Struct, frozen=True):
    """An installation's base URL, without a slash at its end, and a key for it."""

    url: str
    key: str

    def __repr__(self) -> str:
        """Without the key."""
        return f"Target(url={self.url!r})"

    @property
    def is_test(self) -> bool:
        """Whether the key only reaches test data."""
        return self.key[2:].startswith("_test_")


class _Demo(Struct):
    base_url: str = ""
    api_key: str = ""


class _FieldError(Struct):
    pointer: str = ""
    detail: str = ""


class _Problem(Struct):
    detail: str = ""
    title: str = ""
    code: str = ""
    errors: list[_FieldError] = []


def arguments(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Those that name the installation, and the form of the output."""
    parser.add_argument("--url", help=f"{what}the installation (default: MYPAY_URL, or the one that runs here)")
    parser.add_argument(
        "--api-key", metavar="KEY", help=f"{what}a key for it (default: MYPAY_API_KEY, which `ps` does not show)"
    )
    parser.add_argument("--json", action="store_true", help=f"{what}print JSON, one object on each line")


def target(options: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Target:
    """The installation that is meant. Raises `TargetUnusable`."""
    given = os.environ if environment is None else environment
    demo = _demo()
    url = options.url or given.get("MYPAY_URL") or demo.base_url
    key = options.api_key or given.get("MYPAY_API_KEY") or demo.api_key
    if not url:
        raise TargetUnusable(f"Name the installation with --url or MYPAY_URL; no `mypay up` has left {DEMO} here.")
    if not key:
        raise TargetUnusable("Name an API key with MYPAY_API_KEY or --api-key.")
    if not is_address(url):
        raise TargetUnusable("The installation's URL is written like https://pay.example or http://localhost:5000.")
    if not keys.is_well_formed(key):
        raise TargetUnusable("This is no API key (sk_test_…, sk_live_…, rk_…): a character is wrong or missing.")
    return Target(url.rstrip("/"), key)


def is_address(text: str) -> bool:
    """Whether it is an http(s) URL with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _demo() -> _Demo:
    try:
        return msgspec.json.decode(DEMO.read_bytes(), type=_Demo)
    except (OSError, msgspec.MsgspecError):  # nobody ran `up` here, or the file was cut off
        return _Demo()


def say(text: str) -> None:
    """Tell a person what goes on, beside the output."""
    print(f"mypay: {text}", file=sys.stderr, flush=True)


class Remote:
    """Asks the installation. Every method raises `Refused` with one sentence."""

    def __init__(self, client: "httpx.AsyncClient", target: Target) -> None:
        self.client, self.target = client, target

    async def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of an answer; parameters that are None are left out."""
        return msgspec.json.decode(await self.get_bytes(path, **parameters))

    async def get_bytes(self, path: str, **parameters: Any) -> bytes:
        """An answer as it came."""
        return await self._ask("GET", path, params={k: v for k, v in parameters.items() if v is not None})

    async def post(self, path: str, body: Mapping[str, Any], *, key: str) -> Any:
        """The JSON of an answer; `key` is the Idempotency-Key."""
        headers = {"Idempotency-Key": key}
        return msgspec.json.decode(await self._ask("POST", path, json=dict(body), headers=headers))

    async def _ask(self, method: str, path: str, **more: Any) -> bytes:
        import httpx

        try:
            answer = await self.client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise unreachable(self.target, error) from None
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        if not answer.is_success or not is_json:
            raise refusal(answer.status_code, answer.content)
        return answer.content


@asynccontextmanager
async def remote(where: Target) -> AsyncIterator[Remote]:
    """The installation, while the block runs."""
    import httpx

    headers = {"Authorization": f"Bearer {where.key}", "User-Agent": "mypay-cli"}
    async with httpx.AsyncClient(base_url=where.url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
        yield Remote(client, where)


def unreachable(where: Target, error: Exception) -> Refused:
    """What a lost or missing connection is called."""
    return Refused(f"{where.url} does not answer ({type(error).__name__}); is this the address, and does it run?")


def refusal(status: int, content: bytes) -> Refused:
    """What an answer that is not 2xx is called: the installation's own words where they are."""
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.MsgspecError:
        return Refused(f"What answers there is not MyPay: it said {status} in no form that MyPay uses.", status=status)
    said = "; ".join(f"{each.pointer}: {each.detail}" for each in problem.errors) or problem.detail or problem.title
    pointers = tuple(each.pointer for each in problem.errors)
    return Refused(f"MyPay refuses ({status} {problem.code}): {said}", status=status, pointers=pointers)
