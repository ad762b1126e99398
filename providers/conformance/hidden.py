"""Proofs about secrets: none of an account's is in anything that can be seen."""

import base64
from collections.abc import Iterator
from functools import partial

import msgspec
from msgspec.structs import asdict

from providers.conformance.calls import log_in
from providers.conformance.cases import Case
from providers.conformance.documents import is_word, read, rewritten, with_content
from providers.conformance.suite import Check, Subject, require
from providers.contract import Secret, Verb
from providers.redaction import mask_text, presentable
from providers.shown import shown_request, shown_response


def secrets_are_not_shown(of: Subject) -> Iterator[Check]:
    """No secret of an account is in the repr of its settings or login, or in an outcome as it is kept, even when the
    provider repeats it; nor in an exchange as it is shown."""
    yield Check("there are secrets", partial(require, of.secrets, "no setting of the account is a Secret"))
    yield Check("the settings", partial(_hides, of, lambda: "".join(map(repr, of.settings()))))
    yield Check("the login", partial(_hides, of, lambda: repr(log_in(of, of.cases.login))))
    for case in of.cases.answers:
        yield Check(f"{case.says}, repeating secrets", partial(_is_presentable, of, case))
    for verb, case in of.by_verb.items():
        yield Check(f"{verb}, as it is shown", partial(_is_shown, of, case))


def _hides(of: Subject, text: object) -> None:
    said = text() if callable(text) else str(text)
    for secret in of.secrets:
        require(secret not in said, "a secret is in it")


def _is_presentable(of: Subject, case: Case) -> None:
    """A provider that puts the account's secrets in each text of its answer."""
    body = read(case.answers[-1].content)
    echoed = " ".join(of.secrets)

    def echo(leaf: object) -> object:
        keep = not isinstance(leaf, str) or (case.row is not None and is_word(leaf, case.row))
        return leaf if keep else echoed

    content = msgspec.json.encode(rewritten(body, echo)) if isinstance(body, dict) else case.answers[-1].content
    outcome = presentable(of.heard(case, last=with_content(case.answers[-1], content)), of.secrets)
    texts = {name: value for name, value in asdict(outcome).items() if name != "provider_reference"}
    _hides(of, repr(texts))


def _is_shown(of: Subject, case: Case) -> None:
    operation = case.operation
    exchange = of.exchange(operation, case.answers, of.account(case))
    hidden = (*of.secrets, *([operation.otp] if operation.verb is Verb.CONFIRM and operation.otp else []))
    shown = [shown_request(request, hidden) for request in exchange.requests]
    shown += [shown_response(response, hidden) for response in case.answers]
    text = "\n".join(shown)
    _hides(of, text)
    for secret in of.secrets:
        for part in (secret, f":{secret}", f"{secret}:"):
            require(base64.b64encode(part.encode()).decode().rstrip("=") not in text, "a secret is in it, in base64")
    require(mask_text(text) == text, "a card number is in it")
    require(not operation.otp or Secret(operation.otp) not in text, "the payer's code is in it")
