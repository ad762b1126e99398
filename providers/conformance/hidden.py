"""Proofs about secrets: none of an account's is in anything that can be seen."""

import base64
from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import asdict

from providers.conformance.calls import log_in
from providers.conformance.cases import Case
from providers.conformance.documents import is_word, read, rewritten, with_content
from providers.conformance.suite import Check, Subject, require
from providers.conformance.trial import watched
from providers.contract import Secret, Verb
from providers.redaction import is_sensitive, mask_text, presentable
from providers.shown import shown_request, shown_response

SCHEME: Final = 8  # letters of "Bearer", "Basic", and no token


def secrets_are_not_shown(of: Subject) -> Iterator[Check]:
    """No secret of an account is in the repr of its settings or login, or in an outcome as it is kept, even when the
    provider repeats it; nor in an exchange as it is shown."""
    yield Check("there are secrets", partial(require, of.secrets, "no setting of the account is a Secret"))
    yield Check("the settings", partial(_hides, of, lambda: "".join(map(repr, of.settings()))))
    yield Check("the login", partial(_hides, of, lambda: repr(log_in(of, of.cases.login))))
    for case in of.cases.answers:
        yield Check(f"{case.says}, repeating secrets", partial(_is_presentable, of, case))
    yield Check("the login, as it is shown", partial(_is_shown_login, of))
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


def _is_shown_login(of: Subject) -> None:
    """Neither what is sent to log in nor what it is answered can be seen: not what later requests carry, either."""
    seen: list[str] = []
    steps = watched(of.spec.authenticate(of.cases.account), seen.append, of.secrets)
    given = iter(of.cases.login)
    try:
        next(steps)
        while True:
            steps.send(next(given))
    except StopIteration as end:
        headers = end.value.headers if of.cases.login else {}
        carried = [value for name, value in headers.items() if is_sensitive(name)]
    text = "\n".join(seen)
    _hides(of, text)
    for token in (part for value in carried for part in value.split() if len(part) > SCHEME):
        require(token not in text, "what the login brought is in it")


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
