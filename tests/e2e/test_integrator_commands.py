"""The commands for integrators against a whole installation: events shown, forwarded, made to happen and replayed."""

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.cli import main
from gateway.cli_remote import Target
from gateway.cli_trigger import TRIGGERS, carry_out
from gateway.event_types import EVENT_TYPES
from gateway.keys import make
from streams import topics
from tests.docs.event_schemas import validator
from tests.e2e.shop import phone, shop
from tests.streams.support import until
from tests.support.installation import Installation, installation
from tests.support.parts import CHECKOUT, Parts
from tests.support.receiver import receiver, status

pytestmark = pytest.mark.anyio

LIMIT_S = 60
SLOW = {"payment.expired"}  # waits for its time


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("integrator"), pace=0.2) as running:
        yield running


def environment(mypay: Installation, **more: str) -> dict[str, str]:
    """Nothing of the installation but its address and a key."""
    return {"MYPAY_URL": mypay.base_url, "MYPAY_API_KEY": mypay.api_key, "PATH": "", **more}


class Ran:
    """A command that has ended."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out.decode(), err.decode()

    @property
    def lines(self) -> list[Any]:
        """Its output, each line as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


async def mypay_command(cwd: Path, env: dict[str, str], *arguments: str) -> Ran:
    """Run a command to its end."""
    process = await begin(cwd, env, *arguments)
    async with asyncio.timeout(LIMIT_S):
        out, err = await process.communicate()
    assert "Traceback" not in err.decode(), err.decode()
    return Ran(process.returncode or 0, out, err)


