"""TLS and logins: what the settings become for PostgreSQL, Kafka and Redis."""

import ssl
from pathlib import Path

import certifi
import pytest
import redis.asyncio
from faststream.kafka.security import parse_security

from gateway import settings
from gateway.settings import Settings, SettingsError
from gateway.store import wakeups
from streams import access
from tests.gateway.test_settings import GOOD

SASL = {"KAFKA_SASL_USERNAME": "mypay", "KAFKA_SASL_PASSWORD": "canary"}


def load(tmp_path: Path, **changes: str) -> Settings:
    return settings.load({**GOOD, **changes}, env_file=tmp_path / ".env")


def test_kafka_without_anything(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert access.tls(loaded) is None
    assert access.access(loaded)["security_protocol"] == "PLAINTEXT"
    assert parse_security(access.security(loaded))["security_protocol"] == "PLAINTEXT"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_kafka_with_a_login(tmp_path: Path, protocol: str, mechanism: str) -> None:
    loaded = load(tmp_path, KAFKA_SECURITY_PROTOCOL=protocol, KAFKA_SASL_MECHANISM=mechanism, **SASL)
    ours, faststream = access.access(loaded), parse_security(access.security(loaded))
    assert {name: ours[name] for name in faststream if name != "ssl_context"} == {
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "mypay",
        "sasl_plain_password": "canary",
    }
    assert (faststream["ssl_context"] is not None) == (ours["ssl_context"] is not None) == (protocol == "SASL_SSL")


def test_kafka_checks_certificates_and_names(tmp_path: Path) -> None:
    context = access.tls(load(tmp_path, KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_CA_FILE=certifi.where()))
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert parse_security(access.security(load(tmp_path, KAFKA_SECURITY_PROTOCOL="SSL")))["security_protocol"] == "SSL"


def test_redis_with_tls_and_a_login(tmp_path: Path) -> None:
    more = {"REDIS_CA_FILE": certifi.where(), "REDIS_USERNAME": "mypay", "REDIS_PASSWORD": "canary"}
    client = wakeups.client(load(tmp_path, REDIS_HOST="cache", REDIS_TLS="true", **more))
    assert client is not None
    pool = client.connection_pool
    assert pool.connection_class is redis.asyncio.SSLConnection
    connection = pool.make_connection()
    assert (connection.username, connection.password) == ("mypay", "canary")
    context = connection.ssl_context
    assert (context.check_hostname, context.cert_reqs) == (True, ssl.CERT_REQUIRED)
    plain = wakeups.client(load(tmp_path, REDIS_HOST="cache"))
    assert plain is not None
    assert plain.connection_pool.connection_class is redis.asyncio.Connection


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL is not valid: write PLAINTEXT, "),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD too"),
        ({"KAFKA_CA_FILE": "/dev/null"}, "KAFKA_CA_FILE is not valid: write the path of a PEM file"),
        ({"REDIS_CA_FILE": "canary"}, "REDIS_CA_FILE is not valid: write the path of a PEM file"),
        ({"REDIS_TLS": "perhaps"}, "REDIS_TLS is not valid: write true or false"),
    ],
)
def test_a_bad_value_is_one_sentence(tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as raised:
        load(tmp_path, **changes)
    assert "canary" not in str(raised.value)
