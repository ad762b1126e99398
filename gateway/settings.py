"""Configuration: environment variables or `.env`, read once into frozen Structs.

`load()` is the only reader of the environment; nothing reads it at import. Every problem is one sentence that names
the variable and says what to write there.
"""

import base64
import binascii
import functools
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, Struct

from gateway import addresses
from gateway.addresses import Network
from providers.contract import Secret

SECRET_BYTES = 32
REQUIRED: Final = ("secret_key", "jwt_secret_key", "database_uri")


class SettingsError(Exception):
    """A setting is missing or bad; the message is one sentence for the person who starts the process."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that a process of MyPay is told from outside. Field names in capitals are the variables' names."""

    secret_key: Secret
    secret_key_previous: Secret | None = None  # while SECRET_KEY is being replaced: the other one of the two
    jwt_secret_key: Secret
    database_uri: Secret  # contains the password
    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    redis_host: str | None = None
    redis_port: Annotated[int, Meta(ge=1, le=65535)] = 6379
    redis_tls: bool = False
    redis_ca_file: str | None = None  # None: the system's authorities, here and below
    redis_username: str | None = None
    redis_password: Secret | None = None
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: str | None = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: Secret | None = None
    public_url: str = "http://localhost:5000"
    mypay_env: Literal["development", "production"] = "production"
    allow_private_targets: bool = False
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Meta(ge=1, le=65535)] = 5000
    api_processes: Annotated[int, Meta(ge=1, le=64)] = 1
    kafka_partitions: Annotated[int, Meta(ge=1, le=256)] = 16
    kafka_replication: Annotated[int, Meta(ge=1, le=7)] = 1
    # Put before every topic and consumer group: several installations on one broker.
    kafka_prefix: Annotated[str, Meta(pattern=r"^[\w.-]{0,100}$")] = ""
    simulator_urls: str = ""  # "sandbox=http://127.0.0.1:5101,cpay=…": where the installation's own simulators listen
    trusted_proxies: str = ""  # CIDRs separated by commas: whose X-Forwarded-For is believed
    rate_limit_per_key: Annotated[int, Meta(ge=0)] = 100  # requests a second of a key or a person; 0: no limit
    rate_limit_per_ip: Annotated[int, Meta(ge=0)] = 1000  # and of an address, whatever its credentials; 0: no limit
    card_declines_most: Annotated[int, Meta(ge=0)] = 100  # of an account in the window; then 429; 0: no limit
    card_declines_window_s: Annotated[int, Meta(ge=1, le=86_400)] = 600
    worker_host: str = "127.0.0.1"
    worker_port: Annotated[int, Meta(ge=0, le=65535)] = 0  # where a worker tells how it is; 0: nowhere
    otel_exporter_otlp_endpoint: str = ""  # the collector of traces, OTLP over HTTP; empty: no traces
    otel_service_name: str = "mypay"
    events_days: Annotated[int, Meta(ge=30, le=3650)] = 30  # events, with their deliveries and attempts
    callbacks_days: Annotated[int, Meta(ge=30, le=3650)] = 90
    exchanges_days: Annotated[int, Meta(ge=7, le=3650)] = 30
    audit_days: Annotated[int, Meta(ge=90, le=36_500)] = 397  # 13 months
    dead_letters_days: Annotated[int, Meta(ge=30, le=3650)] = 90
    idempotency_days: Annotated[int, Meta(ge=31, le=3650)] = 31
    log_file: str | None = None
    metrics_token: Secret | None = None
    accept_queue: Annotated[int, Meta(ge=1)] = 4096  # requests that may wait for the flusher before 503
    pace: Annotated[float, Meta(gt=0, le=10)] = 1.0  # multiplies the providers' declared durations; below 1 in tests

    @property
    def private_targets(self) -> bool:
        """Whether what is in test mode may be sent to any address: only in development, and only where asked for."""
        return self.mypay_env == "development" and self.allow_private_targets

    @property
    def simulators(self) -> dict[str, str]:
        """Base URL of each simulator of this installation, by provider name."""
        pairs = (entry.split("=", 1) for entry in self.simulator_urls.split(",") if "=" in entry)
        return {name.strip(): url.strip() for name, url in pairs}

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of TRUSTED_PROXIES."""
        return addresses.networks([text for text in self.trusted_proxies.split(",") if text.strip()])

    def key(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose, derived from SECRET_KEY (HKDF-SHA256, RFC 5869)."""
        return _stretch(self.secret_key, purpose)

    def keys(self, purpose: str) -> tuple[bytes, ...]:
        """The keys of `key` that still count: the current one, then that of SECRET_KEY_PREVIOUS where it is set."""
        known = [self.secret_key] if self.secret_key_previous is None else [self.secret_key, self.secret_key_previous]
        return tuple(_stretch(secret, purpose) for secret in known)

    @property
    def jwt_key(self) -> bytes:
        """The 32-byte key that signs tokens, derived from JWT_SECRET_KEY: a short secret is stretched."""
        return _stretch(self.jwt_secret_key, "jwt")


