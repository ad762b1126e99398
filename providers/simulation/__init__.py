"""The kit of which simulators are made: `server` (HTTP), `ledger` (what happened, on disk), `simulator` (the rest).

A simulator speaks its provider's protocol, and shares no code with the provider's adapter: a mistake in one must not
be hidden by the same mistake in the other. Simulators import from here and from the standard library.
"""

from providers.simulation.server import HANG, RESET, Reply, Request, html, json, see_other
from providers.simulation.simulator import Callback, Route, Simulator

__all__ = ["HANG", "RESET", "Callback", "Reply", "Request", "Route", "Simulator", "html", "json", "see_other"]
