"""What `make audit` makes of pip-audit's answer."""

import json

import pytest

from tests import audit


def answer(*vulns: str) -> str:
    found = [{"id": each, "fix_versions": ["2.0"]} for each in vulns]
    known = {"name": "a", "version": "1.0", "vulns": found}
    return json.dumps({"dependencies": [known, {"name": "b", "skip_reason": "Dependency not found"}], "fixes": []})


def test_a_finding_fails_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.judged(answer("PYSEC-1"), 2) == 1
    assert capsys.readouterr().out == (
        "a 1.0: PYSEC-1, fixed in 2.0\n1 known vulnerabilities in 1 packages; 1 could not be asked about.\n"
    )


def test_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.judged(answer(), 2) == 0
    assert audit.judged("the network is away", 2) == 0
    assert "Nothing was audited" in capsys.readouterr().out
