"""What a connection does, as OpenTelemetry spans and metrics. Needs the extra ``otel``.

::

    from falrt.telemetry import OpenTelemetry

    telemetry = OpenTelemetry("fal-ai/flux-2/klein")
    async with falrt.connect(models.KLEIN, on_event=telemetry) as conn:
        telemetry.observe(conn)

Spans: ``falrt.socket`` while a socket is open, and for each answer or failure ``falrt.request``, ``falrt.stream`` or
``falrt.send``, after who waited for it. They belong to the span in which the connection was opened. Nothing of what
is sent or received is in them, and no credential.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from falrt.exceptions import MissingDependencyError
from falrt.protocol.events import Answered, Event, Failed, Lost, Opened, Stats
from falrt.protocol.loss import Loss

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from falrt.connection.connection import RealtimeConnection

__all__ = ["OpenTelemetry"]

# Name, unit, what of the stats.
_GAUGES: tuple[tuple[str, str, Callable[[Stats], float | None]], ...] = (
    ("falrt.in_flight", "{input}", lambda stats: stats.in_flight),
    ("falrt.fps", "{picture}/s", lambda stats: stats.fps),
    ("falrt.latency.p50", "s", lambda stats: stats.latency.p50),
    ("falrt.latency.p95", "s", lambda stats: stats.latency.p95),
)
_COUNTERS: tuple[tuple[str, str, Callable[[Stats], float]], ...] = (
    ("falrt.sent", "{input}", lambda stats: stats.sent),
    ("falrt.received", "{result}", lambda stats: stats.received),
    ("falrt.dropped", "{input}", lambda stats: stats.dropped),
    ("falrt.reconnects", "{socket}", lambda stats: stats.reconnects),
    ("falrt.bytes_sent", "By", lambda stats: stats.bytes_sent),
    ("falrt.bytes_received", "By", lambda stats: stats.bytes_received),
    ("falrt.open_seconds", "s", lambda stats: stats.open_seconds),
)


class OpenTelemetry:
    """An ``on_event`` for one connection.

    Args:
        app: Attribute ``falrt.app`` of every span and measurement.
        tracer_provider: Default: the global one.
        meter_provider: Default: the global one.

    Raises:
        MissingDependencyError: OpenTelemetry's API is absent.
    """

    def __init__(
        self,
        app: str,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ModuleNotFoundError as exc:
            raise MissingDependencyError("opentelemetry-api", "otel", "falrt.telemetry") from exc
        self._attributes = {"falrt.app": app}
        self._tracer = trace.get_tracer("falrt", tracer_provider=tracer_provider)
        self._meter = metrics.get_meter("falrt", meter_provider=meter_provider)
        self._latency = self._meter.create_histogram(
            "falrt.latency", "s", "From sending an input to its answer"
        )
        self._inference = self._meter.create_histogram("falrt.inference_time", "s", "As the app reports it")
        self._failures = self._meter.create_counter("falrt.failures", "{input}", "Inputs that got no answer")
        # The span of the socket that is open.
        self._socket: Span | None = None
        self._connection: RealtimeConnection[Any, Any] | None = None

    def __call__(self, event: Event) -> None:
        """Take one event of the connection."""
        match event:
            case Answered(input=item, latency=latency):
                self._latency.record(latency, self._attributes)
                if item.inference_time is not None:
                    self._inference.record(item.inference_time, self._attributes)
                self._span(f"falrt.{item.kind}", latency, certain=event.certain, sends=item.sends)
            case Failed(input=item, error=error):
                kind = type(error).__name__
                self._failures.add(1, {**self._attributes, "error.type": kind})
                self._span(f"falrt.{item.kind}", 0.0, error=kind, sends=item.sends)
            case Opened():
                self._socket = self._tracer.start_span("falrt.socket", attributes=self._attributes)
            case Lost(loss=loss):
                self._lost(loss)

    def observe(self, connection: RealtimeConnection[Any, Any]) -> None:
        """Report a connection's ``stats`` whenever metrics are collected."""
        first, self._connection = self._connection is None, connection
        if not first:
            return
        for name, unit, read in _GAUGES:
            self._meter.create_observable_gauge(name, [self._reader(read)], unit)
        for name, unit, count in _COUNTERS:
            self._meter.create_observable_counter(name, [self._reader(count)], unit)

    def _reader(
        self, read: Callable[[Stats], float | None]
    ) -> Callable[[CallbackOptions], list[Observation]]:
        from opentelemetry.metrics import Observation

        def observe(options: CallbackOptions) -> list[Observation]:
            del options
            value = None if self._connection is None else read(self._connection.stats)
            return [] if value is None else [Observation(value, self._attributes)]

        return observe

    def _span(self, name: str, seconds: float, *, error: str = "", **attributes: bool | int) -> None:
        """Tell of something that has just ended."""
        now = time.time_ns()
        marks = {f"falrt.{key}": value for key, value in attributes.items()}
        span = self._tracer.start_span(
            name, start_time=now - int(seconds * 1e9), attributes={**self._attributes, **marks}
        )
        if error:
            _fail(span, error)
        span.end(now)

    def _lost(self, loss: Loss) -> None:
        socket, self._socket = self._socket, None
        if socket is None:  # none could be opened
            self._span("falrt.socket", 0.0, error=loss.cause)
            return
        socket.set_attribute("falrt.cause", str(loss.cause))
        socket.set_attribute("falrt.code", loss.code)
        socket.end()


def _fail(span: Span, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
