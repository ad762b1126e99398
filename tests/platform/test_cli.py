"""The command line: what a person can put right is one sentence, and the processes it starts serve."""

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.request import Request, urlopen

import pytest

from gateway import settings as settings_module
from gateway.cli import COMMANDS, UsageError, _chosen, _simulator_ports, main
from gateway.processes import end_all_leftovers, free_port
from gateway.settings import Settings
from gateway.supervisor import running
from tests.support.installation import installation
from tests.support.parts import CACHE, CHECKOUT, Parts

GOOD = {
    "SECRET_KEY": "s" * 43,
    "JWT_SECRET_KEY": "j" * 43,
    "DATABASE_URI": "postgresql://nobody:secret-word@127.0.0.1:1/mypay",
    "MYPAY_ENV": "development",
}


class Here(Protocol):
    """Runs a command in this process, with this environment alone; returns status, stdout and stderr."""

    def __call__(self, *arguments: str, **environment: str) -> tuple[int, str, str]: ...


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(os, "environ", environment)
        capsys.readouterr()
        return main(arguments), *capsys.readouterr()

    return run


def mypay(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command as a process."""
    argv = [sys.executable, "-m", "gateway.cli", *arguments]
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=150)


@pytest.mark.parametrize(
    ("command", "environment", "sentence"),
    [
        (("api",), {}, r"SECRET_KEY is not set: .*"),
        (("worker",), {**GOOD, "REDIS_PORT": "six"}, r"REDIS_PORT is not valid: .*"),
        (("migrate",), {**GOOD, "DATABASE_URI": "mysql://x"}, r"DATABASE_URI does not name a PostgreSQL database: .*"),
        (("worker", "--roles", "executor,cook"), GOOD, r"Unknown role cook: there are executor, .*"),
        (("worker", "--providers", "paypal"), GOOD, r"Unknown provider paypal: there are .*sandbox.*"),
        (("simulator", "paypal"), {}, r"Unknown simulator paypal: there are .*sandbox.*"),
        (("simulator", "sandbox=x"), {}, r"A simulator's port is a number, as in sandbox=5101\."),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_a_person_can_put_right_is_one_sentence(
    command: tuple[str, ...], environment: dict[str, str], sentence: str, here: Here
) -> None:
    status, out, error = here(*command, **environment)
    assert re.fullmatch(rf"mypay: {sentence}\n", error), error
    assert (status, out) == (2, "")


def test_an_unreachable_database_is_one_sentence_without_the_password(here: Here) -> None:
    status, _, error = here("migrate", **GOOD)
    assert status == 1
    assert re.fullmatch(r"mypay: The database 127\.0\.0\.1:1/mypay could not be migrated: [^\n]+\n", error)
    assert "secret-word" not in error


def test_migrate_says_where_the_database_is(here: Here, database_uri: str) -> None:
    _, out, error = here("migrate", **{**GOOD, "DATABASE_URI": database_uri})
    assert re.fullmatch(r"The database 127\.0\.0\.1:\d+/test_\w+ is at revision \d+\.\n", out), error
    wrong = re.sub(r"/test_\w+$", "/missing", database_uri)
    status, _, error = here("migrate", **{**GOOD, "DATABASE_URI": wrong})
    assert (status, error.endswith('could not be migrated: database "missing" does not exist.\n')) == (1, True)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown and command.help in shown for name, command in COMMANDS.items())


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"litestar", "sqlalchemy", "aiokafka", "asyncpg", "httpx"}
    code = f"import sys, gateway.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_down_where_nothing_runs(here: Here) -> None:
    assert here("down") == (0, "MyPay does not run in .mypay.\n", "")


def test_simulators_get_a_port_each() -> None:
    known = ("cpay", "sandbox")
    assert _simulator_ports(["all"], 5101, known) == {"cpay": 5101, "sandbox": 5102}
    assert _simulator_ports(["sandbox=7000", "cpay"], 5101, known) == {"sandbox": 7000, "cpay": 5102}


def test_a_choice_of_nothing_is_no_choice() -> None:
    with pytest.raises(UsageError, match="Unknown role of no name: there are a, b"):
        _chosen("role", " , ", ("a", "b"))


def test_the_example_settings_are_complete_and_load(tmp_path: Path) -> None:
    example = (CHECKOUT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    assert named == {name.upper() for name in Settings.__struct_fields__}
    filled = tmp_path / ".env"
    filled.write_text(re.sub(r"^(\w*SECRET_KEY)=$", rf"\1={'x' * 43}", example, flags=re.M))
    loaded = settings_module.load({}, env_file=filled)
    defaults = dict(re.findall(r"^#([A-Z_]+)=(.+)$", example, re.M))
    for name, value in defaults.items():
        assert str(getattr(loaded, name.lower())).lower() == value.lower()


def test_a_payment_passes_through_every_process(parts: Parts, tmp_path: Path) -> None:
    with installation(parts, tmp_path) as own:
        body = {
            "provider": "sandbox",
            "amount": 15000,
            "currency": "LSL",
            "method": {"type": "mobile_money", "phone": "+26658123000"},
        }
        headers = own.headers(uuid.uuid4().hex, Prefer="wait=15", **{"Content-Type": "application/json"})
        request = Request(f"{own.base_url}/v1/payments", json.dumps(body).encode(), headers)
        with urlopen(request, timeout=20) as answer:
            payment = json.load(answer)
        assert payment["status"] == "succeeded"
        with urlopen(f"{own.simulators['sandbox']}/_simulator/ledger?payment={payment['id']}") as answer:
            assert len(json.load(answer)["charges"]) == 1
        own.processes["api"].restart()
        own.wait_ready()
        request = Request(f"{own.base_url}/v1/payments/{payment['id']}", headers=headers)
        with urlopen(request, timeout=5) as answer:
            assert json.load(answer)["id"] == payment["id"]


@pytest.fixture
def up_directory(tmp_path: Path) -> Iterator[Path]:
    """Where `up` may run, with Kafka's jars already there; whatever still runs in it is ended."""
    directory = tmp_path / "mypay"
    directory.mkdir()
    (directory / "cache").symlink_to(CACHE)
    yield directory
    mypay("down", "--directory", str(directory), cwd=tmp_path)


def test_up_shows_a_way_to_begin_and_down_ends_it(up_directory: Path) -> None:
    port, where = str(free_port()), ("--directory", str(up_directory))
    first = mypay("up", "--detach", *where, "--port", port, cwd=up_directory)
    assert first.returncode == 0, first.stdout
    demo = json.loads((up_directory / "demo.json").read_text())
    assert {"api_key", "merchant", "base_url", "docs_url", "email", "password", "accounts", "simulators"} <= demo.keys()
    assert demo["api_key"] in first.stdout
    private = ("secret", "demo.json", "ports.json", "postgres/password")
    assert all((up_directory / name).stat().st_mode & 0o777 == 0o600 for name in private)

    second = mypay("up", "--detach", *where, "--port", port, cwd=up_directory)
    assert second.returncode == 1
    assert second.stdout.startswith(f"mypay: MyPay already runs in {up_directory} (process ")
    curl = first.stdout[first.stdout.index("curl -s") :].replace("wait=5", "wait=15")
    paid = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True)
    assert json.loads(paid.stdout)["status"] == "succeeded"

    assert mypay("down", *where, cwd=up_directory).stdout == f"MyPay in {up_directory} has stopped.\n"
    again = mypay("up", "--detach", *where, "--port", port, cwd=up_directory)
    assert json.loads((up_directory / "demo.json").read_text()) == demo, again.stdout
    owner = running(up_directory)
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    mypay("down", *where, cwd=up_directory)
    assert end_all_leftovers(up_directory) == 0
    assert mypay("down", *where, cwd=up_directory).stdout == f"MyPay does not run in {up_directory}.\n"
