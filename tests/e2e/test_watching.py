"""A payment as those see it who watch: one trace through every process, metrics of the worker, ids in every log."""

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.shop import Shop, phone, shop, within
from tests.support.collector import Collector, Seen, collector
from tests.support.installation import Installation, installation
from tests.support.parts import Parts
from tests.support.receiver import receiver

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def mypay(parts: Parts, traces: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    how = {"api_processes": 2, "pace": 0.2, "environment": environment}
    with installation(parts, tmp_path_factory.mktemp("watching"), **how) as running:
        yield running


def a_trace() -> tuple[str, str]:
    """A traceparent as a merchant sends it, and its trace."""
    trace = uuid.uuid4().hex
    return f"00-{trace}-00f067aa0ba902b7-01", trace


async def pay(merchant: Shop, number: str, traceparent: str, request_id: str) -> dict[str, Any]:
    headers = merchant.mypay.headers(traceparent=traceparent, **{"Request-Id": request_id})
    body = {"amount": 15000, "currency": "LSL", "provider": "sandbox", "method": phone(number)}
    answer = await merchant.client.post("/v1/payments", headers=headers, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def until(traces: Collector, trace: str, holds: Callable[[dict[str, Seen]], bool]) -> dict[str, Seen]:
    async def found() -> bool:
        return holds(traces.of(trace))

    await within(found)
    return traces.of(trace)


STATUSES = ("created", "processing", "succeeded")
SPANS = {
    "POST /v1/payments",
    "charge sandbox",
    "POST sandbox",
    "callback sandbox",
    *(
        f"{what} payment.{status}"
        for what in ("publish", "webhook")
        for status in ("created", "processing", "succeeded")
    ),
}


async def test_one_trace_from_the_request_to_the_webhook(mypay: Installation, traces: Collector) -> None:
    traceparent, trace = a_trace()
    async with shop(mypay) as merchant, receiver() as server:
        hook = {"url": server.url, "events": ["payment.*"]}
        made = await merchant.client.post("/v1/webhook_endpoints", headers=mypay.headers(), json=hook)
        assert made.is_success, made.text
        payment = await pay(merchant, "001", traceparent, "watched-1")
        await merchant.final(payment["id"])
        spans = await until(traces, trace, lambda seen: seen.keys() >= SPANS)
        told = {each.headers["traceparent"].split("-")[1] for each in server.got}

    def parent(name: str) -> str:
        return next((each.name for each in spans.values() if each.id == spans[name].parent), spans[name].parent)

    assert parent("POST /v1/payments") == "00f067aa0ba902b7", "the merchant's own span"
    assert parent("charge sandbox") == "POST /v1/payments"
    assert parent("POST sandbox") == "charge sandbox"
    assert parent("callback sandbox") == "POST /v1/payments"
    assert parent("webhook payment.succeeded") == parent("publish payment.succeeded")
    assert parent("publish payment.succeeded") in ("callback sandbox", "query sandbox"), "whichever was first"
    assert told == {trace}, "the merchant can join its own trace"

    [request_trace] = spans["callback sandbox"].links
    route = "POST /callbacks/{provider}/{token}"
    assert any(name.startswith(route) for name in traces.of(request_trace)), "the callback's own request is linked"
    assert spans["charge sandbox"].attributes["mypay.payment"] == payment["id"]
    assert spans["charge sandbox"].attributes["mypay.outcome"] == "pending"
    assert not any(each.failed for each in spans.values())


async def test_a_provider_that_fails_is_a_failed_span(mypay: Installation, traces: Collector) -> None:
    traceparent, trace = a_trace()
    async with shop(mypay) as merchant:
        payment = await pay(merchant, "008", traceparent, "watched-2")  # charges, then resets the connection
        await merchant.final(payment["id"])
        spans = await until(traces, trace, lambda seen: {"query sandbox", "publish payment.succeeded"} <= seen.keys())
    assert spans["POST sandbox"].failed
    assert spans["charge sandbox"].attributes["mypay.outcome"] == "unknown"
    assert spans["query sandbox"].attributes["mypay.outcome"] == "succeeded"


async def test_no_span_shows_what_is_private(mypay: Installation, traces: Collector) -> None:
    """All that was exported in this module."""
    async with shop(mypay) as merchant:
        payment = await merchant.pay(phone("002"), prefer="wait=20")
        assert payment["status"] == "failed"
        rows = await merchant.pool.fetch("select callback_token from accounts")
    shown = json.dumps([[each.name, each.attributes] for each in traces.spans])
    secrets = [mypay.api_key, "58123", "/callbacks/sandbox", *(row["callback_token"] for row in rows)]
    assert [secret for secret in secrets if secret in shown] == []
    keys = {key for each in traces.spans for key in each.attributes}
    assert all(key.startswith(("mypay.", "http.", "messaging.")) for key in keys), keys


async def test_the_worker_tells_how_it_is(mypay: Installation) -> None:
    [url] = mypay.worker_urls.values()
    async with shop(mypay) as merchant, httpx.AsyncClient(base_url=url) as worker:
        payment = await merchant.pay(phone("001"))
        await merchant.final(payment["id"])
        assert (await worker.get("/health/live")).json() == {"status": "ok", "stuck": []}
        ready = await worker.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]) == (200, {"postgres": "ok", "kafka": "ok"})

        async def told() -> bool:
            text = (await worker.get("/metrics")).text
            return 'mypay_consumer_lag{group="executor",topic="payments.commands.sandbox"} 0.0' in text

        await within(told)
        numbers = read(await worker.get("/metrics"))
        of_api = read(await merchant.client.get("/metrics"))
        made = await merchant.pool.fetchval("select count(*) from payments")
    assert numbers['mypay_operations_total{outcome="pending",provider="sandbox",verb="charge"}'] >= 1
    assert numbers['mypay_outcomes_total{provider="sandbox",source="callback"}'] >= 1
    assert numbers['mypay_callback_lag_seconds_count{provider="sandbox"}'] >= 1
    assert numbers['mypay_provider_seconds_count{provider="sandbox",verb="charge"}'] >= 1
    assert numbers['mypay_payments_total{provider="sandbox",status="succeeded"}'] >= 1
    assert numbers["mypay_relay_led"] == of_api["mypay_relay_led"] == 1
    assert numbers["mypay_partitions_ahead_days"] == 14
    assert of_api["mypay_accept_seconds_count"] == made, "whichever of the two processes answers"
    assert not any("pid=" in name for name in of_api)
    assert of_api['mypay_request_seconds_count{method="POST",route="/v1/payments",status="2xx"}'] >= 1


