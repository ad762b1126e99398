"""A process that cannot start says why in one sentence that names the variable, and ends; tests/platform has more."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway import cli
from gateway.seed import seed_demo
from gateway.settings import Settings, load
from tests.support.parts import Parts, fresh_database

COMMANDS = ("api", "worker", "migrate")
NEEDED = ("SECRET_KEY", "JWT_SECRET_KEY", "DATABASE_URI")


@pytest.fixture(scope="module")
def good(parts: Parts) -> Iterator[dict[str, str]]:
    """Settings with which everything would start."""
    with fresh_database(parts) as uri:
        yield {
            "SECRET_KEY": "s" * 43,
            "JWT_SECRET_KEY": "j" * 43,
            "DATABASE_URI": uri,
            "KAFKA_BOOTSTRAP_SERVERS": parts.kafka_bootstrap,
            "MYPAY_ENV": "development",
        }


def complaint(command: str, environment: dict[str, str], directory: Path) -> tuple[int, str]:
    """Exit status and the one line on stderr of a `mypay` that does not start."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    argv = [sys.executable, "-m", "gateway.cli", command]
    done = subprocess.run(
        argv, env=inherited | environment, cwd=directory, capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, sentence_of(done.stderr, environment)


def sentence_of(stderr: str, environment: dict[str, str]) -> str:
    """The only line, which shows no secret."""
    found = re.fullmatch(r"mypay: ([^\n]+\.)\n", stderr)
    assert found is not None, stderr
    assert not [name for name in NEEDED if len(environment.get(name, "")) > 8 and environment[name] in stderr]
    assert "hidden" not in stderr
    return found[1]


Main = Callable[[str, dict[str, str]], tuple[int, str]]


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Main:
    """As `complaint`, without a process of its own: for what is refused before anything is opened."""

    def run(command: str, environment: dict[str, str]) -> tuple[int, str]:
        monkeypatch.chdir(tmp_path)
        for name in Settings.__struct_fields__:
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        status = cli.main([command])
        return status, sentence_of(capsys.readouterr().err, environment)

    return run


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", NEEDED)
def test_what_is_needed_is_named(good: dict[str, str], main: Main, command: str, name: str) -> None:
    status, sentence = main(command, {variable: value for variable, value in good.items() if variable != name})
    assert status == 2
    assert sentence.startswith(f"{name} is not set: write ")


BAD: dict[str, tuple[str, str, str, str]] = {
    "another database": ("migrate", "DATABASE_URI", "mysql://u:hidden@h/d", "does not name a PostgreSQL database: "),
    "a port that is none": ("api", "DATABASE_URI", "postgresql://u:hidden@h:x/d", "is not valid: write "),
    "a password that is not escaped": ("worker", "DATABASE_URI", "postgres://u:hid/den@h:5432/d", "is not valid: "),
    "a weak secret": ("api", "SECRET_KEY", "hidden", "is too short for production: "),
    "an unknown environment": ("worker", "MYPAY_ENV", "staging", "is not valid: write development or production."),
    "no processes": ("api", "API_PROCESSES", "0", "is not valid: "),
    "no address": ("api", "PUBLIC_URL", "pay.example", "is not an http(s) address: "),
    "no broker": ("worker", "KAFKA_BOOTSTRAP_SERVERS", "kafka", "is not valid: "),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_right_is_one_sentence(good: dict[str, str], main: Main, name: str) -> None:
    command, variable, value, beginning = BAD[name]
    status, sentence = main(command, {**good, "MYPAY_ENV": "production", variable: value})
    assert status == 2
    assert sentence.startswith(f"{variable} {beginning}")
    assert "hid" not in sentence


def test_an_env_file_that_cannot_be_read(good: dict[str, str], main: Main, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"SECRET_KEY=\xff\xfe")
    assert main("api", good) == (2, ".env cannot be read: make it a text file in UTF-8 that this user may read.")


WRONG: dict[str, tuple[str, dict[str, str], str]] = {
    "a log without a place": ("worker", {"LOG_FILE": "/nowhere/log"}, "LOG_FILE /nowhere/log cannot be written: "),
    "a database that is away": (
        "api", {"DATABASE_URI": "postgresql://u:hidden-word@127.0.0.1:1/d"},
        "The database 127.0.0.1:1/d (DATABASE_URI) does not answer: ",
    ),
    "several hosts that are away": (
        "worker", {"DATABASE_URI": "postgresql://u:hidden-word@127.0.0.1:1,127.0.0.1:2/d"},
        "The database 127.0.0.1:1,127.0.0.1:2/d (DATABASE_URI) does not answer: ",
    ),
    "an sslmode that is none": (
        "migrate", {"DATABASE_URI": "postgresql://127.0.0.1:1/d?sslmode=maybe"},
        "The database 127.0.0.1:1/d could not be migrated: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_turns_out_to_be_wrong_is_one_sentence(good: dict[str, str], tmp_path: Path, name: str) -> None:
    command, changes, beginning = WRONG[name]
    status, sentence = complaint(command, good | changes, tmp_path)
    assert (status, sentence[: len(beginning)]) == (1, beginning)


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_database_without_tables(good: dict[str, str], parts: Parts, tmp_path: Path, command: str) -> None:
    status, sentence = complaint(command, good | {"DATABASE_URI": parts.postgres_uri}, tmp_path)
    assert (status, sentence) == (1, "The database has no tables yet: run `mypay migrate`.")


@pytest.mark.parametrize("command", ["api", "worker"])
def test_another_secret_key_than_the_one_that_sealed(good: dict[str, str], tmp_path: Path, command: str) -> None:
    seed_demo(load(good, env_file=tmp_path / "none"))
    status, sentence = complaint(command, good | {"SECRET_KEY": "t" * 43}, tmp_path)
    assert status == 1
    assert sentence.startswith("SECRET_KEY is not the one that sealed this database's credentials: ")


def test_a_port_that_is_taken(good: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, sentence = complaint("api", good | {"API_PORT": str(port)}, tmp_path)
    assert (status, sentence) == (
        1,
        f"The API cannot listen on 127.0.0.1, port {port} (API_HOST, API_PORT): Address already in use.",
    )
