"""What a run left behind, read from files and indexed by payment."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Found = Iterator[tuple[str | None, str]]  # violations: about which payment, if about one, and what was seen
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, as TypeID v0.3 wants it
SIMULATORS = ("sandbox", "cpay", "mpesa", "daraja", "pawapay", "standard_bank_pay")
MONEY = ("charges", "authorizations", "refunds", "payouts")


def public(prefix: str, uuid: str) -> str:
    """The public form of a UUID, "pay_01k…"."""
    value, letters = int(uuid.replace("-", ""), 16), ""
    for _ in range(26):
        letters = BASE32[value & 31] + letters
        value >>= 5
    return f"{prefix}_{letters}"


@dataclass
class Evidence:
    """Rows as dictionaries; payments are known by their public id everywhere."""

    run: Row = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    payments: dict[str, Row] = field(default_factory=dict)
    payouts: dict[str, Row] = field(default_factory=dict)
    refunds: dict[str, Row] = field(default_factory=dict)  # each names its payment
    operations: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    events: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    keys: list[Row] = field(default_factory=list)
    callbacks: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    relay: Row = field(default_factory=dict)
    observed: list[Row] = field(default_factory=list)
    streamed: list[Row] = field(default_factory=list)
    hooks: list[Row] = field(default_factory=list)  # what the merchant's server for webhooks got
    requests: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))  # what providers received
    money: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))  # what providers did

    @property
    def objects(self) -> dict[str, Row]:
        """Everything that events are about."""
        return {**self.payments, **self.payouts, **self.refunds}

    def root(self, name: str) -> str:
        """The payment of a refund; anything else is its own."""
        payment: str = self.refunds[name]["payment"] if name in self.refunds else name
        return payment

    def moved(self, name: str, kind: str) -> list[Row]:
        """The money of this kind that providers moved for a payment or payout."""
        return [entry for entry in self.money.get(name, []) if entry["kind"] == kind]

    def charges(self, payment: str) -> list[Row]:
        """The money that providers took for a payment."""
        return self.moved(payment, "charges")

    def attempts(self, payment: str) -> list[Row]:
        """The operations that take money."""
        return [one for one in self.operations.get(payment, []) if one["verb"] in ("charge", "authorize")]

    def calls(self, kind: str, call: str) -> Iterator[Row]:
        """Lines of the history."""
        return (line for line in self.history if line["type"] == kind and line["call"] == call)


def load(directory: Path) -> Evidence:
    """Read the evidence directory."""
    found = Evidence(run=json.loads((directory / "run.json").read_text()))
    found.history = list(_lines(directory / "history.jsonl"))
    roots = list(_lines(directory / "payments.jsonl"))
    found.payments = {public("pay", row["id"]): row for row in roots if row["kind"] == "payment"}
    found.payouts = {public("pout", row["id"]): row for row in roots if row["kind"] == "payout"}
    for row in _lines(directory / "refunds.jsonl"):
        found.refunds[public("ref", row["id"])] = {**row, "payment": public("pay", row["payment_id"])}
    names = {row["id"]: name for name, row in found.objects.items()}
    for row in _lines(directory / "operations.jsonl"):
        found.operations[names[row["payment_id"]]].append(row)
    references = {one["reference"]: payment for payment, rows in found.operations.items() for one in rows}
    for row in _lines(directory / "events.jsonl"):
        found.events[names.get(row["object_id"], row["object_id"])].append(row)
    for rows in found.events.values():
        rows.sort(key=lambda row: row["sequence"])
    found.keys = list(_lines(directory / "idempotency_keys.jsonl"))
    found.callbacks = list(_lines(directory / "callbacks.jsonl"))
    found.dead_letters = list(_lines(directory / "dead_letters.jsonl"))
    found.relay = next(_lines(directory / "relay.jsonl"))
    found.observed = list(_lines(directory / "observed.jsonl"))
    found.streamed = list(_lines(directory / "streamed.jsonl"))
    found.hooks = list(_lines(directory / "hooks.jsonl"))
    for name in SIMULATORS:
        read_ledger(found, name, directory / f"{name}.jsonl", references)
    return found


def read_ledger(found: Evidence, provider: str, file: Path, references: dict[str, str]) -> None:
    """Lines of `[kind, entry]`; a last line that a kill cut off was never answered for.

    Where a protocol does not carry the payment, `references` leads to it; what leads nowhere is under "<provider> …".
    """
    if not file.exists():
        return
    for line in file.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        kind, entry = json.loads(line)
        entry |= {"kind": kind, "provider": provider}
        reference = entry.get("reference")
        payment = entry.get("payment") or references.get(reference) or f"{provider} {reference}"
        if kind == "requests" and reference:
            found.requests[payment].append(entry)
        elif kind in MONEY:
            found.money[payment].append(entry)


def _lines(file: Path) -> Iterator[Row]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
