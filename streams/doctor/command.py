"""The command: its settings, its output, its exit status."""

import asyncio
import logging
import sys

from gateway import settings as settings_module
from gateway.settings import SettingsError
from streams.doctor import findings
from streams.doctor.checks import CHECKS
from streams.doctor.examination import examine
from streams.doctor.findings import Finding, Report, report


def run(*, as_json: bool) -> int:
    """Examine and print; 1 when something fails, else 0."""
    logging.disable()  # what libraries say about servers that are away is in the findings
    try:
        found = _examined()
    finally:
        logging.disable(logging.NOTSET)
    sys.stdout.write((findings.as_json if as_json else findings.as_text)(found) + "\n")
    return 1 if found.status == "fail" else 0


def _examined() -> Report:
    try:
        loaded = settings_module.beside_up()
    except SettingsError as error:
        todo = "Nothing else was looked at. `.env` is read in the current directory."
        return report([Finding("settings", "fail", str(error), todo)], 0.0)
    return asyncio.run(examine(loaded, CHECKS))
