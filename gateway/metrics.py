"""The metrics: name, kind, labels and help of each, in one table. Others build on the names: they are only added.

Everything is typed, so that a misspelt metric or label is a type error:
`METRICS.payments.labels(provider="cpay", status="succeeded").inc()`.

There are two kinds of place. What a process counts itself lies in `METRICS.process`; what the database alone knows in
`METRICS.database`, which `gateway.store.gauges` fills when somebody asks. API processes that share a port count in a
directory of theirs.
"""

import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

SHARED_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

_ACCEPT_BUCKETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)  # seconds
_REQUEST_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 30)
_PROVIDER_BUCKETS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
_CALLBACK_BUCKETS: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 21_600, 86_400)
_WEBHOOK_BUCKETS: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15)

_KINDS: Final[Mapping[type, Kind]] = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}

P = ParamSpec("P")
M = TypeVar("M", Counter, Gauge, Histogram)


class Described(Struct, frozen=True, kw_only=True):
    """A line of the catalogue. `name` is as it is exposed; `per` says whose number it is."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    per: Literal["process", "database"]


class Labelled(Generic[P, M]):
    """A metric whose labels are the parameters of the function `by`. A label has few values; an id is never one."""

    def __init__(self, metric: M, by: Callable[P, None]) -> None:
        self.labels: Callable[P, M] = metric.labels  # the metric of these labels
        self.clear: Callable[[], None] = metric.clear  # what is not set again is not shown any more


def _provider(provider: str) -> None: ...
def _provider_and_status(provider: str, status: str) -> None: ...
def _provider_and_result(provider: str, result: str) -> None: ...
def _provider_and_verb(provider: str, verb: str) -> None: ...
def _provider_verb_and_outcome(provider: str, verb: str, outcome: str) -> None: ...
def _provider_and_code(provider: str, code: str) -> None: ...
def _provider_and_source(provider: str, source: str) -> None: ...
def _result(result: str) -> None: ...
def _group_and_topic(group: str, topic: str) -> None: ...
def _part(part: str) -> None: ...
def _method_route_and_status(method: str, route: str, status: str) -> None: ...


class Metrics:
    """Every metric, and the `catalogue` of them in the order of this table."""

    def __init__(self) -> None:
        self.process = CollectorRegistry(auto_describe=True)
        self.database = CollectorRegistry(auto_describe=True)
        self.catalogue: list[Described] = []
        self._of_the_api()
        self._of_the_providers()
        self._of_the_workers()
        self._of_the_database()

    def expose(self, *, with_database: bool) -> bytes:
        """Prometheus' text format; the database's numbers only where they were read."""
        return generate_latest(self._counted()) + (generate_latest(self.database) if with_database else b"")

    def _counted(self) -> CollectorRegistry:
        """What this process counts, or, where several share their port, what they do together."""
        if SHARED_DIRECTORY not in os.environ:
            return self.process
        together = CollectorRegistry()
        together.register(_Together({each.name for each in self.catalogue if each.per == "database"}))
        return together

    def _of_the_api(self) -> None:
        self.requests = self._labelled(
            _with(_REQUEST_BUCKETS),
            "mypay_request_seconds",
            "Requests to the API until their answer was handed on. `status` is its class, such as 2xx.",
            by=_method_route_and_status,
        )
        self.accept_seconds = self._plain(
            _with(_ACCEPT_BUCKETS), "mypay_accept_seconds", "From a valid request to its commit."
        )
        self.payments = self._labelled(
            Counter, "mypay_payments_total", "Payments that reached a status.", by=_provider_and_status
        )

    def _of_the_providers(self) -> None:
        self.operations = self._labelled(
            Counter,
            "mypay_operations_total",
            "Calls to providers, by what came of them: succeeded, declined, pending, unknown, …",
            by=_provider_verb_and_outcome,
        )
        self.provider_seconds = self._labelled(
            _with(_PROVIDER_BUCKETS),
            "mypay_provider_seconds",
            "How long a provider took for one call, with every request of it.",
            by=_provider_and_verb,
        )
        self.declines = self._labelled(
            Counter,
            "mypay_declines_total",
            "Calls that a provider declined, by our code for the reason.",
            by=_provider_and_code,
        )
        self.outcomes = self._labelled(
            Counter,
            "mypay_outcomes_total",
            "Operations whose outcome became known, by what told us: answer (to the request itself), callback, query.",
            by=_provider_and_source,
        )
        self.callback_lag_seconds = self._labelled(
            _with(_CALLBACK_BUCKETS),
            "mypay_callback_lag_seconds",
            "From sending a request to the callback about it.",
            by=_provider,
        )
        self.callbacks = self._labelled(
            Counter, "mypay_callbacks_total", "Providers' callbacks, by what became of them.", by=_provider_and_result
        )

    def _of_the_workers(self) -> None:
        self.deliveries = self._labelled(
            Counter,
            "mypay_deliveries_total",
            "Attempts to deliver a webhook: delivered, failed (tried again), exhausted (not again), gone (410).",
            by=_result,
        )
        self.delivery_seconds = self._plain(
            _with(_WEBHOOK_BUCKETS), "mypay_delivery_seconds", "How long a merchant's server took to answer."
        )
        self.dead_letters = self._plain(Counter, "mypay_dead_letters_total", "Records that no worker could handle.")
        self.published = self._labelled(
            Counter,
            "mypay_published_total",
            "Records for Kafka: sent, failed (sent again), refused (for good), overflowed (they wait in the rows).",
            by=_result,
        )
        self.consumer_lag = self._labelled(
            Gauge,
            "mypay_consumer_lag",
            "Records that a group of consumers has not taken yet. Sweepers measure it, and only while Kafka answers.",
            by=_group_and_topic,
        )
        self.silent_seconds = self._labelled(
            Gauge,
            "mypay_worker_silent_seconds",
            "For how long a part of a worker has not moved: loop, a group of consumers, relay, notifier, sweeper.",
            by=_part,
        )
        self.accounts_silent = self._labelled(
            Gauge,
            "mypay_accounts_silent",
            "Accounts whose callbacks used to come and stopped coming. Sweepers look each minute.",
            by=_provider,
        )
        self.readings_failed = self._plain(
            Counter,
            "mypay_database_readings_failed_total",
            "Numbers that the database did not tell in time, and that are NaN or missing.",
        )

    def _of_the_database(self) -> None:
        gauge = partial(self._plain, Gauge, registry=self.database)
        self.operations_unknown = gauge("mypay_operations_unknown", "Operations whose outcome is not known.")
        self.operations_unknown_oldest_seconds = gauge(
            "mypay_operations_unknown_oldest_seconds", "For how long the oldest of them has not been known."
        )
        self.operations_prepared_oldest_seconds = gauge(
            "mypay_operations_prepared_oldest_seconds", "Age of the oldest operation that waits to be sent."
        )
        self.events_unpublished_oldest_seconds = gauge(
            "mypay_events_unpublished_oldest_seconds", "Age of the oldest event that is not published."
        )
        self.callbacks_waiting_oldest_seconds = gauge(
            "mypay_callbacks_waiting_oldest_seconds", "Age of the oldest callback that nobody has read yet."
        )
        self.retention_overdue_days = gauge(
            "mypay_retention_overdue_days",
            "For how many days the oldest data has been due to be dropped; it may be kept for what is unfinished.",
        )
        self.reviews_open = gauge("mypay_reviews_open", "Payments that a person must look at.")
        self.dead_letters_open = gauge("mypay_dead_letters_open", "Dead letters that were not sent again.")
        self.deliveries_waiting = gauge("mypay_deliveries_waiting", "Webhooks that are not delivered yet.")
        self.deliveries_due_oldest_seconds = gauge(
            "mypay_deliveries_due_oldest_seconds",
            "For how long the webhook has been due that has been due longest.",
        )
        self.webhook_endpoints_behind = gauge(
            "mypay_webhook_endpoints_behind",
            "Endpoints with so many webhooks waiting that further ones are not even counted.",
        )
        self.relay_led = gauge("mypay_relay_led", "1 while some worker leads the relay, else 0.")
        self.partitions_ahead_days = gauge(
            "mypay_partitions_ahead_days", "For how many days to come every table has its day partition."
        )

    # --- Making one ---------------------------------------------------------------------------------------------------

    def _plain(self, make: Callable[..., M], name: str, said: str, *, registry: CollectorRegistry | None = None) -> M:
        metric = make(name, said, registry=registry or self.process)
        self._note(metric, name, said, (), registry)
        return metric

    def _labelled(
        self,
        make: Callable[..., M],
        name: str,
        said: str,
        *,
        by: Callable[P, None],
        registry: CollectorRegistry | None = None,
    ) -> Labelled[P, M]:
        labels = tuple(inspect.signature(by).parameters)
        metric = make(name, said, labels, registry=registry or self.process)
        self._note(metric, name, said, labels, registry)
        return Labelled(metric, by)

    def _note(
        self,
        metric: Counter | Gauge | Histogram,
        name: str,
        said: str,
        labels: tuple[str, ...],
        registry: CollectorRegistry | None,
    ) -> None:
        per: Literal["process", "database"] = "database" if registry is self.database else "process"
        self.catalogue.append(Described(name=name, kind=_KINDS[type(metric)], labels=labels, help=said, per=per))


class _Together(Collector):
    """What all processes that share a directory have counted, those that ended included; without `others`."""

    def __init__(self, others: Collection[str]) -> None:
        self._others = others

    def collect(self) -> Iterator[Metric]:
        """The families."""
        every = MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call]
        return (family for family in every if family.name not in self._others)


def _with(buckets: tuple[float, ...]) -> Callable[..., Histogram]:
    return partial(Histogram, buckets=buckets)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series of each counter
METRICS: Final = Metrics()