def load(environ: Mapping[str, str] | None = None, *, env_file: Path = Path(".env")) -> Settings:
    """Read the settings; variables win over the file.

    Raises `SettingsError` with one sentence that names the variable and what to write there.
    """
    values = {**_read_env_file(env_file), **(os.environ if environ is None else environ)}
    fields = {name: values[name.upper()] for name in Settings.__struct_fields__ if values.get(name.upper())}
    for name in REQUIRED:
        if name not in fields:
            raise SettingsError(f"{name.upper()} is not set: {_WHAT_TO_WRITE[name]}.")
    fields["database_uri"] = _postgres_uri(fields["database_uri"])
    try:
        settings = msgspec.convert(fields, Settings, strict=False, dec_hook=decode_secret)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(str(error))) from None
    return _checked(settings)


def beside_up(directory: Path = Path(".mypay")) -> Settings:
    """As `load`; where nothing was set at all, the settings of the `mypay up` in this directory.

    All or nothing: what is set for one installation is never completed by what is left of another.
    """
    left = directory / "environment"
    told = any(os.environ.get(name.upper()) for name in REQUIRED) or Path(".env").is_file()
    return load() if told else load(env_file=left)


def decode_secret(kind: type, value: object) -> object:
    """msgspec's `dec_hook` for Structs that hold a `Secret`."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"Expected `str`, got `{type(value).__name__}`")


@functools.cache
def _stretch(secret: str, purpose: str) -> bytes:
    return HKDF(SHA256(), SECRET_BYTES, salt=None, info=f"mypay/{purpose}".encode()).derive(secret.encode())


_WHAT_TO_WRITE = {
    "secret_key": "write at least 32 random bytes as text, for example the output of `openssl rand -base64 32`",
    "secret_key_previous": "write the SECRET_KEY that was used before, or leave it out",
    "jwt_secret_key": "write at least 32 random bytes as text, for example the output of `openssl rand -base64 32`",
    "database_uri": "write the database's address, such as postgresql://user:password@localhost:5432/mypay",
    "kafka_bootstrap_servers": "write host:port, several separated by commas",
    "redis_port": "write a port, 1 to 65535",
    "redis_tls": "write true or false",
    "redis_ca_file": "write the path of a PEM file that this user may read",
    "kafka_security_protocol": "write PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    "kafka_ca_file": "write the path of a PEM file that this user may read",
    "kafka_sasl_mechanism": "write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    "public_url": "write the address under which clients and providers reach the API, such as https://pay.example.com",
    "mypay_env": "write development or production",
    "allow_private_targets": "write true or false",
    "api_port": "write a port, 1 to 65535",
    "api_processes": "write a number of processes, 1 to 64",
    "kafka_partitions": "write a number of partitions, 1 to 256",
    "kafka_replication": "write a number of copies, 1 to 7",
    "kafka_prefix": "write letters, digits, dots, dashes and underscores only",
    "simulator_urls": "write name=address pairs separated by commas, such as sandbox=http://127.0.0.1:5101",
    "trusted_proxies": "write addresses or ranges separated by commas, such as 10.0.0.0/8,192.168.1.7",
    "rate_limit_per_key": "write a number of requests a second, or 0 for no limit",
    "rate_limit_per_ip": "write a number of requests a second, or 0 for no limit",
    "card_declines_most": "write a number of declines, or 0 for no limit",
    "card_declines_window_s": "write a number of seconds, 1 to 86400",
    "worker_port": "write a port, 1 to 65535, or 0 for none",
    "otel_exporter_otlp_endpoint": "write the collector's address, such as http://localhost:4318, or leave it out",
    "accept_queue": "write a number of requests, at least 1",
    "events_days": "write a number of days, at least 30",
    "callbacks_days": "write a number of days, at least 30",
    "exchanges_days": "write a number of days, at least 7",
    "audit_days": "write a number of days, at least 90",
    "dead_letters_days": "write a number of days, at least 30",
    "idempotency_days": "write a number of days, at least 31",
    "pace": "write a factor above 0 and at most 10, such as 0.1",
}


def _read_env_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: make it a text file in UTF-8 that this user may read.") from error
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.removeprefix("export ").split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): _unquoted(value.strip()) for name, value in pairs}


def _unquoted(value: str) -> str:
    """The value of a `.env` line: what stands between quotes, else everything before a ` #` comment."""
    quoted = re.match(r"""(["'])(.*?)\1""", value)
    return quoted[2] if quoted else re.split(r"\s#", value, maxsplit=1)[0].strip()


def _postgres_uri(uri: str) -> str:
    """Any Postgres scheme is accepted (postgres://, postgresql+psycopg2://, …); asyncpg wants the plain one."""
    rewritten = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", uri)
    if not rewritten.startswith("postgresql://"):
        raise SettingsError(f"DATABASE_URI does not name a PostgreSQL database: {_WHAT_TO_WRITE['database_uri']}.")
    if not all(_HOST.fullmatch(host) for host in _hosts(rewritten).split(",")):
        escapes = "with %XX for special characters in user and password"
        raise SettingsError(f"DATABASE_URI is not valid: {_WHAT_TO_WRITE['database_uri']}, {escapes}.")
    return rewritten


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(:\d{1,5})?")


def _hosts(uri: str) -> str:
    """`host:port`, several separated by commas, or "" for the local socket."""
    return uri.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]


