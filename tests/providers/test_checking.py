"""What a check asks, and what the answers say about an account's credentials."""

import pytest
from msgspec.structs import replace

from providers.checking import check_flow, finding
from providers.contract import (
    Absent,
    Ambiguous,
    Credentials,
    Declined,
    HttpRequest,
    HttpResponse,
    LoginRefused,
    NotSent,
    Succeeded,
    Throttled,
    Unknown,
)
from providers.declines import DeclineCode
from providers.registry import PROVIDERS
from providers.transport import drive

pytestmark = pytest.mark.anyio


async def asked(spec, settings, *answers):
    """The outcome of a check whose requests get these answers, and the requests."""
    requests, left = [], list(answers)

    async def send(request):
        requests.append(request)
        return left.pop(0)

    return await drive(check_flow(spec, settings, "http://127.0.0.1:9/callbacks/x"), send), requests


def logging_in(settings):
    """A login with one request, whose answer decides."""
    response = yield HttpRequest(method="POST", path="/login", authenticated=False)
    if response.status == 401:
        raise LoginRefused("E01")
    return Credentials(headers={})


async def test_without_a_check_of_its_own_a_provider_is_logged_in_to(settings):
    spec = replace(PROVIDERS["sandbox"], check=None, authenticate=logging_in)
    outcome, requests = await asked(spec, settings("sandbox"), HttpResponse(status=200))
    assert (type(outcome), [each.path for each in requests]) == (Succeeded, ["/login"])
    outcome, _ = await asked(spec, settings("sandbox"), HttpResponse(status=401))
    assert (outcome.code, outcome.provider_code) == (DeclineCode.CONFIGURATION, "E01")


async def test_a_provider_that_is_asked_nothing_proves_nothing(settings):
    outcome, requests = await asked(replace(PROVIDERS["sandbox"], check=None), settings("sandbox"))
    assert requests == []
    assert finding(outcome, sent=False).result == "unknown"


@pytest.mark.parametrize("name", ["sandbox", "cpay"])
async def test_no_money_moves(settings, name):
    _, requests = await asked(PROVIDERS[name], settings(name), HttpResponse(status=200, content=b"{}"))
    assert {each.method for each in requests} == {"GET"}


@pytest.mark.parametrize(
    ("status", "result"), [(401, "refused"), (403, "refused"), (200, "unknown"), (404, "unknown"), (500, "unknown")]
)
async def test_cpay_shows_only_what_it_refuses(settings, status, result):
    outcome, [request] = await asked(PROVIDERS["cpay"], settings("cpay"), HttpResponse(status=status, content=b"<p>"))
    assert request.method == "GET"
    assert finding(outcome, sent=True).result == result


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Succeeded(), ("works", None, None)),
        (Absent(), ("works", None, None)),
        (Declined(code=DeclineCode.CONFIGURATION, provider_code="E1", provider_message="no"), ("refused", "E1", "no")),
        (NotSent(detail="ConnectError"), ("unknown", None, "ConnectError")),
        (Unknown(detail="no outcome within 10 s"), ("unknown", None, "no outcome within 10 s")),
        (Ambiguous(detail="HTTP 500"), ("unknown", None, "HTTP 500")),
        (Throttled(), ("unknown", None, "Throttled")),
    ],
)
def test_what_an_outcome_says(outcome, expected):
    assert finding(outcome, sent=True) == expected
