"""What an operator sees of a server: metrics for Prometheus, and one line of JSON per event on standard error.

Neither holds contents of files, file names, keys or addresses of callbacks.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import prometheus_client as prometheus
from absl import logging as absl_logging
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "fusion_dfd_"
SECONDS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
"""Upper ends of the histograms' buckets."""

Gauges = Callable[[], Mapping[str, tuple[str, tuple[str, ...], Mapping[tuple[str, ...], float]]]]
"""Asked at every scrape: ``{name: (help, names of labels, {labels: value})}``."""

_log = logging.getLogger("fusion_dfd.serve")


class Telemetry:
    """Counters, histograms and the event log of one server process.

    Args:
      json_log: whether events are logged.
    """

    def __init__(self, json_log: bool = False):
        self._json_log = json_log
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)

        def counter(name: str, told: str, *labels: str) -> prometheus.Counter:
            return prometheus.Counter(PREFIX + name, told, labels, registry=self.registry)

        def histogram(name: str, told: str) -> prometheus.Histogram:
            return prometheus.Histogram(PREFIX + name, told, ["detector"], buckets=SECONDS, registry=self.registry)

        self._accepted = counter("jobs_accepted", "Jobs accepted.", "detector")
        self._known = counter("jobs_known", "Submissions answered by a job that was there already.", "detector")
        self._ended = counter("jobs_ended", "Jobs that ended, by state.", "state", "detector")
        self._refused = counter("requests_refused", "Submissions refused, by status.", "status")
        self._callbacks = counter("callbacks", "Tries of callbacks: delivered, failed, given_up.", "outcome")
        self._deaths = counter("worker_deaths", "Worker processes that ended and were replaced.")
        self._waited = histogram("job_waiting_seconds", "Seconds from acceptance to the begin of scoring.")
        self._took = histogram("job_scoring_seconds", "Seconds of scoring.")

    def watch(self, gauges: Gauges) -> None:
        """Show these numbers too."""
        self.registry.register(_Gauges(gauges))

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return prometheus.generate_latest(self.registry)

    def log(self, event: str, **fields: Any) -> None:
        if self._json_log:
            _log.info(event, extra={"fields": fields})

    def accepted(self, job: str, detector: str, created: bool, **fields: Any) -> None:
        (self._accepted if created else self._known).labels(detector).inc()
        self.log("accepted" if created else "known", job=job, detector=detector, **fields)

    def refused(self, status: int, owner: str) -> None:
        self._refused.labels(str(status)).inc()
        self.log("refused", status=status, owner=owner)

    def started(self, job: str, detector: str, waited: float, worker: str) -> None:
        self._waited.labels(detector).observe(waited)
        self.log("started", job=job, detector=detector, waited=round(waited, 3), worker=worker)

    def ended(self, job: str, state: str, detector: str, took: float | None = None, **fields: Any) -> None:
        """``took``: seconds of scoring, None if it was not scored to its end."""
        self._ended.labels(state, detector).inc()
        if took is not None:
            self._took.labels(detector).observe(took)
            fields["took"] = round(took, 3)
        self.log("ended", job=job, state=state, detector=detector, **fields)

    def called(self, job: str, outcome: str, error: str | None) -> None:
        self._callbacks.labels(outcome).inc()
        self.log("callback", job=job, outcome=outcome, error=error)

    def died(self, worker: str, code: int | None) -> None:
        self._deaths.inc()
        self.log("worker_died", worker=worker, code=code)


class _Gauges(Collector):
    def __init__(self, ask: Gauges):
        self._ask = ask

    def describe(self) -> Iterable[Metric]:
        return []  # so that registering asks nothing

    def collect(self) -> Iterable[Metric]:
        for name, (told, labels, values) in self._ask().items():
            family = GaugeMetricFamily(PREFIX + name, told, labels=labels)
            for key, value in values.items():
                family.add_metric(key, value)
            yield family


class _Json(logging.Formatter):
    """One line: time (UTC), level, event or message, fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{seconds}.{record.msecs:03.0f}Z", "level": record.levelname.lower()}
        line |= {"event": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_json() -> None:
    """Log everything of this process as lines of JSON to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    logging.getLogger().handlers[:] = [handler]
    _log.setLevel(logging.INFO)
    absl_logging.get_absl_logger().handlers[:] = [handler]
    absl_logging.get_absl_logger().propagate = False


def memory(pid: int) -> float:
    """Bytes that a process holds in memory; 0 if it is gone, or where ``/proc`` is missing."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return float(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0.0