def place(database_uri: str) -> str:
    """Where a database is, for messages: hosts and name, without user and password."""
    name = database_uri.partition("://")[2].partition("/")[2].partition("?")[0]
    return f"{_hosts(database_uri) or 'on this machine'}/{name}"


def _sentence(message: str) -> str:
    """One sentence from a msgspec error such as 'Expected `int`, got `str` - at `$.redis_port`'.

    msgspec's own words are left out: they may quote the value, which can be a secret in the wrong variable.
    """
    name = message.rpartition("`$.")[2].rstrip("`")
    return f"{name.upper()} is not valid: {_WHAT_TO_WRITE[name]}."


def _checked(settings: Settings) -> Settings:
    _check_url("PUBLIC_URL", settings.public_url)
    if settings.otel_exporter_otlp_endpoint:
        _check_url("OTEL_EXPORTER_OTLP_ENDPOINT", settings.otel_exporter_otlp_endpoint)
    if not all(re.fullmatch(r"[^\s:,]+:\d{1,5}", one) for one in settings.kafka_bootstrap_servers.split(",")):
        raise SettingsError(f"KAFKA_BOOTSTRAP_SERVERS is not valid: {_WHAT_TO_WRITE['kafka_bootstrap_servers']}.")
    if not all(re.fullmatch(r"\s*\w+=https?://\S+|\s*", one) for one in settings.simulator_urls.split(",")):
        raise SettingsError(f"SIMULATOR_URLS is not valid: {_WHAT_TO_WRITE['simulator_urls']}.")
    try:
        settings.proxies  # noqa: B018 - only whether it can be read
    except ValueError:
        raise SettingsError(f"TRUSTED_PROXIES is not valid: {_WHAT_TO_WRITE['trusted_proxies']}.") from None
    _check_access(settings)
    if settings.secret_key_previous == settings.secret_key:
        raise SettingsError(f"SECRET_KEY_PREVIOUS is SECRET_KEY itself: {_WHAT_TO_WRITE['secret_key_previous']}.")
    if settings.mypay_env == "production" and (weak := weak_secrets(settings)):
        raise SettingsError(f"{weak[0]} is too short for production: {_WHAT_TO_WRITE[weak[0].lower()]}.")
    return settings


def _check_access(settings: Settings) -> None:
    for name in ("redis_ca_file", "kafka_ca_file"):
        path = getattr(settings, name)
        if path is not None and not _is_bundle(path):
            raise SettingsError(f"{name.upper()} is not valid: {_WHAT_TO_WRITE[name]}.")
    login = (settings.kafka_sasl_username, settings.kafka_sasl_password)
    if settings.kafka_security_protocol.startswith("SASL") and None in login:
        wanted = "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
        raise SettingsError(f"KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}: set {wanted} too.")


def _is_bundle(path: str) -> bool:
    """Whether the file holds certificates."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError:  # ssl.SSLError included
        return False
    return True


def _check_url(variable: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{variable} is not an http(s) address: {_WHAT_TO_WRITE[variable.lower()]}.")


def _strength(secret: str) -> int:
    """How many bytes a secret stands for: those of its base64 or hex decoding, else of its text."""
    if re.fullmatch(r"[0-9a-fA-F]+", secret):
        return len(secret) // 2
    try:
        return len(base64.b64decode(secret, validate=True))
    except (binascii.Error, ValueError):
        return len(secret.encode())


def weak_secrets(settings: Settings) -> list[str]:
    """The names of the secrets that only a development installation accepts (they are stretched by HKDF)."""
    names = ("secret_key", "jwt_secret_key")
    return [name.upper() for name in names if _strength(getattr(settings, name)) < SECRET_BYTES]
