"""Every problem with the settings is one sentence that names the variable and says what to write."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gateway import settings
from gateway.settings import Settings, SettingsError

STRONG = base64.b64encode(os.urandom(32)).decode()
GOOD = {
    "SECRET_KEY": STRONG,
    "JWT_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
    "DATABASE_URI": "postgresql://mypay:canary-password@localhost:5432/mypay",
}


def load(tmp_path: Path, **changes: str) -> Settings:
    return settings.load({**GOOD, **changes}, env_file=tmp_path / ".env")


def test_three_variables_are_enough(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.mypay_env == "production"
    assert loaded.public_url == "http://localhost:5000"
    assert loaded.redis_host is None
    assert loaded.database_uri == GOOD["DATABASE_URI"]


def test_values_are_typed(tmp_path: Path) -> None:
    loaded = load(tmp_path, REDIS_HOST="cache", REDIS_PORT="6380", ALLOW_PRIVATE_TARGETS="true", PACE="0.1")
    assert (loaded.redis_host, loaded.redis_port, loaded.allow_private_targets, loaded.pace) == (
        "cache",
        6380,
        True,
        0.1,
    )


@pytest.mark.parametrize("variable", ["SECRET_KEY", "JWT_SECRET_KEY", "DATABASE_URI"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_variable_is_named(tmp_path: Path, variable: str, empty: bool) -> None:
    environ = {**GOOD, variable: ""} if empty else {name: GOOD[name] for name in GOOD if name != variable}
    with pytest.raises(SettingsError, match=rf"^{variable} is not set: write .+\.$"):
        settings.load(environ, env_file=tmp_path / ".env")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_PORT", "abc"),
        ("REDIS_PORT", "0"),
        ("REDIS_PORT", "70000"),
        ("API_PORT", "http"),
        ("API_PROCESSES", "0"),
        ("KAFKA_PARTITIONS", "1000"),
        ("KAFKA_REPLICATION", "0"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092,"),
        ("KAFKA_PREFIX", "a topic"),
        ("MYPAY_ENV", "canary-staging"),
        ("ALLOW_PRIVATE_TARGETS", "perhaps"),
        ("ACCEPT_QUEUE", "-1"),
        ("WORKER_PORT", "70000"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("PACE", "0"),
        ("PACE", "nan"),
        ("PUBLIC_URL", "pay.example.com"),
        ("PUBLIC_URL", "ftp://pay.example.com"),
        ("SIMULATOR_URLS", "http://127.0.0.1:5101"),
        ("SIMULATOR_URLS", "sandbox"),
        ("DATABASE_URI", "mysql://u:canary@h/d"),
        ("DATABASE_URI", "canary"),
    ],
)
def test_a_bad_value_is_one_sentence_without_the_value(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, **{variable: value})
    sentence = str(raised.value)
    assert sentence.startswith(f"{variable} ")
    assert ": write " in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "canary" not in sentence


def test_there_is_advice_for_every_variable_that_can_be_wrong() -> None:
    info = msgspec.inspect.type_info(Settings)
    assert isinstance(info, msgspec.inspect.StructType)
    free = (msgspec.inspect.StrType(), msgspec.inspect.UnionType, msgspec.inspect.CustomType)
    for field in info.fields:
        if field.type != free[0] and not isinstance(field.type, free[1:]):
            assert field.name in settings._WHAT_TO_WRITE


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2", "postgresql+psycopg", "postgres+x"],
)
def test_any_postgres_scheme_is_taken(tmp_path: Path, scheme: str) -> None:
    assert load(tmp_path, DATABASE_URI=f"{scheme}://u:p@h:1/d?sslmode=require").database_uri == (
        "postgresql://u:p@h:1/d?sslmode=require"
    )


WEAK = ["x", "secret", "a" * 31, "ab" * 31, base64.b64encode(bytes(range(31))).decode()]
ENOUGH = [
    "!" * 32,
    "ab" * 32,
    base64.b64encode(bytes(range(32))).decode(),
    base64.urlsafe_b64encode(b"\xff" * 32).decode(),
]


@pytest.mark.parametrize("variable", ["SECRET_KEY", "JWT_SECRET_KEY"])
@pytest.mark.parametrize("secret", WEAK)
def test_a_weak_secret_is_refused_in_production(tmp_path: Path, variable: str, secret: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable} is too short for production: write .*openssl"):
        load(tmp_path, **{variable: secret})


@pytest.mark.parametrize("secret", WEAK)
def test_a_weak_secret_is_stretched_and_named_in_development(tmp_path: Path, secret: str) -> None:
    loaded = load(tmp_path, MYPAY_ENV="development", SECRET_KEY=secret, JWT_SECRET_KEY=secret)
    assert settings.weak_secrets(loaded) == ["SECRET_KEY", "JWT_SECRET_KEY"]
    assert len(loaded.key("seal")) == len(loaded.jwt_key) == 32
    assert loaded.key("seal") != loaded.key("other") != loaded.jwt_key


@pytest.mark.parametrize("secret", ENOUGH)
def test_a_strong_secret_is_taken_in_production(tmp_path: Path, secret: str) -> None:
    assert settings.weak_secrets(load(tmp_path, SECRET_KEY=secret, JWT_SECRET_KEY=secret)) == []


def test_derived_keys_follow_their_secret(tmp_path: Path) -> None:
    one, same, other = load(tmp_path), load(tmp_path), load(tmp_path, SECRET_KEY=base64.b64encode(b"o" * 32).decode())
    assert one.key("seal") == same.key("seal") != other.key("seal")
    assert one.jwt_key == other.jwt_key


def test_no_secret_is_shown(tmp_path: Path) -> None:
    shown = repr(load(tmp_path, METRICS_TOKEN="canary-token"))
    assert "canary" not in shown
    assert STRONG not in shown


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    lines = [
        "# first users' file",
        f"export SECRET_KEY={GOOD['SECRET_KEY']}",
        f'JWT_SECRET_KEY="{GOOD["JWT_SECRET_KEY"]}"',
        "DATABASE_URI='postgres://u:p#1@file/d' # quoted",
        "REDIS_HOST=cache   # the shared one",
        "REDIS_PORT=7000",
        "",
        "not a setting",
    ]
    file = tmp_path / ".env"
    file.write_text("\n".join(lines))
    loaded = settings.load({"REDIS_PORT": "7001", "UNRELATED": "x"}, env_file=file)
    assert loaded.secret_key == GOOD["SECRET_KEY"]
    assert loaded.jwt_secret_key == GOOD["JWT_SECRET_KEY"]
    assert loaded.database_uri == "postgresql://u:p#1@file/d"
    assert (loaded.redis_host, loaded.redis_port) == ("cache", 7001)


def test_simulators_are_found_by_name(tmp_path: Path) -> None:
    loaded = load(tmp_path, SIMULATOR_URLS="sandbox=http://127.0.0.1:5101, cpay=http://127.0.0.1:5102")
    assert loaded.simulators == {"sandbox": "http://127.0.0.1:5101", "cpay": "http://127.0.0.1:5102"}
    assert load(tmp_path).simulators == {}


NO_IMPORT_READS = """
import importlib, os, pkgutil
from gateway.settings import Settings

read = []
ours = {name.upper() for name in Settings.__struct_fields__}

class Spy(type(os.environ)):
    def __getitem__(self, key):
        read.append(key)
        return super().__getitem__(key)

os.environ.__class__ = Spy
assert os.getenv("SECRET_KEY") is None and read.pop() == "SECRET_KEY"
for package in ("providers", "gateway", "streams"):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if module.name.endswith("__main__"):
            continue
        importlib.import_module(module.name)
assert not ours & set(read), ours & set(read)
"""


def test_no_import_reads_our_variables() -> None:
    subprocess.run([sys.executable, "-c", NO_IMPORT_READS], check=True, timeout=60, env={"PATH": os.environ["PATH"]})
