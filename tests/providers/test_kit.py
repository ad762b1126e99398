"""`mypay provider` as a command, in a copy of the packages: what `new` makes is found, tried and proven."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gateway import cli
from providers.conformance.scaffold import TEMPLATE

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def mypay(tmp_path_factory):
    """Runs the command in a copy, with a provider that is new."""
    copy = tmp_path_factory.mktemp("copy")
    for package in ("gateway", "providers", "streams"):
        shutil.copytree(CHECKOUT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*arguments):
        command = [sys.executable, "-m", "gateway.cli", "provider", *arguments]
        environ = {**os.environ, "PYTHONPATH": str(copy)}
        return subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, timeout=120, check=False)

    run.folder = copy / "providers"
    made = run("new", "acme_pay", "--title", "Acme Pay")
    assert made.returncode == 0, made.stderr
    return run


def test_a_new_provider_passes_the_suite_and_nothing_else_was_touched(mypay):
    checked = mypay("check", "acme_pay", "--json")
    report = msgspec.json.decode(checked.stdout)
    assert [proof for proof in report["proofs"] if proof["refuted"]] == []
    assert (checked.returncode, report["passed"], report["title"]) == (0, True, "Acme Pay")
    assert len([proof for proof in report["proofs"] if proof["checks"]]) >= 10
    made = {path.name for path in (mypay.folder / "acme_pay").glob("*.py")}
    assert made == {path.name for path in TEMPLATE.glob("*.py")}
    ours = {path.relative_to(CHECKOUT / "providers") for path in (CHECKOUT / "providers").rglob("*.py")}
    theirs = {path.relative_to(mypay.folder) for path in mypay.folder.rglob("*.py")}
    assert {path.parts[0] for path in theirs - ours} == {"acme_pay"}
    assert all((mypay.folder / path).read_bytes() == (CHECKOUT / "providers" / path).read_bytes() for path in ours)


def test_a_provider_that_is_wrong_fails(mypay):
    wire = mypay.folder / "acme_pay" / "wire.py"
    good = wire.read_text()
    unknown = "return Pending(provider_reference=said.id, provider_code=said.status)"
    assert unknown in good
    wire.write_text(good.replace(unknown, "return spec.STATUSES['PAID'](provider_reference=said.id)"))
    checked = mypay("check", "acme_pay")
    wire.write_text(good)
    assert checked.returncode == 1
    assert "no  a word nobody knows settles nothing" in checked.stdout


def test_it_is_tried_at_its_simulator(mypay):
    tried = mypay("try", "acme_pay", "charge", "--wait", "20")
    assert tried.returncode == 0, tried.stderr
    assert "> POST /payments" in tried.stdout
    assert "= Succeeded(" in tried.stdout
    assert "acme-key" not in tried.stdout


def test_an_address_where_nobody_listens_is_not_sent(capsys):
    members = ("client_code=CC", "merchant_code=MM", "api_key=k-secret", "hmac_secret=h-secret")
    settings = [word for member in members for word in ("--set", member)]
    arguments = ["provider", "try", "cpay", "charge", "--phone", "+26658123456", "--base-url", "http://127.0.0.1:1"]
    assert cli.main([*arguments, *settings]) == 1
    shown = capsys.readouterr().out
    assert "= NotSent(" in shown
    assert '"msisdn": "58123456"' in shown
    assert "k-secret" not in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check", "nobody"], "There is no provider nobody"),
        (["new", "Acme"], "small letters"),
        (["new", "cpay"], "exists already"),
        (["try", "cpay"], "Say what to try"),
        (["try", "cpay", "refund"], "has charge, "),
        (["try", "cpay", "query"], "about another operation"),
        (["try", "cpay", "charge", "--currency", "ZAR"], "does not take ZAR"),
        (["try", "cpay", "charge", "--amount", "0"], "minor units of LSL"),
        (["try", "cpay", "charge", "--set", "moon=1"], "no setting moon"),
        (["try", "cpay", "charge", "--set", "moon"], "name=value"),
        (["try", "cpay", "charge", "--set", "flow=moon"], "not C-Pay's"),
        (["try", "cpay", "charge", "--settings", "no-such-file"], "no JSON file"),
        (["try", "cpay", "charge", "--base-url", "http://127.0.0.1:1"], "Say who pays"),
        (["try", "cpay", "charge", "--phone", "+26658123456", "--base-url", "http://127.0.0.1:1"], "required field"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(arguments, sentence, capsys):
    assert cli.main(["provider", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert sentence in complaint
    assert complaint.count("\n") == 1
