"""Dockerfile and compose file: valid by the specification's schema, and every command in them is one of ours.

No engine builds or runs them here. What they run is run by hand (docs/guides/deploy.md).
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway import cli
from gateway import settings as settings_module
from gateway.settings import Settings
from providers.simulators import simulators
from streams.app import ROLES
from tests.support.parts import CHECKOUT

SCHEMA = json.loads((Path(__file__).parent / "schemas/compose-spec.json").read_text(encoding="utf-8"))
FILES = sorted(CHECKOUT.glob("docker-compose*.yml"))
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
WORKERS = set(ROLES)
# As the first README of the former service printed it.
OLD_ENV = """
SECRET_KEY=your-secret-key
JWT_SECRET_KEY=your-jwt-secret
DATABASE_URI=your-database-url
REDIS_HOST=redis
REDIS_PORT=6379
"""


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")))


def ours() -> dict[str, dict[str, Any]]:
    return {name: each for name, each in compose()["services"].items() if "build" in each}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_is_valid_by_the_specification(file: Path) -> None:
    jsonschema.Draft201909Validator(SCHEMA).validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    assert len(FILES) == 2


def test_every_command_is_one_of_ours() -> None:
    commands = {name: [str(word) for word in each["command"]] for name, each in ours().items()}
    for words in commands.values():
        cli._parser().parse_args(words)
    roles = {name: words[2] for name, words in commands.items() if words[:2] == ["worker", "--roles"]}
    assert roles == {role: role for role in WORKERS}
    played = {word.partition("=")[0] for word in commands["simulators"] if "=" in word}
    assert played == set(simulators())


def test_every_variable_is_a_setting() -> None:
    known = {name.upper() for name in Settings.__struct_fields__}
    for each in ours().values():
        assert set(each["environment"]) - known <= {"WORKER_PORT"}


def test_processes_can_write_nothing_but_tmp_and_are_not_root() -> None:
    for name, each in ours().items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"]
    for stage in ("runtime", "development"):
        users = re.findall(r"^USER (.+)$", DOCKERFILE.split(f" AS {stage}\n")[1].split("\nFROM ")[0], re.MULTILINE)
        assert users == ["10001:10001"]


def test_any_number_of_a_role_can_run() -> None:
    for name, each in ours().items():
        assert "container_name" not in each
        assert ("ports" in each) == (name == "app")


def test_what_others_wait_for_has_a_health_check() -> None:
    services = compose()["services"]
    waited = {
        (name, other)
        for name, each in services.items()
        for other, how in each.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited
    for _, other in waited:
        assert "healthcheck" in services[other]


def test_health_checks_are_python_that_parses() -> None:
    for each in ours().values():
        if "healthcheck" in each:
            interpreter, option, program = each["healthcheck"]["test"][1:]
            assert (interpreter, option) == ("python", "-c")
            compile(program, "healthcheck", "exec")


def test_the_image_runs_our_command() -> None:
    runtime = DOCKERFILE.split(" AS runtime\n")[1].split("\nFROM ")[0]
    assert 'ENTRYPOINT ["mypay"]' in runtime
    [command] = re.findall(r"^CMD (.+)$", runtime, re.MULTILINE)
    cli._parser().parse_args(json.loads(command))


def test_what_the_dockerfile_copies_is_there() -> None:
    copied = [
        words for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE) for words in line.split()[:-1]
    ]
    assert {"gateway", "requirements.lock"} <= set(copied)
    assert [name for name in copied if not (CHECKOUT / name).exists()] == []


def interpolated(value: str, variables: dict[str, str]) -> str:
    """Compose's ${NAME}, ${NAME:-default} and ${NAME:?error}; a default may hold another."""
    pattern = re.compile(r"\$\{(\w+)(?:(:-|:\?)((?:[^{}$]|\$\{[^{}]*\})*))?\}")
    while found := pattern.search(value):
        name, kind, text = found.groups()
        if kind == ":?":
            assert variables.get(name), text
        value = value[: found.start()] + (variables.get(name) or text or "") + value[found.end() :]
    return value


def environment(variables: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in compose()["services"]["app"]["environment"].items():
        yield name, interpolated(str(value), variables)


def test_an_env_file_of_the_former_service_starts_it(tmp_path: Path) -> None:
    variables = dict(line.split("=", 1) for line in OLD_ENV.split())
    loaded = settings_module.load(dict(environment(variables)), env_file=tmp_path / ".env")
    assert loaded.secret_key == "your-secret-key"
    assert loaded.database_uri == "postgresql://mypay:mypay@postgres:5432/mypay"
    assert (loaded.redis_host, loaded.redis_port) == ("redis", 6379)
    assert loaded.mypay_env == "development"


def test_a_scheme_that_names_the_driver_is_accepted(tmp_path: Path) -> None:
    variables = {"SECRET_KEY": "s", "JWT_SECRET_KEY": "j"}
    variables["CONTAINER_DATABASE_URI"] = "postgresql+asyncpg://u:p@db.example:5432/x"
    loaded = settings_module.load(dict(environment(variables)), env_file=tmp_path / ".env")
    assert loaded.database_uri == "postgresql://u:p@db.example:5432/x"


def test_without_keys_compose_says_what_to_write() -> None:
    with pytest.raises(AssertionError, match="write SECRET_KEY into \\.env"):
        dict(environment({}))


def test_the_commands_of_the_kubernetes_example_are_ours() -> None:
    text = (CHECKOUT / "examples/kubernetes/mypay.yaml").read_text(encoding="utf-8")
    kinds = [each for each in yaml.safe_load_all(text) if each["kind"] in ("Job", "Deployment")]
    commands = [[str(word) for word in each["spec"]["template"]["spec"]["containers"][0]["args"]] for each in kinds]
    for words in commands:
        cli._parser().parse_args(words)
    assert {words[2] for words in commands if words[0] == "worker"} == WORKERS
    [told] = [each["data"] for each in yaml.safe_load_all(text) if each["kind"] == "ConfigMap"]
    assert set(told) - {name.upper() for name in Settings.__struct_fields__} <= {"WORKER_PORT"}
