"""Logs: one JSON object a line, on stdout and in LOG_FILE, for the API and the workers alike.

structlog and the standard library's loggers end in the same handlers, behind one redaction: a secret that reaches a
log call by mistake still reaches no sink.
"""

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from itertools import chain
from logging.handlers import WatchedFileHandler
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from providers.contract import Secret

MASK: Final = "***"

_SECRET_NAME: Final = re.compile(
    r"secret|token|password|passkey|authorization|api_?key|cookie|credential|signature|(^|_)otp(_|$)", re.IGNORECASE
)
_SECRET_TEXT: Final = (
    (re.compile(r"\b([sr]k_(?:test|live)_)[0-9A-Za-z]+"), rf"\1{MASK}"),  # our API keys
    (re.compile(r"\b(whs(?:ec|k)_)[0-9A-Za-z+/=]+"), rf"\1{MASK}"),  # what signs webhooks
    (re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{MASK}"),  # of anybody's
    (re.compile(r"(/return/)[^/?\s\"']+"), rf"\1{MASK}"),  # the token of the payer's way back
    (re.compile(r"\brt_[\w-]{20,}"), f"rt_{MASK}"),  # refresh tokens
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), MASK),  # JWTs
    (re.compile(r"(/callbacks/\w+/)[^/?\s\"']+"), rf"\1{MASK}"),  # the callback token in a path
    (re.compile(r"(://[^\s:/@]+:)[^\s/@]+@"), rf"\1{MASK}@"),  # a password in an address
)
# 13 to 19 digits, in groups or not, that are not part of a longer number (ISO/IEC 7812).
_CARD_LIKE: Final = re.compile(r"(?<!\d)(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![ -]?\d)")


def configure(log_file: str | None = None, *, level: str = "INFO") -> None:
    """Send every log line of this process to stdout, and to `log_file` too where there is one."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if log_file:
        handlers.append(WatchedFileHandler(log_file, encoding="utf-8"))  # reopens after rotation
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_COMMON, structlog.stdlib.ExtraAdder()], processors=_FINAL
    )
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(handlers=handlers, level=level, force=True)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """structlog processor: mask what a name or its text gives away, and make every value plain JSON."""
    return {name: _plain(value, str(name)) for name, value in event.items()}


def scrub(text: str) -> str:
    """The text with API keys, tokens, passwords in addresses and card numbers masked."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return _CARD_LIKE.sub(lambda found: MASK if _is_luhn_valid(found[0]) else found[0], text)


def _plain(value: object, name: str = "") -> object:
    if value is None:
        return None
    if isinstance(value, Secret) or _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping):
        return {scrub(str(key)): _plain(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return scrub(value.decode(errors="backslashreplace"))
    return scrub(repr(value) if isinstance(value, BaseException) else str(value))


def _is_luhn_valid(text: str) -> bool:
    digits = [int(character) for character in reversed(text) if character.isdigit()]
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2])
    return sum(chain(digits[::2], doubled)) % 10 == 0


def _render(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """ASCII JSON: line ends of any kind, and half surrogates, leave as escapes."""
    return json.dumps(event, default=repr)


_COMMON: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_FINAL: Final[list[Processor]] = [
    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    # Local variables stay out of tracebacks: they hold settings, requests, one-time passwords.
    structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    redact,
    _render,
]
