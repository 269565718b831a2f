# ruff: noqa: SIM117 - servers outside, connections inside
from __future__ import annotations

from typing import Any

import pytest

from falrt.telemetry import OpenTelemetry
from falrt.testing import FakeServer, script

metrics = pytest.importorskip("opentelemetry.sdk.metrics", reason="OpenTelemetry's SDK is not installed")
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402


class Collected:
    """Telemetry, and what it told."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meter_provider = metrics.MeterProvider([self.reader])
        self.telemetry = OpenTelemetry(
            "acme/app", tracer_provider=self.tracer_provider, meter_provider=self.meter_provider
        )

    def spans(self, name: str) -> list[Any]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def points(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        return {
            metric.name: metric.data.data_points[0]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def collected() -> Collected:
    return Collected()


async def test_each_answer_is_a_span_of_its_length(collected: Collected) -> None:
    async with FakeServer() as server:
        async with server.connect(on_event=collected.telemetry) as conn:
            await conn.request({"prompt": "a secret prompt"})
            async for _ in conn.stream([{"prompt": "two"}, {"prompt": "three"}]):
                pass
    assert len(collected.spans("falrt.request")) == 1
    assert len(collected.spans("falrt.stream")) == 2
    span = collected.spans("falrt.request")[0]
    assert span.attributes["falrt.app"] == "acme/app"
    assert span.end_time >= span.start_time
    assert "secret" not in str(span.to_json())


async def test_a_sockets_span_says_how_it_ended(collected: Collected) -> None:
    async with FakeServer(faults=[script.Reset(after=1)]) as server:
        async with server.connect(on_event=collected.telemetry) as conn:
            await conn.request({"prompt": "one"})
            await conn.request({"prompt": "two"})
    causes = [span.attributes["falrt.cause"] for span in collected.spans("falrt.socket")]
    assert causes[0] in ("closed", "network")


async def test_a_failure_is_an_error_span_and_counted(collected: Collected) -> None:
    def fails(message: Any) -> Any:
        raise ValueError("no")

    async with FakeServer(fails) as server:
        async with server.connect(on_event=collected.telemetry) as conn:
            with pytest.raises(Exception, match="no"):
                await conn.request({"prompt": "one"})
    span = collected.spans("falrt.request")[0]
    assert not span.status.is_ok
    assert span.attributes["error.type"] == "ServerError"
    assert collected.points()["falrt.failures"].value == 1


async def test_stats_are_reported_when_metrics_are_collected(collected: Collected) -> None:
    async with FakeServer(emit_timings=True, service_time=0.01) as server:
        async with server.connect(on_event=collected.telemetry) as conn:
            collected.telemetry.observe(conn)
            for number in range(3):
                await conn.request({"prompt": str(number)})
            points = collected.points()
    assert points["falrt.sent"].value == 3
    assert points["falrt.received"].value == 3
    assert points["falrt.latency"].count == 3
    assert points["falrt.latency.p50"].value > 0
    assert points["falrt.sent"].attributes == {"falrt.app": "acme/app"}