def read(answer: httpx.Response) -> dict[str, float]:
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_every_log_line_says_what_it_is_about(mypay: Installation) -> None:
    async with shop(mypay) as merchant, receiver() as server:
        hook = {"url": server.url, "events": ["payment.succeeded"]}
        await merchant.client.post("/v1/webhook_endpoints", headers=mypay.headers(), json=hook)
        payment = await pay(merchant, "001", a_trace()[0], "watched-3")
        await merchant.final(payment["id"])

        def lines(name: str) -> list[dict[str, Any]]:
            every = (json.loads(line) for line in mypay.processes[name].log.splitlines() if line.startswith("{"))
            return [line for line in every if line.get("request_id") == "watched-3"]

        async def logged() -> bool:
            await asyncio.sleep(0)
            return any(line["event"] == "operation.performed" for line in lines("worker-1"))

        await within(logged)
    [performed] = [line for line in lines("worker-1") if line["event"] == "operation.performed"]
    assert performed["payment"] == payment["id"]
    assert re.fullmatch(r"op_\w{26}", performed["operation"])
    assert re.fullmatch(r"mer_\w{26}", performed["merchant"])
    [request] = [line for line in lines("api") if line["event"] == "request"]
    assert (request["merchant"], request["payment"]) == (performed["merchant"], payment["id"])
