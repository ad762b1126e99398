"""Request-Id, traceparent, Server-Timing, readiness, metrics, and who is asking."""

import re
import threading
from collections.abc import Callable

import pytest

from gateway import keys
from tests.http.wire import Answer, Wire

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("path", ["/v1/context", "/nothing", "/v1/fail/bug", "/health/live", "/metrics"])
def test_every_answer_names_its_request(wire: Wire, path: str) -> None:
    first, second = (wire.ask("GET", path).headers for _ in range(2))
    assert re.fullmatch(r"req_[0-9a-z]{26}", first["request-id"])
    assert first["request-id"] != second["request-id"]
    assert re.fullmatch(r"app;dur=[\d.]+, db;dur=[\d.]+, queue;dur=[\d.]+", first["server-timing"])


@pytest.mark.parametrize("mine", ["a", "A_z-9", "x" * 64])
def test_a_harmless_id_of_the_clients_is_kept(wire: Wire, mine: str) -> None:
    answer = wire.ask("GET", "/v1/context", headers=[("Request-Id", mine)])
    assert answer.headers["request-id"] == answer.json["request_id"] == mine


@pytest.mark.parametrize("mine", ["", "x" * 65, "a b", "a\tb", "<b>", b"\xff", "a;b"])
def test_any_other_is_replaced(wire: Wire, mine: str | bytes) -> None:
    assert wire.ask("GET", "/v1/context", headers=[("Request-Id", mine)]).headers["request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (TRACEPARENT, TRACEPARENT),
        (TRACEPARENT.upper(), None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("ff" + TRACEPARENT[2:], None),
        (TRACEPARENT + "-more", None),
        ("x", None),
    ],
)
def test_traceparent(wire: Wire, sent: str, kept: str | None) -> None:
    assert wire.ask("GET", "/v1/context", headers=[("traceparent", sent)]).json["traceparent"] == kept


def test_the_parts_of_the_time_are_told(wire: Wire) -> None:
    assert wire.ask("GET", "/v1/context").headers["server-timing"].endswith(" db;dur=12.5, queue;dur=250.0")
    assert wire.ask("GET", "/health/live").headers["server-timing"].endswith(" db;dur=0.0, queue;dur=0.0")


def test_requests_at_the_same_time_keep_apart(wire: Wire) -> None:
    wrong: list[Answer] = []

    def ask(worker: int) -> None:
        for number in range(20):
            mine = f"w{worker}-{number}"
            answer = wire.ask("GET", "/v1/context", headers=[("Request-Id", mine)])
            if answer.json["request_id"] != mine or answer.headers["request-id"] != mine:
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- Who is asking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key", "X-API_Key", "x-api_key"])
def test_a_key_in_each_header(wire: Wire, api_key: str, name: str) -> None:
    value = f"Bearer {api_key}" if name == "Authorization" else api_key
    answer = wire.ask("GET", "/v1/whoami", headers=[(name, value)])
    assert (answer.status, answer.json["livemode"]) == (200, False)


@pytest.mark.parametrize(
    "make",
    [
        lambda key: [],
        lambda key: [("Authorization", key)],
        lambda key: [("Authorization", "Bearer")],
        lambda key: [("Authorization", "Bearer ")],
        lambda key: [("Authorization", f"Basic {key}")],
        lambda key: [("Authorization", f"Bearer {key}x")],
        lambda key: [("Authorization", f"Bearer {key[:-1]}")],
        lambda key: [("Authorization", f"Bearer {key.lower()}")],
        lambda key: [("Authorization", f"Bearer {key.swapcase()}")],
        lambda key: [("Authorization", f"Bearer {keys.make(False)}")],
        lambda key: [("Authorization", f"Bearer {keys.make(True)}")],
        lambda key: [("Authorization", b"Bearer \xff\x80")],
        lambda key: [("Authorization", f"Bearer {key}"), ("X-API-Key", key)],
        lambda key: [("X-API-Key", key), ("X-API-Key", key)],
        lambda key: [("X-API-Key", key), ("X-API_Key", key)],
    ],
)
def test_what_is_no_credential(wire: Wire, api_key: str, make: Callable[[str], list[tuple[str, str]]]) -> None:
    answer = wire.ask("GET", "/v1/whoami", headers=make(api_key))
    assert (answer.status, answer.code, answer.headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
    assert api_key.encode() not in answer.body


def test_a_key_in_the_query_is_none(wire: Wire, api_key: str) -> None:
    assert wire.ask("GET", f"/v1/whoami?api_key={api_key}").status == 401


def test_the_scheme_has_no_case(wire: Wire, api_key: str) -> None:
    assert wire.ask("GET", "/v1/whoami", headers=[("authorization", f"bearer  {api_key}")]).status == 200


# --- Health and metrics -----------------------------------------------------------------------------------------------


def test_liveness(wire: Wire) -> None:
    assert wire.ask("GET", "/health/live").json == {"status": "ok"}


def test_a_part_that_is_not_required_degrades(wire: Wire) -> None:
    answer = wire.ask("GET", "/health/ready")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["checks"] == {"postgres": "ok", "redis": "degraded"}


def test_without_a_required_part_there_is_no_work(start: Callable[..., Wire]) -> None:
    answer = start(TEST_POSTGRES="away").ask("GET", "/health/ready")
    assert (answer.status, answer.json["status"]) == (503, "unavailable")
    assert answer.json["checks"] == {"postgres": "unavailable", "redis": "degraded"}


@pytest.mark.parametrize("headers", [[], [("Authorization", "Bearer scrap")], [("Authorization", b"Bearer \xff")]])
def test_metrics_need_their_token(wire: Wire, headers: list[tuple[str, str]]) -> None:
    answer = wire.ask("GET", "/metrics", headers=headers)
    assert (answer.status, answer.code) == (401, "unauthorized")


def test_metrics_are_shown_although_the_database_is_away(wire: Wire) -> None:
    answer = wire.ask("GET", "/metrics", headers=[("Authorization", "Bearer scrape")])
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for name in (
        "mypay_payments_total",
        "mypay_callbacks_total",
        "mypay_dead_letters_total",
        "mypay_accept_seconds",
    ):
        assert f"# HELP {name} " in answer.body.decode()
    assert "mypay_reviews_open" not in answer.body.decode(), "what was not read is not shown, least of all as 0"
    assert "_created" not in answer.body.decode()
