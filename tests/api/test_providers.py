"""The catalogue says what the specs declare, and no secret."""

from typing import Any

import msgspec
import pytest

from providers.contract import Secret
from providers.registry import PROVIDERS
from tests.api.tenants import Tenant, code, pointers

NAMES = sorted(PROVIDERS)


def test_the_list_is_one_page_of_every_provider(tenant: Tenant) -> None:
    answer = tenant.test.get("/v1/providers")
    body = answer.json()
    assert (body["object"], body["has_more"], body["next"]) == ("list", False, None)
    assert [each["name"] for each in body["data"]] == NAMES
    assert body["data"] == [tenant.live.get(f"/v1/providers/{name}").json() for name in NAMES]


def test_an_entry_is_what_the_spec_declares(tenant: Tenant) -> None:
    entry: dict[str, Any] = tenant.test.get("/v1/providers/cpay").json()
    schema = entry.pop("settings_schema")
    assert entry == {
        "object": "provider",
        "name": "cpay",
        "title": "C-Pay",
        "countries": ["LS"],
        "currencies": ["LSL"],
        "limits": {"LSL": {"min": 1, "max": 10**15}},
        "methods": ["mobile_money"],
        "verbs": [str(verb) for verb in PROVIDERS["cpay"].verbs],
        "callback": "unsigned",
        "uncertainty": {
            str(verb): {
                "idempotency": each.uncertainty.idempotency,
                "lookup": each.uncertainty.lookup,
                "window_s": each.uncertainty.window_s,
                "absence_after_s": each.uncertainty.absence_after_s,
            }
            for verb, each in PROVIDERS["cpay"].verbs.items()
        },
    }
    assert set(schema["required"]) == {"base_url", "api_key", "client_code", "hmac_secret", "merchant_code"}
    assert tenant.test.get("/v1/providers/sandbox").json()["callback"] == "signed"


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_that_of_the_settings(tenant: Tenant, name: str) -> None:
    schema = tenant.test.get(f"/v1/providers/{name}").json()["settings_schema"]
    fields = {field.name: field for field in msgspec.structs.fields(PROVIDERS[name].settings)}
    assert set(schema["properties"]) == set(fields)
    assert schema["additionalProperties"] is False
    assert set(schema.get("required", ())) == {name for name, field in fields.items() if field.required}
    for field_name, field in fields.items():
        if isinstance(field.default, Secret) or field.type is Secret:
            assert schema["properties"][field_name] == {"type": "string", "format": "password", "writeOnly": True}


@pytest.mark.parametrize("name", NAMES)
def test_what_identifies_money_is_a_setting(name: str) -> None:
    spec = PROVIDERS[name]
    assert spec.identity <= set(spec.settings.__struct_fields__)
    assert "base_url" not in spec.settings.__struct_fields__ or "base_url" in spec.identity


def test_what_is_not_there(tenant: Tenant) -> None:
    assert code(tenant.test.get("/v1/providers/nowhere"), 404) == "not_found"
    assert pointers(tenant.test.get("/v1/providers?limit=1")) == ["/limit"]
    assert code(tenant.test.get("/v1/providers", headers={"Authorization": "Bearer x"}), 401) == "unauthorized"
