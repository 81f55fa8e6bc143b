"""What the server counts, for Prometheus. One registry per server: nothing global."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from unimp.inference.prefix_cache import PrefixCache

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
AGES = (0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 5.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Metrics:
    """Counters and histograms of one server."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    batches: Histogram = field(init=False)
    waiting: Gauge = field(init=False)
    abandoned: Counter = field(init=False)
    events: Counter = field(init=False)
    histories: Counter = field(init=False)
    items: Counter = field(init=False)
    sync_age: Histogram = field(init=False)
    of_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = field(default_factory=dict)
    """Method, route, status -> what counts such requests; as many as the routes and their statuses."""
    holders: dict[str, BytesHeld] = field(default_factory=dict)
    """Caches and queues by name."""

    def __post_init__(self) -> None:
        made = {
            "requests": Counter(
                "unimp_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
            ),
            "seconds": Histogram(
                "unimp_request_seconds",
                "Time to answer",
                ["method", "route"],
                buckets=SECONDS,
                registry=self.registry,
            ),
            "batches": Histogram(
                "unimp_batch_size",
                "Questions per call of the model",
                ["task"],
                buckets=SIZES,
                registry=self.registry,
            ),
            "waiting": Gauge("unimp_waiting", "Questions waiting for the model", registry=self.registry),
            "abandoned": Counter(
                "unimp_abandoned", "Questions dropped before work on them began", registry=self.registry
            ),
            "events": Counter("unimp_events", "Events stored", ["outcome"], registry=self.registry),
            "histories": Counter(
                "unimp_histories",
                "Users' histories: from the cache, or read from the store",
                ["outcome"],
                registry=self.registry,
            ),
            "sync_age": Histogram(
                "unimp_sync_age_seconds",
                "Since the read before began when what other servers wrote was taken over: no news is older",
                buckets=AGES,
                registry=self.registry,
            ),
            "items": Counter("unimp_items_put", "Items put into the catalogue", registry=self.registry),
        }
        for name, metric in made.items():
            object.__setattr__(self, name, metric)
        self.registry.register(MemoryReport(self.holders))

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count and time one request."""
        request = method, route, status
        if request not in self.of_request:  # looking labels up costs more than counting
            counter = self.requests.labels(method, route, str(status))
            self.of_request[request] = counter, self.seconds.labels(method, route)
        counter, histogram = self.of_request[request]
        counter.inc()
        histogram.observe(seconds)

    def watch_bytes(self, holders: Mapping[str, BytesHeld]) -> None:
        """Report what each cache and queue holds, and its bound."""
        self.holders.update(holders)

    def watch(self, prefixes: PrefixCache) -> None:
        """Report what the model's prefix cache holds and how often it helped."""
        self.registry.register(PrefixCacheReport(prefixes))

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


@dataclass(frozen=True)
class PrefixCacheReport(Collector):
    """Reads the prefix cache whenever the metrics are collected."""

    prefixes: PrefixCache

    def collect(self) -> Iterator[Metric]:
        outcomes = CounterMetricFamily(
            "unimp_prefix_reads",
            "Histories by how much of them was cached: all (hit), the beginning (extended), nothing (miss)",
            labels=["outcome"],
        )
        for outcome, count in self.prefixes.outcomes.items():
            outcomes.add_metric([outcome], count)
        yield outcomes
        yield GaugeMetricFamily("unimp_prefixes", "Users' prefixes in the cache", len(self.prefixes))
        yield GaugeMetricFamily("unimp_prefix_bytes", "Memory of the prefix cache", self.prefixes.bytes)


@dataclass(frozen=True)
class BytesHeld:
    """What something holds now, and its bound."""

    held: Callable[[], int]
    bound: int


@dataclass(frozen=True, eq=False)
class MemoryReport(Collector):
    """Bytes by cache or queue."""

    holders: Mapping[str, BytesHeld]

    def collect(self) -> Iterator[Metric]:
        held = GaugeMetricFamily("unimp_held_bytes", "Memory held, by cache or queue", labels=["of"])
        bound = GaugeMetricFamily("unimp_held_bytes_bound", "Its bound", labels=["of"])
        for name, holder in self.holders.items():
            held.add_metric([name], holder.held())
            bound.add_metric([name], holder.bound)
        yield held
        yield bound
