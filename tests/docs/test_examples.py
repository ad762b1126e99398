"""What README and guides show is run, and the table of test payments is true."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from gateway.processes import free_port
from tests.docs.pages import PAGES, agrees, examples, text_of
from tests.support.installation import Installation, installation
from tests.support.parts import Parts

pytestmark = pytest.mark.xdist_group("docs")  # one installation for all

RUNNABLE = [page for page in PAGES if examples(page)]
MARK = "----- next block -----"
TIMEOUT_S = 120
PACE = 0.3  # the table has payments whose second callback must come well after the first, on a busy machine too


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("docs"), pace=PACE) as running:
        yield running


def run(mypay: Installation, directory: Path, scripts: list[str]) -> list[str]:
    """Run the blocks of a page in one shell, as a reader would beside a running `make up`; the output of each."""
    (directory / ".mypay").mkdir()
    demo = {
        "api_key": mypay.api_key,
        "base_url": mypay.base_url,
        "accounts": mypay.accounts,
        "simulators": mypay.simulators,
    }
    demo |= {"metrics": {"api": f"{mypay.base_url}/metrics", "worker": f"{mypay.worker_urls['worker-1']}/metrics"}}
    demo |= {"email": mypay.email, "password": mypay.password}
    (directory / ".mypay/demo.json").write_text(json.dumps(demo))
    text = f"\necho; echo '{MARK}'\n".join(["set -eu -o pipefail", *scripts])
    text = re.sub(r"\bPORT=\d+", lambda _: f"PORT={free_port()}", text)
    shell = subprocess.run(
        ["bash", "-c", text.replace("http://localhost:5000", mypay.base_url)],
        cwd=directory,
        env={**os.environ, **mypay.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr
    return shell.stdout.replace(mypay.base_url, "http://localhost:5000").split(MARK)[1:]


def test_there_is_something_to_run() -> None:
    assert {str(page) for page in RUNNABLE} == {
        "README.md",
        "docs/guides/accept-a-payment.md",
        "docs/guides/follow-events.md",
        "docs/guides/audit.md",
        "docs/guides/routing.md",
        "docs/guides/people-and-keys.md",
        "docs/guides/receive-webhooks.md",
        "docs/guides/refunds-and-payouts.md",
        "docs/guides/run.md",
        "docs/guides/watch.md",
        "docs/quickstart.md",
    }


@pytest.mark.parametrize("page", RUNNABLE, ids=str)
def test_examples_do_what_the_page_shows(page: Path, mypay: Installation, tmp_path: Path) -> None:
    shown = examples(page)
    for example, real in zip(shown, run(mypay, tmp_path, [one.script for one in shown]), strict=True):
        if example.output is not None:
            assert agrees(example.output, real.strip("\n")), f"{example.script}\nprints\n{real}"


# --- The table of test payments -----------------------------------------------------------------------------------


class Row(NamedTuple):
    """A row of the table: phone's end, token, and the words of its last column."""

    digits: str
    token: str
    ends: str


def rows() -> list[Row]:
    text = text_of(Path("docs/guides/accept-a-payment.md")).split("## Test payments")[1]
    return [Row(*found) for found in re.findall(r"^\| (\d{3}) \| `(tok_\w+)` \|.*\| (.+) \|$", text, re.MULTILINE)]


def expected(row: Row) -> tuple[str, ...]:
    """Status, and the failure's code or the review's reason."""
    return tuple(re.findall(r"`([a-z_]+)`", row.ends.removesuffix("by `confirm`")))


async def outcome(
    client: httpx.AsyncClient, mypay: Installation, method: dict[str, str], wanted: tuple[str, ...]
) -> Any:
    """What a payment of this method has become once it is what the table says, or else after a while."""
    body = {"provider": "sandbox", "amount": 15000, "currency": "LSL", "method": method}
    made = await client.post("/v1/payments", headers=mypay.headers(), json=body)
    path = made.headers["location"]
    for _ in range(200):
        payment = (await client.get(path, headers=mypay.headers())).json()
        failure, review = payment["failure"] or {}, payment["review"] or {}
        words = [payment["status"], failure.get("code"), review.get("reason")]
        if (found := tuple(filter(None, words))) == wanted:
            return found
        await asyncio.sleep(0.1)
    return found


async def test_every_test_payment_ends_as_the_table_says(mypay: Installation) -> None:
    table = rows()
    assert len(table) == 17
    ending = [row for row in table if row.digits != "004"]  # ends with its time, which nothing makes pass faster
    asked = [
        (method, expected(row))
        for row in ending
        for method in (
            {"type": "mobile_money", "phone": f"+26658123{row.digits}"},
            {"type": "card", "token": row.token},
        )
    ]
    async with httpx.AsyncClient(base_url=mypay.base_url, timeout=30) as client:
        # One first, by callback: the consumers have their partitions before the two callbacks of 014 come.
        assert await outcome(client, mypay, {"type": "card", "token": "tok_later"}, ("succeeded",)) == ("succeeded",)
        found = await asyncio.gather(*(outcome(client, mypay, method, wanted) for method, wanted in asked))
    wrong = [
        f"{method}: {got}, not {wanted}" for (method, wanted), got in zip(asked, found, strict=True) if got != wanted
    ]
    assert not wrong


async def test_what_is_not_yet_there_is_not_there(mypay: Installation) -> None:
    text = text_of(Path("README.md")).split("## Not yet")[1].split("\n## ")[0]
    paths = re.findall(r"`(/v1/\w+(?:/\w+)*)`", text)
    async with httpx.AsyncClient(base_url=mypay.base_url) as client:
        statuses = {path: (await client.get(path, headers=mypay.headers())).status_code for path in paths}
    assert statuses == dict.fromkeys(paths, 404)
