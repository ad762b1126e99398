"""How Kafka is reached: the brokers to ask first, TLS and the login, for aiokafka and for FastStream."""

import ssl
from typing import Any, Final

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from gateway.settings import Settings

_SASL: Final = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}


def servers(settings: Settings) -> list[str]:
    """The brokers to ask first, as "host:port"."""
    return [server.strip() for server in settings.kafka_bootstrap_servers.split(",")]


def tls(settings: Settings) -> ssl.SSLContext | None:
    """Checks the brokers' certificates and names, against KAFKA_CA_FILE or the system's authorities; None: no TLS."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    return ssl.create_default_context(cafile=settings.kafka_ca_file)


def access(settings: Settings) -> dict[str, Any]:
    """The arguments of every aiokafka client that say where and how to connect."""
    return {
        "bootstrap_servers": servers(settings),
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": tls(settings),
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": settings.kafka_sasl_password,
    }


def security(settings: Settings) -> BaseSecurity:
    """The same for FastStream."""
    context = tls(settings)
    if not settings.kafka_security_protocol.startswith("SASL"):
        return BaseSecurity(ssl_context=context, use_ssl=context is not None)
    assert settings.kafka_sasl_username is not None
    assert settings.kafka_sasl_password is not None
    return _SASL[settings.kafka_sasl_mechanism](
        username=settings.kafka_sasl_username,
        password=settings.kafka_sasl_password,
        ssl_context=context,
        use_ssl=context is not None,
    )
