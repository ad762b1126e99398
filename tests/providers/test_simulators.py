"""The simulators as processes: their ledgers survive a kill, and so does what was still to come."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import msgspec
import pytest

from providers.contract import Succeeded, Verb
from providers.simulators import simulators

pytestmark = pytest.mark.anyio
SERVE = """
import json, pathlib, sys
from providers.simulators import serve
serve(json.loads(sys.argv[1]), directory=pathlib.Path(sys.argv[2]), pace=float(sys.argv[3]))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def process(tmp_path):
    """Starts `serve` in a process of its own."""
    running = []

    def start(*, pace=0.05):
        ports = {name: free_port() for name in simulators()}
        text = "{" + ",".join(f'"{name}":{port}' for name, port in ports.items()) + "}"
        one = subprocess.Popen([sys.executable, "-c", SERVE, text, str(tmp_path), str(pace)])
        running.append(one)
        for port in ports.values():
            wait_for(port)
        return one, ports

    yield start
    for one in running:
        if one.poll() is None:
            one.kill()
        one.wait()


def wait_for(port):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("the simulator does not listen")


def body(number, digits="000", **fields):
    return {
        "reference": f"r{number}",
        "payment": f"pay_{number}",
        "amount": 100,
        "currency": "LSL",
        "method": {"type": "mobile_money", "phone": f"+26658123{digits}"},
        "callback_url": "http://127.0.0.1:9/",
        "return_url": "",
        **fields,
    }


def send(client, number, *args, **fields):
    headers = {"authorization": "Bearer k", "idempotency-key": f"op_{number}"}
    return client.post("/v1/charges", json=body(number, *args, **fields), headers=headers)


async def test_what_was_answered_survives_a_kill(process):
    one, ports = process()
    answered = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['sandbox']}") as client:

        async def keep_sending(start):
            for number in range(start, 10_000, 8):
                response = await send(client, number)
                assert response.status_code == 200
                answered.append(number)

        senders = [asyncio.create_task(keep_sending(start)) for start in range(8)]
        async with asyncio.timeout(20):
            while len(answered) <= 20:
                await asyncio.sleep(0.02)
        one.kill()
        await asyncio.gather(*senders, return_exceptions=True)
    _, ports = process()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['sandbox']}") as client:
        for number in answered:
            ledger = (await client.get("/_simulator/ledger", params={"payment": f"pay_{number}"})).json()
            assert len(ledger["charges"]) == len(ledger["requests"]) == 1
        again = await send(client, answered[0])
        assert again.json()["status"] == "succeeded"
        ledger = (await client.get("/_simulator/ledger", params={"payment": f"pay_{answered[0]}"})).json()
        assert (len(ledger["charges"]), len(ledger["requests"])) == (1, 2)


async def test_what_was_to_come_comes_after_a_kill(process, receiver):
    one, ports = process(pace=0.5)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['sandbox']}") as client:
        assert (await send(client, 1, "001", callback_url=receiver.url)).json()["status"] == "pending"
    one.kill()
    one.wait()
    assert receiver.requests == []
    _, ports = process(pace=0.5)
    await receiver.wait(1)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['sandbox']}") as client:
        assert (await client.get("/v1/charges/r1", headers={"authorization": "Bearer k"})).json()[
            "status"
        ] == "succeeded"


async def test_a_restart_between_a_step_and_its_callback(simulator, operation, follow_up, receiver):
    first = await simulator("sandbox", pace=0.01)
    receiver.status = 503
    charge = operation("sandbox", digits="014", callback_url=receiver.url)
    await first.perform(charge)
    async with asyncio.timeout(5):
        while not isinstance(await first.perform(follow_up("sandbox", Verb.QUERY, charge)), Succeeded):
            await asyncio.sleep(0.01)
    receiver.status = 200
    receiver.requests.clear()
    second = await simulator("sandbox", pace=0.01)
    await receiver.wait(2)
    assert isinstance(await second.perform(follow_up("sandbox", Verb.QUERY, charge)), Succeeded)
    assert len((await second.ledger(payment=charge.payment))["charges"]) == 1


async def test_a_polite_stop(process):
    one, _ = process()
    os.kill(one.pid, signal.SIGTERM)
    assert one.wait(5) == 0


@pytest.mark.parametrize("provider", sorted(simulators()))
async def test_restart_in_place(simulator, operation, follow_up, tmp_path, provider):
    first = await simulator(provider)
    charge = operation(provider, digits="000")
    outcome = await first.perform(charge)
    charge = msgspec.structs.replace(charge, provider_reference=outcome.provider_reference)
    async with asyncio.timeout(5):
        while not isinstance(await first.perform(follow_up(provider, Verb.QUERY, charge)), Succeeded):
            await asyncio.sleep(0.01)
    second = await simulator(provider)
    assert isinstance(await second.perform(follow_up(provider, Verb.QUERY, charge)), Succeeded)
    ledger = await second.ledger(reference=charge.reference)
    assert ledger["charges"] == (await first.ledger(reference=charge.reference))["charges"]
    assert len(ledger["requests"]) >= 3


@pytest.mark.parametrize("provider", sorted(simulators()))
async def test_a_torn_last_line_is_forgotten(simulator, operation, tmp_path, provider):
    first = await simulator(provider)
    charge = operation(provider)
    await first.perform(charge)
    with (tmp_path / f"{provider}.jsonl").open("ab") as ledger:
        ledger.write(b'["charges",{"paym')
    second = await simulator(provider)
    await second.perform(operation(provider))
    third = await simulator(provider)
    assert len((await third.ledger(reference=charge.reference))["requests"]) == 1


@pytest.mark.parametrize("provider", sorted(simulators()))
async def test_the_control_endpoints(simulator, operation, provider):
    sim = await simulator(provider)
    assert (await sim.get("/_simulator/ledger")).status_code == 400
    empty = {"requests": [], "charges": [], "authorizations": [], "refunds": [], "payouts": []}
    assert await sim.ledger(payment="pay_none") == empty
    assert (await sim.post("/_simulator/latency", {"seconds": -1})).status_code == 400
    await sim.post("/_simulator/latency", {"seconds": 0.2})
    started = time.monotonic()
    await sim.perform(operation(provider))
    assert time.monotonic() - started >= 0.2
    await sim.post("/_simulator/latency", {"seconds": 60})
    assert await sim.ledger(payment="pay_none") == empty, "at once: the control endpoints are not delayed"
