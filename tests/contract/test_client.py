"""A client that openapi-python-client makes of the document pays, captures and refunds: generators can read it."""

import importlib
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.support.installation import Installation

PACKAGE = "mypay_made_client"


@pytest.fixture(scope="module")
def made(mypay: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory with the generated package, on the import path."""
    place = tmp_path_factory.mktemp("client")
    (place / "openapi.json").write_bytes(httpx.get(f"{mypay.base_url}/openapi.json").content)
    (place / "config.yml").write_text("post_hooks: []\n")
    command = [Path(sys.executable).with_name("openapi-python-client"), "generate", "--meta", "none"]
    options = ["--path", "openapi.json", "--output-path", PACKAGE, "--config", "config.yml", "--fail-on-warning"]
    found = subprocess.run([*command, *options], cwd=place, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    sys.path.insert(0, str(place))
    yield place / PACKAGE
    sys.path.remove(str(place))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def module(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_every_operation_is_in_it(mypay: Installation, made: Path) -> None:
    api = httpx.get(f"{mypay.base_url}/openapi.json").json()
    wanted = sum(len(methods) for methods in api["paths"].values())
    assert len([each for each in (made / "api").glob("*/*.py") if each.name != "__init__.py"]) == wanted


def test_it_pays_captures_and_refunds(mypay: Installation, made: Path) -> None:
    models: Any = module("models")
    client = module("client").AuthenticatedClient(base_url=mypay.base_url, token=mypay.api_key, timeout=40)

    def call(name: str, *parameters: Any, **members: Any) -> Any:
        answer = module(f"api.{name}").sync_detailed(
            *parameters, client=client, idempotency_key=uuid.uuid4().hex, prefer="wait=30", **members
        )
        assert not isinstance(answer.parsed, models.Problem | None), answer.content
        return answer.parsed

    wallet = models.MobileMoneyInput(type_=models.MobileMoneyInputType("mobile_money"), phone="+26658123000")
    body = models.CreatePayment(
        amount=15000, currency="LSL", method=wallet, capture=models.CreatePaymentCapture("manual"), provider="sandbox"
    )
    payment = call("payments.create_payment", body=body)
    assert (payment.object_, payment.status, payment.amount_captured) == ("payment", "authorized", 0)
    captured = call("payments.capture_payment", payment.id, body=models.CapturePayment(amount=10000))
    assert (captured.status, captured.amount_captured, captured.operation.state) == ("succeeded", 10000, "succeeded")
    refund = call("refunds.create_refund", body=models.CreateRefund(payment=payment.id, amount=4000))
    assert (refund.payment, refund.status, refund.amount) == (payment.id, "succeeded", 4000)
    shown = module("api.payments.get_payment").sync(payment.id, client=client)
    assert (shown.amount_captured, shown.amount_refunded) == (10000, 4000)
    listed = module("api.refunds.list_refunds").sync(client=client, payment=payment.id)
    assert [each.id for each in listed.data] == [refund.id]


def test_a_refusal_is_read_too(mypay: Installation, made: Path) -> None:
    models: Any = module("models")
    client = module("client").AuthenticatedClient(base_url=mypay.base_url, token=mypay.api_key)
    problem = module("api.payments.get_payment").sync("pay_x", client=client)
    assert isinstance(problem, models.Problem)
    assert (problem.status, problem.code) == (404, "not_found")