async def begin(cwd: Path, env: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    argv = [sys.executable, "-m", "gateway.cli", *arguments]
    return await asyncio.create_subprocess_exec(*argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@asynccontextmanager
async def under_way(cwd: Path, env: dict[str, str], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that runs until it is interrupted, and then ends in order."""
    process = await begin(cwd, env, *arguments)
    try:
        yield process
    finally:
        process.send_signal(2)
        async with asyncio.timeout(LIMIT_S):
            _, err = await process.communicate()
    assert (process.returncode, b"Traceback" in err) == (0, False), err


async def line_of(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    async with asyncio.timeout(LIMIT_S):
        return (await stream.readline()).decode()


async def said(process: asyncio.subprocess.Process, words: str) -> str:
    """The first line on stderr with these words."""
    while words not in (line := await line_of(process.stderr)):
        assert line, f"it ended without saying {words}"
    return line


async def test_listen_forwards_signed_as_the_notifier_does(mypay: Installation, tmp_path: Path) -> None:
    env = environment(mypay)
    secret = (await mypay_command(tmp_path, env, "listen", "--print-secret")).out.strip()
    async with shop(mypay) as merchant, receiver() as own:
        endpoint = await merchant.client.post(
            "/v1/webhook_endpoints", headers=mypay.headers(), json={"url": own.url, "events": ["payment.*"]}
        )
        async with under_way(
            tmp_path, env, "listen", "--forward-to", own.url, "--types", "payment.*", "--json"
        ) as own_cli:
            assert json.loads(await line_of(own_cli.stdout)) == {"secret": secret, "forwards_to": own.url}
            await said(own_cli, "for")
            payment = await merchant.pay(phone("000"))
            shown = [json.loads(await line_of(own_cli.stdout)) for _ in range(3)]
            await until(lambda: len(own.got) == 6)
        assert [each["event"]["type"].split(".")[1] for each in shown] == ["created", "processing", "succeeded"]
        assert {(each["status"], each["error"]) for each in shown} == {(200, None)}
        assert {each["event"]["data"]["object"]["id"] for each in shown} == {payment["id"]}
        by_cli = [each for each in own.got if _is_signed(secret, each)]
        by_notifier = [each for each in own.got if _is_signed(endpoint.json()["secret"], each)]
        assert len(by_cli) == len(by_notifier) == 3
        for one in by_cli:
            [other] = [each for each in by_notifier if each.headers["webhook-id"] == one.headers["webhook-id"]]
            varying = ("webhook-signature", "webhook-timestamp")
            assert one.body == other.body
            assert {k: v for k, v in one.headers.items() if k not in varying} == {
                k: v for k, v in other.headers.items() if k not in varying
            }
        await merchant.client.delete(f"/v1/webhook_endpoints/{endpoint.json()['id']}", headers=mypay.headers())


def _is_signed(secret: str, received: Any) -> bool:
    try:
        Webhook(secret).verify(received.body, received.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_listen_shows_what_the_receiver_answers_and_goes_on(mypay: Installation, tmp_path: Path) -> None:
    async with shop(mypay) as merchant, receiver(status("500 No")) as own:
        listen = ("listen", "--forward-to", own.url, "--types", "payment.succeeded")
        async with under_way(tmp_path, environment(mypay), *listen) as listening:
            assert (await line_of(listening.stdout)).startswith("Signing secret: whsec_")
            await said(listening, "for")
            payment = await merchant.pay(phone("000"))
            line = await line_of(listening.stdout)
            assert payment["id"] in line
            assert line.endswith("-> 500\n")


async def test_every_trigger_leads_to_its_event(mypay: Installation, tmp_path: Path) -> None:
    assert TRIGGERS.keys() < EVENT_TYPES.keys()
    where = Target(mypay.base_url, mypay.api_key)

    async def trigger(name: str) -> str:
        options = argparse.Namespace(event=name, amount=15000, currency="LSL", timeout=LIMIT_S)
        return (await carry_out(where, options)).type

    wanted = [name for name in TRIGGERS if name not in SLOW]
    assert await asyncio.gather(*map(trigger, wanted)) == wanted
    one = await mypay_command(tmp_path, environment(mypay), "trigger", "refund.failed", "--json")
    assert (one.code, one.lines[0]["data"]["object"]["status"]) == (0, "failed"), one.err
    assert [line.split()[2] for line in one.err.splitlines()] == ["/v1/payments:", "/v1/refunds:"]


async def test_tail_goes_on_from_a_cursor_and_loses_nothing(mypay: Installation, tmp_path: Path) -> None:
    async with shop(mypay) as merchant:
        await merchant.final((await merchant.pay(phone("000")))["id"])
        await merchant.all_published()
        place = (await merchant.client.get("/v1/events?limit=100", headers=mypay.headers())).json()
        while place["has_more"]:
            path = f"/v1/events?limit=100&after={place['next']}"
            place = (await merchant.client.get(path, headers=mypay.headers())).json()
        first = await merchant.pay(phone("000"))
        await merchant.final(first["id"])
        arguments = ("events", "tail", "--after", place["next"], "--json", "--count", "6")
        running = asyncio.create_task(mypay_command(tmp_path, environment(mypay), *arguments))
        second = await merchant.pay(phone("000"))
        shown = await running
        about = [(each["data"]["object"]["id"], each["sequence"]) for each in shown.lines]
        assert about == [(each, number) for each in (first["id"], second["id"]) for number in (1, 2, 3)]
        bodies = [
            (await merchant.client.get(f"/v1/events/{each['id']}", headers=mypay.headers())).text
            for each in shown.lines
        ]
        assert shown.out.splitlines() == bodies
        one = await mypay_command(
            tmp_path, environment(mypay), "events", "tail", "--beginning", "--object", second["id"],
            "--types", "payment.created,payment.succeeded", "--count", "2",
        )  # fmt: skip
        assert [line.split()[1:4] for line in one.out.splitlines()] == [
            ["payment.created", second["id"], "#1"],
            ["payment.succeeded", second["id"], "#3"],
        ]


async def test_a_replay_is_followed_to_its_end(mypay: Installation, tmp_path: Path) -> None:
    async with shop(mypay) as merchant, receiver() as own:
        made = await merchant.client.post(
            "/v1/webhook_endpoints", headers=mypay.headers(), json={"url": own.url, "events": ["payment.succeeded"]}
        )
        payment = await merchant.final((await merchant.pay(phone("000")))["id"])
        await until(lambda: len(own.got) == 1)
        again = ("webhooks", "replay", made.json()["id"], "--from", payment["created_at"], "--json")
        done = await mypay_command(tmp_path, environment(mypay), *again)
        assert done.lines == [{"endpoint": made.json()["id"], "scheduled": 1, "waiting": 0}]
        assert "1 scheduled, 1 in all." in done.err
        assert [each.headers["webhook-id"] for each in own.got[1:]] == [own.got[0].headers["webhook-id"]]
        assert own.got[0].body == own.got[1].body
        only = await mypay_command(tmp_path, environment(mypay), "webhooks", "replay", "--from", "1h", "--wait", "0")
        assert only.code == 0, only.err
        assert only.out.startswith(f"{only.out.split()[0]} deliveries to {made.json()['id']} scheduled.")
        await merchant.client.delete(f"/v1/webhook_endpoints/{made.json()['id']}", headers=mypay.headers())


async def test_tail_goes_on_after_the_connection_was_lost(mypay: Installation, tmp_path: Path) -> None:
    async with shop(mypay) as merchant:
        tail = ("events", "tail", "--types", "payment.succeeded")
        async with under_way(tmp_path, environment(mypay), *tail) as tailing:
            await said(tailing, "waiting for events")
            before = await merchant.pay(phone("000"))
            assert before["id"] in await line_of(tailing.stdout)
            mypay.processes["api"].end()
            await said(tailing, "Trying again in ")
            mypay.processes["api"].restart()
            mypay.wait_ready()
            after = await merchant.pay(phone("000"))
            assert after["id"] in await line_of(tailing.stdout)


async def test_a_consumer_of_the_topic_alone_knows_what_the_api_knows(mypay: Installation, tmp_path: Path) -> None:
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": mypay.settings.kafka_bootstrap_servers,
        "TOPIC": topics.physical(mypay.settings, topics.EVENTS_TEST),
        "DATABASE": str(tmp_path / "shop.db"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHECKOUT / "examples/consume_events.py"), env=env, stdout=subprocess.PIPE
    )
    try:
        async with shop(mypay) as merchant:
            payments = [await merchant.pay(phone(digits)) for digits in ("000", "001", "002", "009", "012")]
            await merchant.all_published()
            last = await merchant.pay(phone("000"))
            await merchant.final(last["id"])
            await merchant.all_published()
            seen = await _lines_until(process, "payment.succeeded", last["id"])
            assert {line[0] for line in seen} == {"new"}
            everything = await merchant.pool.fetch("select id, type, body from events order by position")
            for row in everything:
                validator(row["type"]).validate(json.loads(row["body"]))
            again = ("events", "republish")
            republished = await mypay_command(tmp_path, {**mypay.environment, "PATH": ""}, *again)
            assert republished.code == 0, republished.err
            repeated = await _lines_until(process, "payment.succeeded", last["id"])
            assert {line[0] for line in repeated if line[1] in {each[1] for each in seen}} == {"old"}
            kept = dict(sqlite3.connect(env["DATABASE"]).execute("select id, event from objects").fetchall())
            for payment in [*payments, last]:
                shown = await merchant.until(payment["id"], lambda each: each["status"] != "pending")
                if shown["sequence"] == json.loads(kept[payment["id"]])["sequence"]:
                    assert json.loads(kept[payment["id"]])["data"]["object"] == shown
    finally:
        process.kill()
        await process.wait()


async def _lines_until(process: asyncio.subprocess.Process, kind: str, about: str) -> list[list[str]]:
    """What the consumer prints, up to one event."""
    lines: list[list[str]] = []
    while not lines or lines[-1][2:4] != [kind, about]:
        lines.append((await line_of(process.stdout)).split())
        assert lines[-1], "it ended"
    return lines


@pytest.mark.parametrize(
    ("change", "arguments", "code", "sentence"),
    [
        ({"MYPAY_API_KEY": make(False)}, ("events", "tail"), 1, "MyPay refuses (401 unauthorized): "),
        ({"MYPAY_API_KEY": "sk_test_no"}, ("events", "tail"), 2, "This is no API key"),
        ({"MYPAY_API_KEY": ""}, ("events", "tail"), 2, "Name an API key with MYPAY_API_KEY or --api-key."),
        ({"MYPAY_URL": ""}, ("events", "tail"), 2, "Name the installation with --url or MYPAY_URL; "),
        ({"MYPAY_URL": "localhost:5000"}, ("events", "tail"), 2, "The installation's URL is written like "),
        ({"MYPAY_URL": "http://127.0.0.1:1"}, ("events", "tail"), 1, "http://127.0.0.1:1 does not answer "),
        ({"MYPAY_URL": "http://127.0.0.1:1"}, ("trigger", "payment.created"), 1, "http://127.0.0.1:1 does not answer "),
        ({}, ("trigger", "payment.lost"), 2, "payment.lost cannot be triggered: there are payment.created, "),
        ({"MYPAY_API_KEY": make(True)}, ("trigger", "payment.created"), 2, "This key is live, "),
        ({}, ("trigger", "payment.created", "--currency", "XXX"), 1, "MyPay refuses (400 invalid_request): /currency"),
        ({}, ("listen",), 2, "Name your server: --forward-to http://localhost:9000/hooks."),
        ({}, ("listen", "--forward-to", "localhost"), 2, "Name your server: --forward-to "),
        ({}, ("events", "tail", "--after", "x"), 1, "MyPay refuses (400 invalid_cursor): "),
        ({}, ("webhooks", "replay", "--from", "yesterday"), 2, "--from is written like 2026-11-25T09:00:00Z, or 90m"),
        ({}, ("webhooks", "replay", "pay_x", "--from", "1h"), 2, "pay_x is no id of a webhook endpoint (whe_…)."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_a_person_can_put_right_is_one_sentence(
    mypay: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", environment(mypay, **change))
    assert main(arguments) == code
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1), error
    assert error.startswith(f"mypay: {sentence}")
    assert mypay.api_key not in error


async def test_what_up_wrote_down_is_enough(mypay: Installation, tmp_path: Path) -> None:
    (tmp_path / ".mypay").mkdir()
    demo = {"base_url": mypay.base_url, "api_key": mypay.api_key}
    (tmp_path / ".mypay/demo.json").write_text(json.dumps(demo))
    done = await mypay_command(tmp_path, {}, "trigger", "payment.succeeded")
    assert done.code == 0, done.err
    assert done.out.startswith("payment.succeeded pay_")
