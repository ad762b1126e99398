"""The metrics: name, kind, labels and help of each, in one table. Others build on the names: they are only added.

Everything is typed, so that a misspelt metric or label is a type error:
`METRICS.payments.labels(provider="cpay", status="succeeded").inc()`.
"""

import inspect
from collections.abc import Callable
from typing import Final, Generic, ParamSpec

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_ACCEPT_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)  # seconds

P = ParamSpec("P")


class LabelledCounter(Generic[P]):
    """A counter whose labels are the parameters of the function `by`. A label has few values; an id is never one."""

    def __init__(self, name: str, documentation: str, *, by: Callable[P, None], registry: CollectorRegistry) -> None:
        self._counter = Counter(name, documentation, tuple(inspect.signature(by).parameters), registry=registry)

    def labels(self, *args: P.args, **kwargs: P.kwargs) -> Counter:
        """The counter of these labels."""
        return self._counter.labels(*args, **kwargs)


def _provider_and_status(provider: str, status: str) -> None: ...
def _provider_and_result(provider: str, result: str) -> None: ...
def _result(result: str) -> None: ...


class Metrics:
    """Every metric of this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.payments = LabelledCounter(
            "mypay_payments_total", "Payments that reached a status.", by=_provider_and_status, registry=registry
        )
        self.callbacks = LabelledCounter(
            "mypay_callbacks_total",
            "Providers' callbacks, by what became of them.",
            by=_provider_and_result,
            registry=registry,
        )
        self.deliveries = LabelledCounter(
            "mypay_deliveries_total",
            "Attempts to deliver a webhook: delivered, failed (tried again), exhausted (not again), gone (410).",
            by=_result,
            registry=registry,
        )
        self.deliveries_waiting = Gauge(
            "mypay_deliveries_waiting", "Webhooks that are not delivered yet.", registry=registry
        )
        self.deliveries_due_oldest_seconds = Gauge(
            "mypay_deliveries_due_oldest_seconds",
            "For how long the webhook has been due that has been due longest.",
            registry=registry,
        )
        self.dead_letters = Counter(
            "mypay_dead_letters_total", "Records that no worker could handle.", registry=registry
        )
        self.accept_seconds = Histogram(
            "mypay_accept_seconds", "From a valid request to its commit.", buckets=_ACCEPT_BUCKETS, registry=registry
        )
        self.operations_unknown = Gauge(
            "mypay_operations_unknown", "Operations whose outcome is not known.", registry=registry
        )
        self.operations_prepared_oldest_seconds = Gauge(
            "mypay_operations_prepared_oldest_seconds",
            "Age of the oldest operation that waits to be sent.",
            registry=registry,
        )
        self.events_unpublished_oldest_seconds = Gauge(
            "mypay_events_unpublished_oldest_seconds",
            "Age of the oldest event that is not published.",
            registry=registry,
        )
        self.retention_overdue_days = Gauge(
            "mypay_retention_overdue_days",
            "For how many days the oldest data has been due to be dropped; it may be kept for what is unfinished.",
            registry=registry,
        )
        self.reviews_open = Gauge("mypay_reviews_open", "Payments that a person must look at.", registry=registry)


METRICS: Final = Metrics(CollectorRegistry(auto_describe=True))
