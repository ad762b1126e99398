"""Every log line is one JSON object, whatever is in it, and shows no secret."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from gateway import logs
from providers.contract import Secret

PAN = "4111111111111111"


class Lines:
    """What was logged since the start of a test."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def text(self) -> str:
        return self._file.read_text(encoding="utf-8")

    @property
    def one(self) -> dict[str, object]:
        lines = self.text.splitlines()
        assert len(lines) == 1, lines
        loaded: dict[str, object] = json.loads(lines[0])
        return loaded


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure(str(tmp_path / "log"))
    yield Lines(tmp_path / "log")
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_a_line_has_the_usual_members(lines: Lines) -> None:
    structlog.get_logger("mypay.test").info("accepted", payment="pay_1", amount=1500, account=UUID(int=1))
    line = lines.one
    assert line.pop("timestamp").endswith("Z")  # type: ignore[attr-defined]
    assert line == {
        "event": "accepted",
        "payment": "pay_1",
        "amount": 1500,
        "account": str(UUID(int=1)),
        "level": "info",
        "logger": "mypay.test",
    }


def test_stdout_and_the_file_get_the_same(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    # The handler holds the stdout of the moment when it was made.
    logging.getLogger().handlers[0].setStream(__import__("sys").stdout)  # type: ignore[attr-defined]
    structlog.get_logger().warning("slow", seconds=2.5)
    assert capsys.readouterr().out == lines.text != ""


def test_the_standard_library_ends_in_the_same_place(lines: Lines) -> None:
    logging.getLogger("aiokafka").warning("lost %s, %d tries", "broker", 3, extra={"api_key": "canary"})
    assert lines.one["event"] == "lost broker, 3 tries"
    assert lines.one["level"] == "warning"
    assert "canary" not in lines.text


def test_context_is_carried(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        logging.getLogger("x").warning("from the standard library")
    assert lines.one["request_id"] == "req_1"


def test_below_info_is_silent(lines: Lines) -> None:
    structlog.get_logger().debug("detail")
    assert lines.text == ""


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\x85", "\u2028", "\x0b", "\x1c"])
def test_line_ends_in_values_do_not_make_lines(lines: Lines, separator: str) -> None:
    forged = f'x{separator}{{"event":"forged"}}'
    structlog.get_logger().info(forged, **{"value": forged, f"name{separator}": 1, "nested": {forged: [forged]}})
    logging.getLogger("x").warning(forged)
    text = lines.text
    assert len(text.splitlines()) == 2
    assert json.loads(text.splitlines()[0])["value"] == forged


@pytest.mark.parametrize("value", ["\ud800", b"\xff\x00", float("nan"), {1, 2}, object(), {("a", 1): None}])
def test_nothing_unusual_breaks_a_line(lines: Lines, value: object) -> None:
    structlog.get_logger().info("odd", value=value)
    assert lines.one["event"] == "odd"
    assert "NaN" not in lines.text


@pytest.mark.parametrize(
    "name",
    ["secret", "webhook_secret", "SECRET_KEY", "callback_token", "access_token", "password", "Authorization", "otp",
     "api_key", "apikey", "consumer_secret", "initiator_password", "passkey", "set-cookie", "x-signature"],
)  # fmt: skip
def test_values_with_secret_names_are_masked(lines: Lines, name: str) -> None:
    structlog.get_logger().info("x", **{name: "canary"}, nested=[{name: {"deep": "canary"}}])
    assert "canary" not in lines.text
    assert lines.one[name] == "***"


@pytest.mark.parametrize("name", ["not_paid", "footprint", "idempotency_key", "operation"])
def test_other_names_are_shown(lines: Lines, name: str) -> None:
    structlog.get_logger().info("x", **{name: "shown"})
    assert lines.one[name] == "shown"


def test_a_secret_is_masked_under_any_name(lines: Lines) -> None:
    structlog.get_logger().info("x", value=Secret("canary"), values=[Secret("canary")])
    assert "canary" not in lines.text


@pytest.mark.parametrize(
    "secret",
    [
        PAN,
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "6304000000000000",
        "sk_live_" + "aB3" * 12 + "xy",
        "sk_test_" + "aB3" * 12 + "xy",
        "rk_test_abcdef",
        "whsec_" + "aB3+" * 8,
        "whsk_" + "aB3/" * 8,
        "Basic bXlwYXk6Y2FuYXJ5",
        "bearer c2FuZGJveA.canary-token_1",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("around", ["{}", "card={}.", "/v1/x?y={}&z=1", '{{"number":"{}"}}'])
def test_secrets_inside_text_are_masked(lines: Lines, secret: str, around: str) -> None:
    structlog.get_logger().info(
        around.format(secret), value=around.format(secret), nested={"a": [around.format(secret)]}
    )
    logging.getLogger("x").warning("%s", around.format(secret))
    assert secret not in lines.text
    assert "***" in lines.text


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # fails Luhn
        "411111111111",  # too short
        PAN + "0000",  # too long
        "+26658123456",
        "01a21000-8800-7000-8000-000000000000",
        "2026-11-25T00:00:00.000Z",
        "key_01k",
    ],
)
def test_other_numbers_are_shown(lines: Lines, text: str) -> None:
    structlog.get_logger().info("x", value=text)
    assert lines.one["value"] == text


def test_the_callback_token_in_a_path_is_masked(lines: Lines) -> None:
    structlog.get_logger().info("x", path="/callbacks/sandbox/canary-token_1/op_01k?a=1")
    assert lines.one["path"] == "/callbacks/sandbox/***/op_01k?a=1"


def test_the_token_of_a_return_page_is_masked(lines: Lines) -> None:
    structlog.get_logger().info("x", path="/return/canary-token_1?a=1")
    assert lines.one["path"] == "/return/***?a=1"


def test_a_password_in_an_address_is_masked(lines: Lines) -> None:
    structlog.get_logger().info("connecting to postgresql://mypay:canary@db:5432/mypay")
    assert lines.one["event"] == "connecting to postgresql://mypay:***@db:5432/mypay"


def test_exceptions_are_structured_and_show_no_variables(lines: Lines) -> None:
    def fail(otp: str) -> None:
        raise ValueError(f"bad number {PAN}\nsecond line")

    try:
        fail(otp="canary" + "-otp")
    except ValueError:
        structlog.get_logger().exception("failed")
    exception = lines.one["exception"]
    assert exception[0]["exc_type"] == "ValueError"  # type: ignore[index]
    assert exception[0]["exc_value"] == "bad number ***\nsecond line"  # type: ignore[index]
    assert [frame["name"] for frame in exception[0]["frames"]][-1] == "fail"  # type: ignore[index]
    assert "canary-otp" not in lines.text


def test_an_exception_of_the_standard_library_is_structured_too(lines: Lines) -> None:
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("x").exception("failed")
    assert lines.one["exception"][0]["exc_type"] == "KeyError"  # type: ignore[index]
