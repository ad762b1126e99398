"""`mypay doctor` and `mypay explain` beside a real installation, whole and with its parts away."""

import asyncio
import json
import os
import socket
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from gateway.cli import main
from gateway.settings import Settings
from providers.contract import Secret
from streams.doctor.checks import CHECKS
from streams.doctor.examination import Examination, examine
from streams.doctor.findings import Finding, Report, as_text, report
from tests.support.installation import Installation, installation
from tests.support.parts import Parts


@pytest.fixture(scope="module")
def mypay(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(parts, tmp_path_factory.mktemp("doctor")) as running:
        yield running


def looked(mypay: Installation, deadline_s: float = 30, **changed: Any) -> Report:
    """What the doctor finds with these settings changed; the machine may be busy."""
    settings = msgspec.structs.replace(mypay.settings, **changed)
    return asyncio.run(examine(settings, CHECKS, deadline_s))


def levels(found: Report, area: str) -> list[str]:
    return [each.level for each in found.findings if each.area == area]


def words(found: Report, area: str) -> str:
    return " ".join(f"{each.found} {each.todo}" for each in found.findings if each.area == area)


def execute(mypay: Installation, statement: str, *arguments: Any) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(mypay.settings.database_uri)
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    asyncio.run(run())


def paid(mypay: Installation, phone: str = "+26658123000") -> dict[str, Any]:
    """A payment, as it is after some seconds."""
    body = {"provider": "sandbox", "amount": 15000, "currency": "LSL"}
    body["method"] = {"type": "mobile_money", "phone": phone}  # type: ignore[assignment]
    headers = mypay.headers(uuid.uuid4().hex, Prefer="wait=20", **{"Content-Type": "application/json"})
    request = urllib.request.Request(f"{mypay.base_url}/v1/payments", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.load(answer))


def test_a_sound_installation(mypay: Installation) -> None:
    found = looked(mypay)
    failed = [each for each in found.findings if each.level == "fail"]
    assert failed == []
    assert list(dict.fromkeys(each.area for each in found.findings if each.area != "topics")) == list(CHECKS)
    assert levels(found, "topics") == ["ok"]
    assert levels(found, "callbacks") == ["ok", "ok"]
    assert "ok" in levels(found, "accounts")


def test_every_server_away_is_a_line_each(mypay: Installation) -> None:
    found = looked(
        mypay,
        database_uri=Secret("postgresql://u:canary-password@127.0.0.1:1/gone"),
        kafka_bootstrap_servers="127.0.0.1:1",
        redis_port=1,
    )
    assert found.status == "fail"
    for area in ("database", "broker", "redis"):
        assert levels(found, area) == ["fail"]
        assert "127.0.0.1:1" in words(found, area)
    for area in ("schema", "keys", "accounts", "workers", "callbacks", "webhooks", "people", "clock"):
        assert levels(found, area) == ["warn"]
        assert "Not looked at" in words(found, area)
    assert all(each.todo for each in found.findings if each.level == "fail")
    assert "canary" not in as_text(found)


def test_servers_that_hang_do_not_hold_it_up(mypay: Installation) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        found = looked(
            mypay,
            deadline_s=1,
            database_uri=Secret(f"postgresql://u:p@127.0.0.1:{port}/x"),
            kafka_bootstrap_servers=f"127.0.0.1:{port}",
            redis_port=port,
        )
        assert time.monotonic() - began < 30  # in a second, on a machine that does nothing else
    assert [levels(found, area) for area in ("database", "broker", "redis")] == [["fail"]] * 3


def test_other_keys(mypay: Installation) -> None:
    found = looked(mypay, secret_key=Secret("x" * 43))
    assert levels(found, "keys") == ["fail"]
    assert "SECRET_KEY_PREVIOUS" in words(found, "keys")
    assert "fail" in levels(found, "accounts")


def test_a_public_url_where_somebody_else_answers(mypay: Installation) -> None:
    found = looked(mypay, public_url=mypay.simulators["sandbox"])
    assert levels(found, "callbacks") == ["fail", "fail"]
    found = looked(mypay, public_url="http://127.0.0.1:1")
    assert levels(found, "callbacks") == ["fail", "fail"]


def test_webhook_endpoints(mypay: Installation) -> None:
    merchant = execute_for(mypay, "select merchant_id from accounts limit 1")
    for url, status in (("http://127.0.0.1:1/hook", "enabled"), ("http://127.0.0.1:1/off", "disabled")):
        values = (uuid.uuid4(), merchant, url, status)
        execute(mypay, _ENDPOINT, *values)
    try:
        found = looked(mypay)
    finally:
        execute(mypay, "delete from webhook_endpoints")
    assert levels(found, "webhooks") == ["warn", "warn"]
    assert "cannot be connected to" in words(found, "webhooks")
    assert "is disabled" in words(found, "webhooks")


_ENDPOINT = """
insert into webhook_endpoints (id, merchant_id, livemode, url, events, status, sealed, created_at, updated_at)
values ($1, $2, false, $3, '{*}', $4, '', now(), now())
"""


def execute_for(mypay: Installation, query: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(mypay.settings.database_uri)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


async def test_what_breaks_in_a_check_is_a_line(settings: Settings) -> None:
    async def broken(at: Examination) -> list[Finding]:
        raise KeyError("a bug")

    found = await examine(settings, {"broken": broken})
    assert [(each.area, each.level) for each in found.findings] == [("broken", "fail")]
    assert "a bug" in found.findings[0].found


def test_the_worst_decides() -> None:
    lines = [Finding("a", "ok", "x"), Finding("b", "warn", "x")]
    assert report(lines, 1).status == "warn"
    assert report([*lines, Finding("c", "fail", "x")], 1).status == "fail"
    assert report([], 1).status == "ok"


# --- As commands, and with a worker killed ------------------------------------------------------------------------


@pytest.fixture
def here(mypay: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(mypay.environment))
    return iter(())


def test_without_settings_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    assert main(["doctor", "--json"]) == 1
    assert "SECRET_KEY is not set" in json.loads(capsys.readouterr().out)["findings"][0]["found"]


def test_it_finds_the_settings_of_an_up_in_this_directory(
    mypay: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".mypay").mkdir()
    lines = [f"{name}='{value}'\n" for name, value in mypay.environment.items()]
    (tmp_path / ".mypay/environment").write_text("".join(lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    assert main(["explain", str(paid(mypay)["id"])]) == 0
    assert "succeeded" in capsys.readouterr().out
    monkeypatch.setattr(os, "environ", {"DATABASE_URI": "postgresql://x@127.0.0.1:1/x"})
    assert main(["explain", "pay_01m884qpspf5h9r0g8d3c7bq47"]) == 2  # never half of one and half of another


@pytest.mark.usefixtures("here")
def test_a_payment_is_told_in_words(mypay: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    payment = paid(mypay)
    assert main(["explain", payment["id"]]) == 0
    told = capsys.readouterr().out
    assert f"{payment['id']}  150.00 LSL, test mode" in told
    assert "succeeded: the money has moved" in told
    assert "payment.succeeded" in told
    assert told.rstrip().endswith("Nothing is open.")
    assert told.index("was chosen") < told.index("POST /v1/charges") < told.index("payment.succeeded")
    assert main(["explain", payment["id"], "--json"]) == 0
    assert {each["kind"] for each in json.loads(capsys.readouterr().out)} >= {"route", "operation", "event"}


@pytest.mark.usefixtures("here")
def test_a_refusal_is_told_with_its_reason(mypay: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    payment = paid(mypay, "+26658123002")
    assert main(["explain", payment["id"]]) == 0
    assert f"failure   {payment['failure']['code']}: " in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_no_such_payment_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "pay_01m884qpspf5h9r0g8d3c7bq47"]) == 2
    assert capsys.readouterr().err == "mypay: There is no such payment.\n"


@pytest.mark.usefixtures("here")
def test_a_killed_worker_is_found_and_its_payment_told(mypay: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    mypay.processes["worker-1"].kill()
    execute(mypay, "update relay set lease_until = now()")  # as ten seconds later
    payment = paid_without_worker(mypay)
    try:
        assert main(["doctor"]) == 1
        assert "No worker leads the relay" in capsys.readouterr().out
        assert main(["explain", payment]) == 0
        told = capsys.readouterr().out
        assert "nothing was sent to the provider yet" in told
        assert "waits to be sent." in told
    finally:
        mypay.processes["worker-1"].restart()


def paid_without_worker(mypay: Installation) -> str:
    body = {"provider": "sandbox", "amount": 15000, "currency": "LSL"}
    body["method"] = {"type": "mobile_money", "phone": "+26658123000"}  # type: ignore[assignment]
    headers = mypay.headers(uuid.uuid4().hex, **{"Content-Type": "application/json"})
    request = urllib.request.Request(f"{mypay.base_url}/v1/payments", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["id"])
