"""What every provider must satisfy, whichever it is."""

import asyncio
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

import providers
from providers import references
from providers.contract import ActionRequired, Credentials, Declined, Redirect, Secret, Succeeded, Verb
from providers.money import CURRENCIES
from providers.phones import COUNTRIES
from providers.redaction import secrets_of
from providers.registry import PROVIDERS
from providers.simulators import simulators
from providers.transport import drive

FOLDER = Path(providers.__file__).parent
NAMES = sorted(PROVIDERS)
FILES = ["__init__.py", "callbacks.py", "operations.py", "simulator.py", "spec.py", "wire.py"]
ENDS = {Succeeded, Declined}


def each_verb():
    return [pytest.param(name, verb, id=f"{name}-{verb}") for name in NAMES for verb in PROVIDERS[name].verbs]


@pytest.fixture
def for_verb(operation, follow_up):
    """An operation of a verb, with what it refers to."""

    def make(name, verb):
        method = {} if "mobile_money" in PROVIDERS[name].methods else {"redirect": True}
        charge = operation(name, **method)
        if verb in (Verb.CHARGE, Verb.AUTHORIZE, Verb.PAYOUT):
            return msgspec.structs.replace(charge, verb=verb)
        return follow_up(name, verb, charge, otp=Secret("123456"))

    return make


@pytest.mark.parametrize("name", NAMES)
def test_layout_and_size(name):
    folder = FOLDER / name
    assert set(FILES) <= {path.name for path in folder.glob("*.py")}
    adapter = [path for path in folder.glob("*.py") if path.name in FILES and path.name != "simulator.py"]
    assert sum(len(path.read_text().splitlines()) for path in adapter) <= 350
    assert name in simulators()


@pytest.mark.parametrize("name", NAMES)
def test_simulator_and_adapter_share_no_code(name):
    source = (FOLDER / name / "simulator.py").read_text()
    for module in ("operations", "wire", "spec", "callbacks"):
        assert f"providers.{name}.{module}" not in source
        assert f"import {module}" not in source
    assert "providers.signing" not in source


@pytest.mark.parametrize("name", NAMES)
def test_tables(name):
    spec = PROVIDERS[name]
    assert spec.name == name
    assert spec.countries
    assert spec.countries <= COUNTRIES
    assert spec.currencies
    assert spec.currencies <= CURRENCIES
    assert set(spec.limits) == spec.currencies
    assert all(1 <= limit.min <= limit.max for limit in spec.limits.values())
    assert spec.methods <= {"mobile_money", "card", "redirect"}
    assert spec.whole_units <= spec.currencies
    assert set(spec.statuses.values()) >= ENDS
    assert Verb.QUERY in spec.verbs or all(v.uncertainty.lookup == "unsupported" for v in spec.verbs.values())
    assert spec.queries.delays_s == tuple(sorted(spec.queries.delays_s))


@pytest.mark.parametrize("name", NAMES)
def test_references_are_long_enough(name):
    form = PROVIDERS[name].reference
    assert len(form.alphabet) ** form.length >= 2**48 * 256
    assert len(set(form.alphabet)) == len(form.alphabet)
    assert len(references.make(form, UUID(int=1))) == form.length


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_not_shown(name, settings):
    account = settings(name)

    async def login():
        return await drive(PROVIDERS[name].authenticate(account), None)

    credentials = asyncio.run(login())
    assert isinstance(credentials, Credentials)
    for secret in secrets_of(account):
        assert secret not in repr(account) + repr(credentials)


@pytest.mark.parametrize(("name", "verb"), each_verb())
def test_the_same_operation_twice_is_the_same_bytes(name, verb, for_verb, settings):
    op, other = for_verb(name, verb), for_verb(name, verb)
    flow = PROVIDERS[name].verbs[verb].flow
    first, again, different = (next(flow(one, settings(name))) for one in (op, msgspec.structs.replace(op), other))
    assert first == again
    assert first != different
    known = op.target or op
    assert known.reference.encode() in msgspec.json.encode(first) + first.content
    if PROVIDERS[name].verbs[verb].uncertainty.idempotency == "key" and verb is not Verb.QUERY:
        assert op.id in first.headers.values()


GARBAGE = [b"", b"null", b"[]", b"7", b'"text"', b"{}", b"<html>", b"\xff\xfe", b'{"a":', b"[" * 50_000]


@pytest.mark.parametrize("content", GARBAGE, ids=lambda content: repr(content[:8]))
@pytest.mark.parametrize(("name", "verb"), each_verb())
def test_garbage_is_never_an_end(name, verb, content, for_verb, settings, answered):
    """A body that cannot be read raises (the transport makes it Unknown) or proves nothing."""
    try:
        outcome = answered(name, for_verb(name, verb), settings(name), 200, content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    assert type(outcome) not in ENDS | {ActionRequired}


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("name", NAMES)
def test_an_error_of_a_query_says_nothing_about_the_charge(name, status, for_verb, settings, answered):
    outcome = answered(name, for_verb(name, Verb.QUERY), settings(name), status, b'{"error": "x", "message": "x"}')
    assert type(outcome) not in ENDS


@pytest.mark.parametrize("status", [408, 409, 424, 500, 502, 503, 504])
@pytest.mark.parametrize("name", NAMES)
def test_an_error_of_the_server_is_never_a_decline(name, status, for_verb, settings, answered):
    outcome = answered(name, for_verb(name, Verb.CHARGE), settings(name), status, b"<html>")
    assert type(outcome) not in ENDS


def test_redirects_exist():
    assert any("redirect" in spec.methods for spec in PROVIDERS.values())
    assert Redirect() == Redirect()
